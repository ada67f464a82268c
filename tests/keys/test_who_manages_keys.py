"""Whose keys somebody sees and changes, and what they may give away."""

import pytest

from apikeys.models import SCOPES, ApiKey
from tests import factories
from tests.api.conftest import Api
from tests.keys.conftest import KEYS

pytestmark = pytest.mark.django_db


def _names(client: Api) -> set[str]:
    return {key["name"] for key in client.get(KEYS).json()["api_keys"]}


@pytest.fixture
def others(member):
    """One key of everybody."""
    ann = factories.user("ann")
    return {
        "own": factories.key(member, name="own")[0],
        "anns": factories.key(ann, name="anns")[0],
        "installation": factories.key(name="installation")[0],
    }


def test_members_see_their_own_and_staff_all(ben, anna, others):
    assert _names(ben) == {"own"}
    assert _names(anna) == {"own", "anns", "installation"}


def test_an_admin_key_sees_its_owners_and_one_of_the_installation_all(member, others):
    # The owner's being staff gives the key nothing more.
    of_staff = factories.key(factories.staff(), ["admin"], name="annas")[1]
    assert _names(Api(of_staff)) == {"annas"}
    assert _names(Api(factories.key(None, ["admin"], name="boss")[1])) >= set(others)


@pytest.mark.parametrize("of", ["anns", "installation"])
@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [
        ("GET", "", None),
        ("PUT", "", {"name": "mine"}),
        ("PATCH", "", {"name": "mine"}),
        ("DELETE", "", None),
        ("POST", "/rotate", {}),
        ("POST", "/revoke", None),
    ],
)
def test_others_keys_are_not_there(ben, others, of, method, tail, body):
    before = list(ApiKey.objects.order_by("prefix").values())
    answer = ben.send(method, f"{KEYS}/{others[of].prefix}{tail}", body)
    absent = ben.send(method, f"{KEYS}/nothing1{tail}", body)
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
    assert answer.json()["message"] == absent.json()["message"]
    assert list(ApiKey.objects.order_by("prefix").values()) == before


@pytest.mark.parametrize("scopes", [[scope for scope in SCOPES if scope != "admin"], []])
@pytest.mark.parametrize(
    ("method", "tail"),
    [
        ("GET", None),
        ("POST", None),
        ("GET", ""),
        ("PUT", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/rotate"),
        ("POST", "/revoke"),
    ],
)
def test_a_key_without_admin_manages_no_keys(member, scopes, method, tail):
    row, token = factories.key(member, scopes)
    path = KEYS if tail is None else f"{KEYS}/{row.prefix}{tail}"
    answer = Api(token).send(method, path, {"name": "x"})
    assert (answer.status_code, answer.json()["error"]) == (403, "scope_missing")
    assert answer.json()["details"]["scope"] == "admin"


def test_nobody_who_is_not_signed_in_manages_keys(db):
    for method in ("GET", "POST"):
        assert Api().send(method, KEYS, {"name": "x"}).status_code == 401
    assert ApiKey.objects.count() == 0


@pytest.mark.parametrize("scope", ["admin", "jobs:all", "models:write"])
def test_members_give_no_more_than_they_have(ben, member, scope):
    answer = ben.send("POST", KEYS, {"name": "x", "scopes": ["jobs:read", scope]})
    assert (answer.status_code, answer.json()["error"]) == (403, "scope_missing")
    assert answer.json()["details"]["scope"] == scope
    assert list(answer.json()["details"]["fields"]) == ["scopes"]
    row, _ = factories.key(member, ["jobs:read"])
    path = f"{KEYS}/{row.prefix}"
    assert ben.send("PATCH", path, {"scopes": ["jobs:read", scope]}).status_code == 403
    assert ApiKey.objects.get().scopes == ["jobs:read"]


def test_what_staff_gave_a_members_key_it_keeps(ben, member):
    row, _ = factories.key(member, ["jobs:read", "jobs:all"])
    path = f"{KEYS}/{row.prefix}"
    kept = ben.send("PATCH", path, {"scopes": ["jobs:all"], "name": "kept"})
    assert kept.status_code == 200
    assert ben.send("PATCH", path, {"scopes": ["jobs:read"]}).status_code == 200
    assert ben.send("PATCH", path, {"scopes": ["jobs:all"]}).status_code == 403


def test_staff_give_everything_and_choose_the_owner(anna, member):
    made = anna.send("POST", KEYS, {"name": "a", "scopes": list(SCOPES)}).json()["api_key"]
    assert (made["scopes"], made["owner"]) == (list(SCOPES), "anna")
    bens = anna.send("POST", KEYS, {"name": "b", "owner": "ben"}).json()["api_key"]
    assert bens["owner"] == "ben"
    nobodys = anna.send("POST", KEYS, {"name": "c", "owner": ""}).json()["api_key"]
    assert nobodys["owner"] is None
    moved = anna.send("PATCH", f"{KEYS}/{bens['id']}", {"owner": ""}).json()["api_key"]
    assert moved["owner"] is None
    unknown = anna.send("POST", KEYS, {"name": "d", "owner": "nobody"})
    assert list(unknown.json()["details"]["fields"]) == ["owner"]


@pytest.mark.parametrize("owner", ["anna", "", "nobody"])
def test_members_do_not_choose_the_owner(ben, anna, member, owner):
    answer = ben.send("POST", KEYS, {"name": "x", "owner": owner})
    assert (answer.status_code, answer.json()["error"]) == (403, "scope_missing")
    assert answer.json()["message"] == "owner can be set by staff only."
    assert ApiKey.objects.count() == 0
    row, _ = factories.key(member)
    assert ben.send("PATCH", f"{KEYS}/{row.prefix}", {"owner": owner}).status_code == 403
    assert ben.send("PATCH", f"{KEYS}/{row.prefix}", {"owner": "ben"}).status_code == 200
    assert ApiKey.objects.get().owner == member


def test_an_owner_who_does_not_exist_is_not_the_installation(boss):
    assert boss.send("POST", KEYS, {"name": "x", "owner": "nobody"}).status_code == 400
    made = boss.send("POST", KEYS, {"name": "x"}).json()["api_key"]
    assert made["owner"] is None
