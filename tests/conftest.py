"""What all tests share: their own folders, a database file that threads can share, fast sign-in."""

import os
import time
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache, caches

_PLAIN_STATIC = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}


def pytest_configure() -> None:
    """Replace what costs time or needs a collected build, before anything has used it."""
    django_settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    django_settings.STORAGES = {**django_settings.STORAGES, "staticfiles": _PLAIN_STATIC}
    # A thread would write into the database of another test, or wait for this one's transaction.
    django_settings.ACCESS_LOG_WRITER = False
    # Wherever the tests run: the processes that they start find it in their environment.
    django_settings.TIME_ZONE = os.environ["TZ"] = "UTC"
    time.tzset()
    django_settings.FORECAST_THREAD = False


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Keep the test database in a file of this run and this xdist worker.

    A database in memory could not be shared by the threads and processes that some tests start;
    one in the data folder would be shared by runs that know nothing of each other.
    """
    database = django_settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        database["TEST"]["NAME"] = str(tmp_path_factory.mktemp("database") / "test.sqlite3")


@pytest.fixture(autouse=True)
def data_dir(settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give each test a data folder of its own, and the processes that it starts as well."""
    folder = tmp_path / "data"
    settings.DATA_DIR = folder
    settings.RUN_DIR = folder / "run"
    settings.STATIC_ROOT = folder / "static"
    for made in (folder, settings.RUN_DIR, settings.STATIC_ROOT):
        made.mkdir(exist_ok=True)
    monkeypatch.setenv("MOBILESD_DATA_DIR", str(folder))
    from apikeys.access_log import access_log  # their models can't be loaded before Django is
    from dispatch import forecast, plan

    cache.clear()
    caches["ratelimit"].clear()
    access_log.discard()
    forecast.forget()
    plan.forget()
    return folder
