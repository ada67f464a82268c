"""A server that a slip of the thumb deleted is brought back where it was deleted."""

import pytest

from dispatch.models import Server
from tests import factories
from tests.browser.conftest import DESK, PHONE

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_a_deleted_server_comes_back_by_the_toast(site, size):
    factories.server("gpu", hours="23:00-07:00")
    page = site.page_at(size, user="anna")
    page.goto("/servers")
    page.get_by_label("More for gpu").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    page.locator("#server-gpu").wait_for(state="detached")
    page.get_by_role("button", name="Undo").click()
    page.locator("#server-gpu").wait_for()
    page.get_by_text("1 server brought back.").wait_for()
    assert Server.objects.get().hours == "23:00-07:00"
