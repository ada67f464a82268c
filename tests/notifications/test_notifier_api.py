"""Notifiers over REST: the address goes in and never comes out."""

import pytest

from jobs.models import Notice, Notifier
from jobs.notifications.services import MAX_EACH
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db

PATH = "/api/v2/notifiers"
ADDRESS = "tgram://123456789:a_very_secret_token/12345"


def made(api, **fields):
    answer = api.send("POST", PATH, {"url": ADDRESS, "kinds": ["done"], **fields})
    assert answer.status_code == 201, answer.json()
    return answer.json()["notifier"]


def test_it_is_made_listed_changed_tested_and_deleted(api) -> None:
    one = made(api, quiet_hours="23:00-07:00", time_zone="Europe/Berlin")
    assert (one["name"], one["service"], one["is_active"]) == ("Telegram", "Telegram", True)
    path = f"{PATH}/{one['id']}"
    assert api.get(PATH).json()["notifiers"] == [one]
    changed = api.send("PATCH", path, {"name": "Phone", "kinds": ["failed", "failed"]}).json()
    assert changed["notifier"] == {**one, "name": "Phone", "kinds": ["failed"]}
    assert api.send("POST", f"{path}/test").status_code == 202
    assert Notice.objects.get().kind == "test"
    assert api.send("DELETE", path).status_code == 200
    assert api.get(path).status_code == 404
    assert not Notice.objects.exists()


def test_the_address_is_sealed_and_never_shown(api) -> None:
    one = made(api)
    path = f"{PATH}/{one['id']}"
    texts = [api.get(PATH).content, api.get(path).content]
    texts += [api.send("PATCH", path, {"is_active": False}).content]
    texts += [api.send("PATCH", path, {"url": "nonsense://very_secret_token"}).content]
    assert not any(b"very_secret_token" in text for text in texts)
    assert "very_secret_token" not in Notifier.objects.get().sealed_url


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"url": "ntfy://127.0.0.1/x"}, "url"),
        ({"url": 5}, "url"),
        ({"kinds": []}, "kinds"),
        ({"kinds": ["everything"]}, "kinds"),
        ({"kinds": "done"}, "kinds"),
        ({"quiet_hours": "at night"}, "quiet_hours"),
        ({"time_zone": "Atlantis/Capital"}, "time_zone"),
        ({"name": "x" * 101}, "name"),
        ({"is_active": "yes"}, "is_active"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_fields_are_named_and_nothing_is_made(api, fields, wrong) -> None:
    answer = api.send("POST", PATH, {"url": ADDRESS, "kinds": ["done"], **fields})
    assert answer.status_code == 400
    assert list(answer.json()["details"]["fields"]) == [wrong]
    assert not Notifier.objects.exists()


def test_each_sees_only_their_own(api, boss) -> None:
    one = made(api)
    other = Api(factories.key(factories.user("other"))[1])
    staff = Api(factories.key(factories.staff("root"))[1])
    for stranger in (other, staff, boss):
        assert stranger.get(PATH).json()["notifiers"] == []
        assert stranger.get(f"{PATH}/{one['id']}").status_code == 404
        assert stranger.send("PATCH", f"{PATH}/{one['id']}", {"name": "x"}).status_code == 404
        assert stranger.send("POST", f"{PATH}/{one['id']}/test").status_code == 404
        assert stranger.send("DELETE", f"{PATH}/{one['id']}").status_code == 404


def test_a_key_without_owner_makes_one_of_the_installation_or_none(boss) -> None:
    made(boss)
    assert Notifier.objects.get().owner is None
    nobody = Api(factories.key()[1])
    answer = nobody.send("POST", PATH, {"url": ADDRESS, "kinds": ["done"]})
    assert answer.status_code == 409
    assert nobody.get(PATH).json()["notifiers"] == []


def test_there_is_an_end_to_them(api, member) -> None:
    for _ in range(MAX_EACH):
        made(api)
    answer = api.send("POST", PATH, {"url": ADDRESS, "kinds": ["done"]})
    assert (answer.status_code, answer.json()["error"]) == (409, "limit_reached")


def test_a_key_needs_the_scope(member) -> None:
    reader = Api(factories.key(member, scopes=["jobs:read"])[1])
    assert reader.get(PATH).status_code == 200
    assert reader.send("POST", PATH, {"url": ADDRESS, "kinds": ["done"]}).status_code == 403


def test_one_that_is_off_sends_no_test(api) -> None:
    one = made(api, is_active=False)
    assert api.send("POST", f"{PATH}/{one['id']}/test").status_code == 409
