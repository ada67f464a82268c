"""How the pages of webhooks look and work in a browser: phone and desk, light and dark."""

from pathlib import Path

import pytest
from django.utils import timezone

from jobs.models import Delivery, Webhook
from tests import browser
from tests.browser.conftest import DESK, PHONE, chromium, site, web  # noqa: F401  fixtures

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SCRIPTS = Path(browser.__file__).parent


def fill() -> list[str]:
    from django.contrib.auth import get_user_model

    anna = get_user_model().objects.get(username="anna")
    now = timezone.now()

    def webhook(url: str, **fields):
        fields = {"events": ["job.status", "image.created"], "sealed_secret": "x", **fields}
        return Webhook.objects.create(owner=anna, url=url, created_at=now, **fields)

    first = webhook("https://example.com/hooks/" + "a-very-long-path/" * 8, events=["*"])
    webhook("http://192.168.1.20:5000/hook", failures_in_row=3, sees_all_jobs=True)
    webhook(
        "https://gone.example/",
        is_active=False,
        off_reason="Nothing was delivered since 2026-01-01 10:00 UTC. The last try: It answered"
        " 500 Internal Server Error.",
    )
    for state, told in (
        ("delivered", {"last_status": 204, "milliseconds": 31.4, "tries": 1}),
        ("failed", {"last_status": 500, "last_error": "It answered 500.", "tries": 8}),
        ("pending", {"last_error": "It did not answer within 10 seconds.", "tries": 2}),
        ("pending", {}),
    ):
        Delivery.objects.create(
            webhook=first,
            kind="job.status",
            body="{}",
            state=state,
            due_at=now,
            created_at=now,
            **told,
        )
    return ["/webhooks", "/webhooks/add", f"/webhooks/{first.pk}"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_every_page_fits_can_be_read_and_touched(site, size, dark):  # noqa: F811
    pages = fill()
    page = site.page_at(size, dark=dark, user="anna")
    for address in pages:
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], address
        assert page.evaluate((SCRIPTS / "small_targets.js").read_text()) == [], address
        assert page.evaluate((SCRIPTS / "poor_contrast.js").read_text()) == [], address
        assert page.evaluate((SCRIPTS / "nameless.js").read_text()) == [], address


def test_a_webhook_is_made_tested_and_switched_off_on_a_phone(site):  # noqa: F811
    page = site.page_at(PHONE, user="anna")
    page.get_by_label("Account of anna").click()
    page.get_by_role("link", name="Webhooks").click()
    page.get_by_role("link", name="Add a webhook").click()
    page.get_by_label("Address").fill("https://example.com/hook")
    page.get_by_label("A picture is there").check()
    page.get_by_role("button", name="Add the webhook").click()
    secret = page.get_by_label("Secret", exact=True).input_value()
    assert len(secret) >= 40
    page.get_by_role("link", name="I have copied it").click()
    assert secret not in page.content()
    page.get_by_role("button", name="Test").click()
    page.get_by_text("webhook.test").wait_for()
    page.get_by_role("button", name="Switch off").click()
    page.get_by_role("button", name="Switch on").wait_for()
    row = Webhook.objects.get()
    assert not row.is_active
    assert row.events == ["job.status", "image.created"]
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("There is no webhook yet.").wait_for()
