"""The pages of keys: a secret is shown once and kept nowhere, errors stand at their fields."""

import re
from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from apikeys.models import DEFAULT_SCOPES, ApiKey, KeyDay
from jobs.choices import Status
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
FORM = {"name": "phone", "scopes": list(DEFAULT_SCOPES), "rate_limit": "120", "expires": ""}
WHOAMI = "/api/v2/whoami"


def _token(page) -> str:
    found = re.search(r'id="token"[^>]*>([^<]+)<', page.text)
    assert found is not None, page.text
    return found[1]


def _made(browser, **fields):
    answer = browser.post("/keys/new", FORM | fields)
    assert answer.status_code == 201, answer.text
    return answer


def test_without_keys_one_is_led_to_making_one(browser):
    page = browser.get("/keys").text
    assert "There is no key yet" in page
    assert 'href="/keys/new"' in page
    assert 'href="/keys"' in browser.get("/").text  # from the account's menu


def test_a_key_is_made_and_shown_once(browser, member, caplog):
    page = _made(browser)
    token = _token(page)
    key = ApiKey.objects.get()
    assert (key.name, key.owner, key.scopes) == ("phone", member, list(DEFAULT_SCOPES))
    assert (key.jobs_per_day, key.gpu_seconds_per_day, key.expiry_date) == (None, None, None)
    assert Api(token).get(WHOAMI).status_code == 200
    secret = token.partition(".")[2]
    assert "no-store" in page.headers["Cache-Control"]
    for address in ("/keys", f"/keys/{key.prefix}", f"/keys/{key.prefix}/edit"):
        assert secret not in browser.get(address).text
    stored = "".join(str(session.get_decoded()) for session in Session.objects.all())
    assert secret not in stored + caplog.text + str(browser.cookies)
    # Links and forms lead nowhere with it; the picture is inside of the page.
    assert not re.search(rf'(?:href|action|src)="[^"]*{secret}', page.text)


def test_the_code_holds_the_address_and_the_key(browser, settings, monkeypatch):
    held = []
    import segno

    make = segno.make
    monkeypatch.setattr("segno.make", lambda text, **o: held.append(text) or make(text, **o))
    token = _token(_made(browser))
    assert held == [f'{{"url":"http://testserver","token":"{token}"}}']
    settings.PUBLIC_URL = "https://sd.example.com"
    page = browser.post("/keys/new", FORM)
    assert held[1].startswith('{"url":"https://sd.example.com",')
    assert 'src="data:image/svg+xml' in page.text


def test_an_address_that_only_this_computer_knows_is_said(browser, settings):
    settings.ALLOWED_HOSTS = ["localhost", "192.168.1.5"]
    words = "This address works on this computer only"
    at = {"HTTP_HOST": "localhost:8000"}
    assert words in browser.post("/keys/new", FORM, **at).text
    at = {"HTTP_HOST": "192.168.1.5:8000"}
    assert words not in browser.post("/keys/new", FORM, **at).text


def test_limits_are_taken(browser):
    before = timezone.now()
    _made(
        browser,
        description="In the studio",
        scopes=["jobs:write"],
        expires="30",
        jobs_per_day="50",
        gpu_minutes="1,5",
        rate_limit="0",
        allowed_ips="192.168.1.0/24\n10.0.0.1, 10.0.0.2",
    )
    key = ApiKey.objects.get()
    assert (key.description, key.scopes) == ("In the studio", ["jobs:write"])
    assert (key.jobs_per_day, key.gpu_seconds_per_day, key.rate_limit) == (50, 90, 0)
    assert key.allowed_ips == ["192.168.1.0/24", "10.0.0.1", "10.0.0.2"]
    assert abs(key.expiry_date - before - timedelta(days=30)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("field", "value", "at"),
    [
        ("name", "", "name"),
        ("scopes", [], "scopes"),
        ("scopes", ["fly"], "scopes"),
        ("jobs_per_day", "many", "jobs_per_day"),
        ("jobs_per_day", "-1", "jobs_per_day"),
        ("jobs_per_day", "9" * 20, "jobs_per_day"),
        ("jobs_per_day", "²", "jobs_per_day"),
        ("gpu_minutes", "-0.1", "gpu_minutes"),
        ("gpu_minutes", "inf", "gpu_minutes"),
        ("gpu_minutes", "nan", "gpu_minutes"),
        ("rate_limit", "fast", "rate_limit"),
        ("allowed_ips", "home", "allowed_ips"),
        ("allowed_app_types", ["typewriter"], "allowed_app_types"),
    ],
)
@pytest.mark.parametrize("where", ["new", "edit"])
def test_what_can_not_be_is_said_at_its_field(browser, member, where, field, value, at):
    path = "/keys/new"
    if where == "edit":
        path = f"/keys/{factories.key(member, name='old')[0].prefix}/edit"
    before = list(ApiKey.objects.values())
    page = browser.post(path, FORM | {"description": "kept", field: value})
    assert page.status_code == 422
    assert re.search(r'class="field-error"[^>]*>It m', page.text)
    assert "kept" in page.text
    assert list(ApiKey.objects.values()) == before


def test_a_form_that_is_sent_back_changes_nothing(browser, member):
    row, _ = factories.key(
        member,
        ["jobs:read", "jobs:all"],
        description="words",
        jobs_per_day=7,
        gpu_seconds_per_day=100,
        rate_limit=30,
        allowed_ips=["10.0.0.0/8", "10.0.0.1"],
        allowed_app_types=["forge"],
        expiry_date=timezone.now() + timedelta(days=3),
    )
    page = browser.get(f"/keys/{row.prefix}/edit").text
    form: dict[str, list[str]] = {}
    for tag in re.findall(r"<input[^>]*>", page):
        name, value = (re.search(rf'\b{what}="([^"]*)"', tag) for what in ("name", "value"))
        is_box = 'type="checkbox"' in tag
        if name and value and (not is_box or "checked" in tag):
            form.setdefault(name[1], []).append(value[1])
    form["allowed_ips"] = [re.search(r"<textarea[^>]*>([^<]*)</textarea>", page)[1]]
    form["expires"] = [re.search(r'<option value="([^"]*)" selected', page)[1]]
    before = ApiKey.objects.values().get()
    answer = browser.post(f"/keys/{row.prefix}/edit", form)
    assert answer.status_code == 303, answer.text
    assert ApiKey.objects.values().get() == before


def test_members_are_offered_no_more_than_they_have(browser, staff_browser, member):
    page = browser.get("/keys/new").text
    assert 'value="admin"' not in page
    assert 'name="whose"' not in page
    assert 'value="admin"' in staff_browser.get("/keys/new").text
    refused = browser.post("/keys/new", FORM | {"scopes": ["admin"]})
    assert refused.status_code == 422
    assert "nobody gives away more" in refused.text
    assert browser.post("/keys/new", FORM | {"whose": "installation"}).status_code == 422
    assert ApiKey.objects.count() == 0


def test_staff_make_keys_of_the_installation_and_see_those_of_others(staff_browser, member):
    factories.key(member, name="bens")
    _made(staff_browser, whose="installation")
    assert ApiKey.objects.get(name="phone").owner is None
    page = staff_browser.get("/keys").text
    assert "bens" in page
    assert "the installation" in page


@pytest.mark.parametrize(
    ("method", "tail"),
    [
        ("get", ""),
        ("get", "/edit"),
        ("post", "/edit"),
        ("get", "/rotate"),
        ("post", "/rotate"),
        ("post", "/switch"),
        ("post", "/revoke"),
        ("post", "/delete"),
    ],
)
def test_others_keys_are_not_there(browser, method, tail):
    row, _ = factories.key(factories.user())
    before = list(ApiKey.objects.values())
    answer = getattr(browser, method)(f"/keys/{row.prefix}{tail}", {**FORM, "to": "off"})
    assert answer.status_code == 404
    assert list(ApiKey.objects.values()) == before
    assert getattr(Client(), method)(f"/keys/{row.prefix}{tail}").status_code == 302


def test_a_key_is_switched_off_and_on(browser, member):
    row, token = factories.key(member)
    browser.post(f"/keys/{row.prefix}/switch", {"to": "off"})
    assert Api(token).get(WHOAMI).status_code == 401
    assert "Switched off" in browser.get("/keys").text
    browser.post(f"/keys/{row.prefix}/switch", {"to": "on"})
    assert Api(token).get(WHOAMI).status_code == 200
    assert browser.post(f"/keys/{row.prefix}/switch", {"to": "x"}).status_code == 400


def test_a_new_secret_is_shown_once_and_the_one_before_ends_in_time(browser, member):
    row, old = factories.key(member)
    page = browser.post(f"/keys/{row.prefix}/rotate", {"grace": "0"})
    assert "no-store" in page.headers["Cache-Control"]
    assert Api(old).get(WHOAMI).status_code == 401
    new = _token(page)
    again = browser.post(f"/keys/{row.prefix}/rotate", {"grace": "3600"})
    assert "The secret before works until" in again.text
    for token in (new, _token(again)):
        assert Api(token).get(WHOAMI).status_code == 200


def test_a_key_is_revoked_and_deleted(browser, member):
    row, token = factories.key(member)
    browser.post(f"/keys/{row.prefix}/revoke")
    assert Api(token).get(WHOAMI).json()["error"] == "api_key_revoked"
    page = browser.get(f"/keys/{row.prefix}").text
    assert "Revoked" in page
    assert "/rotate" not in page
    assert browser.get(f"/keys/{row.prefix}/rotate").status_code == 302
    assert browser.post(f"/keys/{row.prefix}/rotate").status_code == 302
    browser.post(f"/keys/{row.prefix}/delete")
    assert ApiKey.objects.count() == 0


def test_usage_is_shown(browser, member):
    row, _ = factories.key(member, jobs_per_day=2, gpu_seconds_per_day=600)
    KeyDay.objects.create(key=row, day=timezone.now().date(), requests=1234, errors=7)
    for _ in range(2):
        factories.job(Status.COMPLETED, owner=member, api_key=row)
    page = browser.get(f"/keys/{row.prefix}").text
    for words in ("1,234", "2 of 2", "0 s of 10 min", "Used up", 'max="600"'):
        assert words in page


def test_the_list_costs_the_same_for_more_keys(browser, member, django_assert_num_queries):
    factories.key(member)
    browser.get("/keys")
    with django_assert_num_queries(3):
        browser.get("/keys")
    for _ in range(5):
        factories.key(member)
    with django_assert_num_queries(3):
        browser.get("/keys")
