"""Keys over REST: made once with their secret, shown without, changed field by field."""

import base64
from datetime import timedelta

import pytest
from django.utils import timezone

from apikeys.models import DEFAULT_SCOPES, ApiKey, KeyDay
from jobs.models import Job
from tests import factories
from tests.api.conftest import Api
from tests.keys.conftest import KEYS

pytestmark = pytest.mark.django_db
WHOAMI = "/api/v2/whoami"


def _rows():
    return list(ApiKey.objects.order_by("prefix").values())


def test_a_key_is_made_with_defaults_and_works(ben, member):
    answer = ben.send("POST", KEYS, {"name": " phone "})
    assert answer.status_code == 201
    body = answer.json()
    made = body["api_key"]
    assert (body["success"], made["name"], made["owner"]) == (True, "phone", "ben")
    assert made["scopes"] == list(DEFAULT_SCOPES)
    assert (made["rate_limit"], made["state"], made["usage_count"]) == (120, "active", 0)
    assert made["token"] == f"{made['key']}.{made['secret']}"
    assert made["id"] == made["key"]
    assert "warnings" not in body
    assert Api(made["token"]).get(WHOAMI).status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_secret_is_shown_by_that_answer_only(ben):
    made = ben.send("POST", KEYS, {"name": "phone"}).json()["api_key"]
    for path in (KEYS, f"{KEYS}/{made['id']}"):
        text = ben.get(path).text
        assert made["key"] in text
        assert made["secret"] not in text
    row = ApiKey.objects.get()
    assert made["secret"] not in repr(vars(row))
    assert row.pk == made["key"]  # not the hash: the admin's addresses show it


EVERYTHING = {
    "name": "studio",
    "description": "The PC in the studio",
    "scopes": ["images:read", "jobs:write", "jobs:write"],
    "allowed_app_types": ["forge"],
    "allowed_ips": ["192.168.1.7/24", "10.0.0.5", "::ffff:10.0.0.6", "2001:db8::/32"],
    "rate_limit": 0,
    "jobs_per_day": 100,
    "gpu_seconds_per_day": 3600,
    "expires_at": "2099-01-31T18:00:00Z",
    "is_active": False,
}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_every_field_is_taken_and_shown(ben, method):
    path = KEYS
    if method != "POST":
        path = f"{KEYS}/{ben.send('POST', KEYS, {'name': 'x'}).json()['api_key']['id']}"
    answer = ben.send(method, path, EVERYTHING)
    assert answer.status_code == (201 if method == "POST" else 200), answer.text
    made = ben.get(f"{KEYS}/{answer.json()['api_key']['id']}").json()["api_key"]
    assert {name: made[name] for name in EVERYTHING} == EVERYTHING | {
        "scopes": ["jobs:write", "images:read"],
        "allowed_ips": ["192.168.1.0/24", "10.0.0.5", "10.0.0.6", "2001:db8::/32"],
        "expires_at": "2099-01-31T18:00:00.000Z",
    }
    assert made["state"] == "off"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_what_is_not_named_stays_and_what_is_shown_may_be_sent_back(ben, method):
    made = ben.send("POST", KEYS, EVERYTHING).json()["api_key"]
    path = f"{KEYS}/{made['id']}"
    before = ben.get(path).json()["api_key"]
    answer = ben.send(method, path, before)
    assert (answer.status_code, "warnings" in answer.json()) == (200, False), answer.text
    assert ben.get(path).json()["api_key"] == before
    ben.send(method, path, {"name": "other", "expires_at": None})
    assert ben.get(path).json()["api_key"] == before | {"name": "other"}


def test_limits_can_be_lifted(ben):
    made = ben.send("POST", KEYS, EVERYTHING).json()["api_key"]
    lifted = {
        "jobs_per_day": 0,
        "gpu_seconds_per_day": 0,
        "expires_at": "",
        "allowed_ips": [],
        "allowed_app_types": [],
    }
    ben.send("PATCH", f"{KEYS}/{made['id']}", lifted)
    row = ApiKey.objects.get()
    assert (row.jobs_per_day, row.gpu_seconds_per_day, row.expiry_date) == (None, None, None)
    assert (row.allowed_ips, row.allowed_app_types) == ([], [])


WRONG = [
    ("name", ""),
    ("name", "x" * 51),
    ("name", 7),
    ("name", "a\x07b"),
    ("description", "x" * 501),
    ("scopes", []),
    ("scopes", "jobs:read"),
    ("scopes", ["fly"]),
    ("scopes", [7]),
    ("allowed_app_types", ["typewriter"]),
    ("allowed_ips", ["home"]),
    ("allowed_ips", ["10.0.0.0/33"]),
    ("allowed_ips", "10.0.0.1"),
    ("allowed_ips", ["10.0.0.1"] * 51),
    ("rate_limit", -1),
    ("rate_limit", 1.5),
    ("rate_limit", True),
    ("rate_limit", "120"),
    ("rate_limit", 100_001),
    ("jobs_per_day", -1),
    ("jobs_per_day", 10**400),
    ("gpu_seconds_per_day", "many"),
    ("expires_at", "tomorrow"),
    ("expires_at", "2099-01-31T18:00:00"),
    ("expires_at", 7),
    ("is_active", "yes"),
    ("revoked", True),
    ("owner", 7),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_wrong_value_is_named_and_nothing_changes(anna, method, field, value):
    row, _ = factories.key(name="old")
    path = KEYS if method == "POST" else f"{KEYS}/{row.prefix}"
    before = _rows()
    answer = anna.send(method, path, {"name": "new", "description": "new", field: value})
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert body["error"] == "invalid_field_value"
    assert list(body["details"]["fields"]) == [field]
    assert body["details"]["fields"][field][0].startswith(f"{field} ")
    assert _rows() == before


def test_all_wrong_values_are_named_at_once(ben):
    fields = ben.send("POST", KEYS, {"name": "", "rate_limit": -1}).json()["details"]["fields"]
    assert sorted(fields) == ["name", "rate_limit"]


def test_a_key_needs_a_name(ben):
    answer = ben.send("POST", KEYS, {})
    assert (answer.status_code, answer.json()["error"]) == (400, "missing_required_field")
    assert list(answer.json()["details"]["fields"]) == ["name"]


def test_a_new_key_can_not_have_expired_but_one_may_be_ended_now(ben):
    past = (timezone.now() - timedelta(seconds=1)).isoformat()
    assert ben.send("POST", KEYS, {"name": "x", "expires_at": past}).status_code == 400
    made = ben.send("POST", KEYS, {"name": "x"}).json()["api_key"]
    ended = ben.send("PATCH", f"{KEYS}/{made['id']}", {"expires_at": past})
    assert ended.json()["api_key"]["state"] == "expired"
    assert Api(made["token"]).get(WHOAMI).json()["error"] == "api_key_expired"


def test_unknown_fields_are_named_without_their_values(ben):
    body = {"name": "x", "colour": "s3cret", "secret": "s3cret"}
    answer = ben.send("POST", KEYS, body)
    assert answer.status_code == 201
    assert len(answer.json()["warnings"]) == 2
    assert "colour" in answer.json()["warnings"][0]
    assert "s3cret" not in answer.text


def test_a_key_is_switched_off_and_on(ben):
    made = ben.send("POST", KEYS, {"name": "x"}).json()["api_key"]
    path = f"{KEYS}/{made['id']}"
    ben.send("PATCH", path, {"is_active": False})
    assert Api(made["token"]).get(WHOAMI).json()["error"] == "invalid_api_key"
    ben.send("PATCH", path, {"is_active": True})
    assert Api(made["token"]).get(WHOAMI).status_code == 200


def test_a_revoked_key_is_refused_and_can_only_be_deleted(ben):
    made = ben.send("POST", KEYS, {"name": "x"}).json()["api_key"]
    path = f"{KEYS}/{made['id']}"
    answer = ben.send("POST", f"{path}/revoke")
    assert (answer.status_code, answer.json()["api_key"]["state"]) == (200, "revoked")
    assert Api(made["token"]).get(WHOAMI).json()["error"] == "api_key_revoked"
    assert ben.send("POST", f"{path}/revoke").status_code == 200
    for method, to, body in (
        ("PATCH", path, {"is_active": True}),
        ("PUT", path, {"name": "y"}),
        ("POST", f"{path}/rotate", {}),
    ):
        refused = ben.send(method, to, body)
        assert (refused.status_code, refused.json()["error"]) == (409, "key_operation_conflict")
    assert ben.send("DELETE", path).status_code == 200
    assert ben.get(path).status_code == 404


def test_a_deleted_key_leaves_its_jobs(ben, member):
    made = ben.send("POST", KEYS, {"name": "x"}).json()["api_key"]
    Job.objects.filter(pk=factories.job(owner=member).pk).update(api_key_id=made["key"])
    assert ben.send("DELETE", f"{KEYS}/{made['id']}").status_code == 200
    assert Api(made["token"]).get(WHOAMI).json()["error"] == "invalid_api_key"
    assert Job.objects.get().api_key_id is None


def test_the_list_counts_what_was_used_in_a_fixed_number_of_queries(
    ben, member, django_assert_num_queries
):
    def used(number: int) -> None:
        row, _ = factories.key(member, name=f"key {number}", jobs_per_day=1)
        for day in (0, 1, 40):
            at = timezone.now().date() - timedelta(days=day)
            KeyDay.objects.create(key=row, day=at, requests=10, errors=1)
        factories.job(owner=member, api_key=row)

    used(0)
    ben.get(KEYS)
    with django_assert_num_queries(10):
        ben.get(KEYS)
    for number in range(1, 4):
        used(number)
    with django_assert_num_queries(10):
        body = ben.get(KEYS).json()
    assert body["count"] == 4
    assert [key["name"] for key in body["api_keys"]] == ["key 3", "key 2", "key 1", "key 0"]
    for key in body["api_keys"]:
        assert (key["usage_count"], key["error_count"]) == (30, 3)
        assert key["usage"]["jobs_per_day"]["used"] == 1


def test_the_list_comes_in_pages(ben, member):
    for number in range(5):
        factories.key(member, name=str(number))
    first = ben.get(f"{KEYS}?limit=2&order=asc").json()
    assert ([key["name"] for key in first["api_keys"]], first["count"]) == (["0", "1"], 5)
    last = ben.get(f"{KEYS}?limit=2&offset=4&order=asc").json()
    assert [key["name"] for key in last["api_keys"]] == ["4"]
    assert ben.get(f"{KEYS}?limit=-1").status_code == 400


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_cursor_shows_each_key_once_while_keys_come_and_go(ben, member, order):
    moment = timezone.now()
    for number in range(5):  # several of one moment
        row, _ = factories.key(member, name=str(number))
        at = moment + timedelta(seconds=number // 2)
        type(row).objects.filter(pk=row.pk).update(created=at)
    factories.key(factories.user(), name="of somebody else")
    whole = ben.get(KEYS, {"order": order}).json()
    assert (whole["count"], whole["total"], whole["total_is_exact"]) == (5, 5, True)
    assert whole["next_cursor"] is None
    seen, cursor = [], ""
    while cursor is not None:
        page = ben.get(KEYS, {"order": order, "limit": 2, "cursor": cursor}).json()
        seen += [key["id"] for key in page["api_keys"]]
        cursor = page["next_cursor"]
        if len(seen) == 2:  # the one that the cursor names is gone
            assert ben.send("DELETE", f"{KEYS}/{seen[-1]}").status_code == 200
    assert seen == [key["id"] for key in whole["api_keys"]]


@pytest.mark.parametrize(
    "place", ["abc", "2026-01-01T00:00:00+00:00|a\0b", "2026-01-01T00:00:00+00:00|", "x|abcdefgh"]
)
def test_a_made_up_cursor_is_named(ben, place):
    cursor = base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")
    refused = ben.get(KEYS, {"cursor": cursor})
    assert refused.status_code == 400
    assert list(refused.json()["details"]["fields"]) == ["cursor"]
