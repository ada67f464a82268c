"""Another secret for a key: shown once, the one before for a grace time, one winner."""

from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.db import connection
from django.utils import timezone

from apikeys import services
from apikeys.actors import Actor
from apikeys.models import ApiKey
from mobilesd.errors import Conflict
from tests import factories
from tests.api.conftest import Api
from tests.keys.conftest import KEYS

WHOAMI = "/api/v2/whoami"
ALL = Actor(sees_all_keys=True)


def _works(token: str) -> bool:
    return bool(Api(token).get(WHOAMI).status_code == 200)


def _rotate(client: Api, prefix: str, **body: object) -> str:
    answer = client.send("POST", f"{KEYS}/{prefix}/rotate", body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["api_key"]["token"])


@pytest.mark.django_db
def test_both_secrets_work_until_the_grace_time_is_over(ben, member):
    row, old = factories.key(member)
    new = _rotate(ben, row.prefix)
    assert new != old
    assert new.partition(".")[0] == row.prefix
    assert _works(old)
    assert _works(new)
    until = ApiKey.objects.get().previous_until
    assert abs(until - timezone.now() - timedelta(days=1)) < timedelta(minutes=1)
    assert ben.get(f"{KEYS}/{row.prefix}").json()["api_key"]["previous_secret_until"] is not None
    ApiKey.objects.update(previous_until=timezone.now())
    assert not _works(old)
    assert Api(old).get(WHOAMI).json()["error"] == "invalid_api_key"
    assert _works(new)
    assert ben.get(f"{KEYS}/{row.prefix}").json()["api_key"]["previous_secret_until"] is None


@pytest.mark.django_db
def test_without_a_grace_time_the_old_secret_stops_at_once(ben, member):
    row, old = factories.key(member)
    new = _rotate(ben, row.prefix, grace_seconds=0)
    assert not _works(old)
    assert _works(new)
    assert ApiKey.objects.get().previous_hash == ""


@pytest.mark.django_db
def test_rotating_again_ends_the_older_grace_time(ben, member):
    row, first = factories.key(member)
    second = _rotate(ben, row.prefix)
    third = _rotate(ben, row.prefix)
    assert [_works(first), _works(second), _works(third)] == [False, True, True]


@pytest.mark.django_db
@pytest.mark.parametrize("seconds", [-1, 2_592_001, 1.5, "60", True])
def test_a_wrong_grace_time_is_refused(ben, member, seconds):
    row, token = factories.key(member)
    answer = ben.send("POST", f"{KEYS}/{row.prefix}/rotate", {"grace_seconds": seconds})
    assert list(answer.json()["details"]["fields"]) == ["grace_seconds"]
    assert answer.status_code == 400
    assert _works(token)
    assert _rotate(ben, row.prefix, grace_seconds=2_592_000)


@pytest.mark.django_db
def test_revoking_ends_both_secrets(ben, member):
    row, old = factories.key(member)
    new = _rotate(ben, row.prefix)
    ben.send("POST", f"{KEYS}/{row.prefix}/revoke")
    assert Api(new).get(WHOAMI).json()["error"] == "api_key_revoked"
    assert Api(old).get(WHOAMI).json()["error"] == "invalid_api_key"


def _at_once(*actions) -> list[object]:
    """Run these in threads that begin together; return what each returned or raised."""
    barrier, results = Barrier(len(actions)), [None] * len(actions)

    def run(number: int) -> None:
        try:
            barrier.wait()
            results[number] = actions[number]()
        except Exception as error:
            results[number] = error
        finally:
            connection.close()

    threads = [Thread(target=run, args=(number,)) for number in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
def test_a_secret_that_was_answered_is_one_that_works():
    """Of rotations at once each either fails or was not overtaken by one that saw the same."""
    row, old = factories.key()
    done = _at_once(*[lambda: services.rotate(row.prefix, 60, ALL)] * 6)
    tokens = [result[1] for result in done if isinstance(result, tuple)]
    assert len(tokens) >= 1
    assert all(isinstance(result, tuple | Conflict) for result in done)
    working = [token for token in [old, *tokens] if _works(token)]
    # The newest and the one before it, never two with the same one before.
    assert len(working) == 2


@pytest.mark.django_db
def test_of_two_rotations_from_the_same_secret_one_wins(monkeypatch):
    row, old = factories.key()
    slow = ApiKey.objects.get()
    _, fast_token = services.rotate(row.prefix, 60, ALL)
    with monkeypatch.context() as patch:
        patch.setattr(services, "find", lambda *_: slow)
        with pytest.raises(Conflict):
            services.rotate(row.prefix, 60, ALL)
    assert _works(fast_token)
    assert _works(old)


@pytest.mark.django_db
def test_a_rotation_that_began_before_a_revocation_brings_nothing_back(monkeypatch):
    row, old = factories.key()
    slow = ApiKey.objects.get()
    services.revoke(row.prefix, ALL)
    with monkeypatch.context() as patch:
        patch.setattr(services, "find", lambda *_: slow)
        with pytest.raises(Conflict):
            services.rotate(row.prefix, 60, ALL)
    assert ApiKey.objects.get().previous_hash == ""
    assert Api(old).get(WHOAMI).json()["error"] == "api_key_revoked"
