"""The Queue page says that it is paused, and staff pause and resume it there."""

import pytest
from django.test import Client

from jobs.models import QueueSettings
from jobs.services import queue
from tests import factories
from tests.pages.conftest import HTMX

pytestmark = pytest.mark.django_db
SWITCH = "/queue/switch"


def signed_in(user):
    client = Client()
    client.force_login(user)
    return client


def test_everybody_sees_that_it_is_paused_and_staff_can_resume(member):
    staff = signed_in(factories.staff())
    queue.pause()
    assert "Paused: nothing new starts." in signed_in(member).get("/").text
    assert SWITCH not in signed_in(member).get("/").text
    page = staff.get("/queue/active", headers=HTMX).text
    assert 'aria-label="Resume the queue"' in page
    answer = staff.post(SWITCH, {"to": "resume"}, headers=HTMX)
    assert answer.status_code == 204
    assert "Paused" not in staff.get("/").text
    assert not QueueSettings.current().paused


def test_staff_pause_it_whether_anything_waits_or_not():
    staff = signed_in(factories.staff())
    assert "Pause the queue" in staff.get("/").text
    factories.job("processing")
    assert "Pause the queue" in staff.get("/").text
    factories.job()
    assert "Pause the queue" in staff.get("/").text
    assert staff.post(SWITCH, {"to": "pause"}, headers=HTMX).status_code == 204
    assert QueueSettings.current().paused


def test_a_paused_app_type_has_its_own_line_and_switch():
    staff = signed_in(factories.staff())
    queue.pause(app_type="forge")
    page = staff.get("/").text
    assert "Paused for forge jobs" in page
    staff.post(SWITCH, {"to": "resume", "app_type": "forge"})
    assert QueueSettings.current().paused_app_types == []


@pytest.mark.parametrize("to", ["pause", "resume"])
def test_members_can_not_switch_it(member, to):
    answer = signed_in(member).post(SWITCH, {"to": to}, headers=HTMX)
    assert answer.status_code == 403
    assert not QueueSettings.current().paused
