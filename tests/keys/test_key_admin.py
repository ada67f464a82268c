"""Keys in the administration: the same checks, a secret shown once, rotate and revoke."""

import re

import pytest

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
    found = re.search(r"is (\w{8}\.\w{32})\. Keep it now", page.text)
    assert found is not None, page.text
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
    from apikeys import admin, services

    row, _ = factories.key()
    change, rotated = services.change, []

    def late(prefix, fields, actor):
        rotated.append(services.rotate(prefix, 0, actor)[1])
        return change(prefix, fields, actor)

    monkeypatch.setattr(admin.services, "change", late)
    page.post(f"{LIST}{row.prefix}/change/", FORM)
    assert ApiKey.objects.get().name == "phone"
    assert _works(rotated[0])


def test_keys_are_rotated(page):
    row, old = factories.key()
    revoked, _ = factories.key(name="lost", revoked=True)
    chosen = {"action": "rotate", "_selected_action": [row.pk, revoked.pk]}
    answer = page.post(LIST, chosen, follow=True)
    token = _shown(answer)
    assert (_works(token), _works(old)) == (True, True)
    assert "Lost: The API key can&#x27;t be changed" in answer.text
    assert token not in page.get(LIST).text


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
