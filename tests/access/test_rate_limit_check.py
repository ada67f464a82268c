"""The start is refused where limits would be counted by each web process for itself."""

from django.core.checks import run_checks
from django_ratelimit import checks as of_library

from mobilesd.checks import check_rate_limits

REDIS = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://r"}


def test_memory_is_right_for_the_one_web_process_of_sqlite(settings):
    settings.EMBEDDED = True
    assert check_rate_limits() == []


def test_postgresql_needs_redis(settings):
    settings.EMBEDDED = False
    (error,) = check_rate_limits()
    assert (error.id, error.is_serious()) == ("mobilesd.E005", True)
    assert "MOBILESD_REDIS_URL" in error.hint
    settings.CACHES = {**settings.CACHES, "ratelimit": REDIS}
    assert check_rate_limits() == []


def test_the_library_s_own_opinion_of_memory_is_silenced_knowingly():
    assert [error.id for error in of_library.check_caches(None)] == [
        "django_ratelimit.E003",
        "django_ratelimit.W001",
    ]
    assert all(error.is_silenced() for error in of_library.check_caches(None))
    loud = [error for error in run_checks() if not error.is_silenced()]
    assert not [error for error in loud if error.is_serious()]
