"""A key from a phone: made, copied, paired, used against the API, switched off."""

import json
from datetime import timedelta

import pytest
import requests
import segno
from django.contrib.auth import get_user_model
from django.utils import timezone
from playwright.sync_api import expect

from apikeys.models import ApiKey, KeyDay
from tests import factories
from tests.browser.conftest import DESK, PHONE
from tests.browser.test_looks import SCRIPTS

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def _make(page, name: str = "studio") -> str:
    page.goto("/keys/new")
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("heading", name="The key", exact=True)).to_be_visible()
    return page.locator("#token").text_content()


def _answer(site, token: str) -> int:
    headers = {"Authorization": f"Api-Key {token}"}
    return requests.get(f"{site.web.url}/api/v2/whoami", headers=headers, timeout=10).status_code


def test_a_key_is_made_copied_paired_used_and_switched_off(site):
    page = site.page_at(user="anna", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("Account of anna").click()
    page.get_by_role("link", name="API keys").click()
    page.get_by_role("link", name="Make a key").click()
    page.get_by_label("Name").fill("studio")
    page.get_by_label("Rate, tag and delete pictures").check()
    page.get_by_text("Limits and more").click()
    page.get_by_label("Jobs in 24 hours").fill("many")
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_text("It must be a whole number")).to_be_visible()
    page.get_by_label("Jobs in 24 hours").fill("50")
    page.get_by_role("button", name="Make the key").click()

    token = page.locator("#token").text_content()
    page.get_by_role("button", name="Copy the key", exact=True).click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == token
    code = page.get_by_role("img", name="QR code")
    assert code.evaluate("image => image.naturalWidth") > 0  # the page's rules let it be shown
    key = ApiKey.objects.get()
    assert page.url == f"{site.web.url}/keys/{key.prefix}"  # a reload makes no second key
    assert _answer(site, token) == 200

    page.reload()
    assert token not in page.content()
    assert ApiKey.objects.count() == 1
    page.get_by_role("button", name="Switch off").click()
    expect(page.get_by_role("button", name="Switch on")).to_be_visible()
    assert _answer(site, token) == 401
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_role("button", name="Switch off")).to_be_visible()
    assert _answer(site, token) == 200


def test_the_code_on_the_screen_is_the_address_with_the_key(site):
    page = site.page_at(user="anna")
    token = _make(page)
    source = page.get_by_role("img", name="QR code").get_attribute("src")
    pairing = json.dumps({"url": site.web.url, "token": token}, separators=(",", ":"))
    assert source == segno.make(pairing, error="m").svg_data_uri(
        border=3, dark="#000", light="#fff"
    )


def test_where_the_browser_does_not_copy_the_key_is_selected_and_said_so(site):
    page = site.page_at(user="anna")
    page.add_init_script(
        """Object.defineProperty(navigator, "clipboard", { value: undefined });
        Object.defineProperty(window, "isSecureContext", { value: false });
        document.execCommand = () => false;"""
    )
    token = _make(page)
    page.get_by_role("button", name="Copy the key", exact=True).click()
    expect(page.get_by_text("This page came without https")).to_be_visible()
    assert page.evaluate("String(getSelection())") == token


def test_a_secret_is_changed_and_a_key_is_ended(site):
    page = site.page_at(user="anna")
    old = _make(page)
    page.get_by_role("link", name="I have kept it").click()
    page.get_by_role("link", name="New secret").click()
    page.get_by_label("The secret so far still works").select_option(label="Not at all")
    page.get_by_role("button", name="Make a new secret").click()
    new = page.locator("#token").text_content()
    assert (_answer(site, old), _answer(site, new)) == (401, 200)
    page.reload()
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("button", name="Keep it").click()
    assert _answer(site, new) == 200
    page.get_by_role("button", name="Revoke").click()
    page.locator("#confirm").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("Revoked", exact=True)).to_be_visible()
    assert _answer(site, new) == 401
    page.get_by_role("button", name="Delete").click()
    page.locator("#confirm").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("There is no key yet")).to_be_visible()
    assert ApiKey.objects.count() == 0


def _fill(anna) -> dict[str, str]:
    """Make keys in all states; return the addresses of all pages of keys."""
    now = timezone.now()
    busy, _ = factories.key(
        anna,
        name="Forge in the studio, with a long name for 390 px",
        description="Donaudampfschifffahrtsgesellschaftskapitän " * 3,
        jobs_per_day=20,
        gpu_seconds_per_day=3600,
        allowed_ips=["192.168.178.0/24", "2001:db8:1234:5678::/64"],
        expiry_date=now + timedelta(days=30),
        last_used_at=now - timedelta(minutes=5),
    )
    for day in range(20):
        at = now.date() - timedelta(days=day)
        KeyDay.objects.create(key=busy, day=at, requests=100 + 37 * day % 90, errors=day % 7)
    for number in range(20):
        factories.job(owner=anna, api_key=busy, created_at=now - timedelta(hours=number))
    factories.key(anna, name="shortcut on the phone", is_active=False)
    factories.key(anna, name="trial", expiry_date=now - timedelta(days=1))
    revoked, _ = factories.key(anna, name="lost", revoked=True)
    factories.key(factories.user("ben"), name="bens script")
    factories.key(name="backup")
    return {
        "list": "/keys",
        "new": "/keys/new",
        "key": f"/keys/{busy.prefix}",
        "edit": f"/keys/{busy.prefix}/edit",
        "rotate": f"/keys/{busy.prefix}/rotate",
        "revoked": f"/keys/{revoked.prefix}",
    }


@pytest.mark.parametrize(
    ("size", "dark"), [(PHONE, True), (DESK, False)], ids=["dark phone", "light desk"]
)
def test_the_pages_fit_and_can_be_read_and_touched(site, size, dark):
    page = site.page_at(size, dark=dark, user="anna")
    page.goto("/keys")

    def check(name: str) -> None:
        page.evaluate("document.querySelectorAll('main details').forEach((d) => (d.open = true))")
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], name
        assert page.evaluate((SCRIPTS / "small_targets.js").read_text()) == [], name
        assert page.evaluate((SCRIPTS / "poor_contrast.js").read_text()) == [], name
        assert page.evaluate((SCRIPTS / "nameless.js").read_text()) == [], name

    check("empty")
    for name, address in _fill(get_user_model().objects.get(username="anna")).items():
        page.goto(address)
        check(name)
    page.goto("/keys/new")
    page.get_by_role("button", name="Make the key").click()
    check("errors")
    page.get_by_label("Name").fill("studio")
    page.get_by_role("button", name="Make the key").click()
    check("shown")
