"""Keys in the administration: the same checks, a secret shown once, rotate and revoke."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.utils.html import escape

from apikeys import services
from apikeys.models import ApiKey
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
LIST = "/admin/apikeys/apikey/"
FORM = {
    "name": "phone",
    "description": "",
    "owner": "",
    "scopes": ["jobs:read"],
    "is_active": "on",
    "allowed_ips": "",
    "rate_limit": "120",
    "jobs_per_day": "",
    "gpu_seconds_per_day": "",
    "expiry_date_0": "",
    "expiry_date_1": "",
}
EVERYTHING = {
    "description": "words",
    "allowed_app_types": ["forge"],
    "allowed_ips": "192.168.1.7/24, 10.0.0.1",
    "rate_limit": "0",
    "jobs_per_day": "5",
    "gpu_seconds_per_day": "60",
    "expiry_date_0": "2099-01-31",
    "expiry_date_1": "18:00:00",
}


@pytest.fixture
def page(staff_browser):
    return staff_browser


def _works(token: str) -> bool:
    return bool(Api(token).get("/api/v2/whoami").status_code == 200)


def _shown(page) -> str:
    found = re.search(r'id="token"[^>]*>(\w{8}\.\w{32})<', page.text)
    assert found is not None, page.text
    assert "no-store" in page.headers["Cache-Control"]
    return found[1]


@pytest.mark.parametrize("way", ["add", "change"])
def test_every_field_is_taken(page, way):
    row = factories.key()[0] if way == "change" else None
    address = f"{LIST}{row.prefix}/change/" if row else f"{LIST}add/"
    answer = page.post(address, FORM | EVERYTHING, follow=True)
    key = ApiKey.objects.get()
    assert (key.name, key.description, key.scopes) == ("phone", "words", ["jobs:read"])
    assert (key.allowed_app_types, key.allowed_ips) == (["forge"], ["192.168.1.0/24", "10.0.0.1"])
    assert (key.rate_limit, key.jobs_per_day, key.gpu_seconds_per_day) == (0, 5, 60)
    assert key.expiry_date.year == 2099
    if way == "add":
        assert answer.status_code == 201
        page.post(f"{LIST}{key.prefix}/change/", FORM)  # without its list of addresses
        token = _shown(answer)
        assert _works(token)
        assert token not in page.get(LIST).text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "x" * 51),
        ("scopes", []),
        ("scopes", ["fly"]),
        ("allowed_ips", "home"),
        ("allowed_app_types", ["typewriter"]),
        ("rate_limit", "-1"),
        ("rate_limit", "100001"),
        ("jobs_per_day", "-1"),
    ],
)
def test_what_can_not_be_is_refused(page, field, value):
    row, _ = factories.key(name="old")
    before = ApiKey.objects.values().get()
    for address in (f"{LIST}add/", f"{LIST}{row.prefix}/change/"):
        answer = page.post(address, FORM | {field: value})
        assert answer.status_code == 200
        assert 'class="errorlist"' in answer.text
    assert ApiKey.objects.values().get() == before


def test_a_change_does_not_undo_a_rotation_meanwhile(page, monkeypatch):
    row, _ = factories.key()
    change, rotated = services.change, []

    def late(prefix, fields, actor):
        rotated.append(services.rotate(prefix, 0, actor)[1])
        return change(prefix, fields, actor)

    monkeypatch.setattr(services, "change", late)
    page.post(f"{LIST}{row.prefix}/change/", FORM)
    assert ApiKey.objects.get().name == "phone"
    assert _works(rotated[0])


def test_a_secret_is_in_the_answer_and_nowhere_else(page):
    """A message would lie in a cookie or in the session's row until it is shown."""
    made = page.post(f"{LIST}add/", FORM)
    row = ApiKey.objects.get()
    rotated = page.post(LIST, {"action": "rotate", "_selected_action": [row.pk]})
    for answer in (made, rotated):
        secret = _shown(answer).partition(".")[2]
        kept = [str(session.get_decoded()) for session in Session.objects.all()]
        kept += [str(page.cookies), str(answer.headers), *map(str, LogEntry.objects.values())]
        assert secret not in "".join(kept)
        assert secret not in page.get(LIST).text


def test_a_key_is_rotated(page):
    row, old = factories.key()
    answer = page.post(LIST, {"action": "rotate", "_selected_action": [row.pk]})
    assert (_works(_shown(answer)), _works(old)) == (True, True)


def test_keys_are_rotated_one_at_a_time(page):
    keys = [factories.key() for _ in range(2)]
    chosen = {"action": "rotate", "_selected_action": [row.pk for row, _ in keys]}
    assert "Rotate one key at a time" in page.post(LIST, chosen, follow=True).text
    assert {row.hashed_key for row in ApiKey.objects.all()} == {row.hashed_key for row, _ in keys}


def test_a_revoked_key_is_not_rotated(page):
    revoked, _ = factories.key(name="lost", revoked=True)
    chosen = {"action": "rotate", "_selected_action": [revoked.pk]}
    answer = page.post(LIST, chosen, follow=True)
    assert "Lost: The API key can&#x27;t be changed" in answer.text


@pytest.mark.parametrize("problem", [services._refused(), services._absent()])
def test_what_ends_a_key_while_it_is_changed_is_told_in_the_form(page, monkeypatch, problem):
    row, _ = factories.key(name="old")

    def meanwhile(*_):
        raise problem

    monkeypatch.setattr(services, "change", meanwhile)
    answer = page.post(f"{LIST}{row.prefix}/change/", FORM)
    assert answer.status_code == 200
    (said,) = re.findall(r'<ul class="errorlist nonfield"[^>]*>.*?</ul>', answer.text, re.S)
    assert escape(problem.message) in said
    assert 'value="phone"' in answer.text  # what was typed is not lost
    assert ApiKey.objects.get().name == "old"


def test_keys_are_revoked_and_then_read_only(page):
    row, token = factories.key(name="old")
    page.post(LIST, {"action": "revoke", "_selected_action": [row.pk]})
    assert not _works(token)
    address = f"{LIST}{row.prefix}/change/"
    assert 'name="is_active"' not in page.get(address).text
    page.post(address, FORM)
    key = ApiKey.objects.get()
    assert (key.revoked, key.name) == (True, "old")


def test_no_hash_stands_on_a_page_or_in_an_address(page):
    row, _ = factories.key()
    for address in (LIST, f"{LIST}{row.pk}/change/"):
        assert row.hashed_key not in page.get(address).text
    assert row.pk == row.prefix
