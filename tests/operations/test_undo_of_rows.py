"""A deleted server and a deleted preset can be brought back for ten seconds."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from apikeys.actors import SYSTEM
from dispatch import services as servers
from dispatch.models import Inventory, Server, Timing
from dispatch.port import DispatchServers
from jobs.models import Event, Preset, Undo
from jobs.services import presets, undo
from mobilesd.errors import Conflict, Problem
from tests import factories
from tests.pages.conftest import HTMX
from tests.signed_in import browser, staff_browser  # noqa: F401  fixtures

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """Note which tasks would be started."""
    tasks = []
    monkeypatch.setattr("django_q.tasks.async_task", lambda *names, **_: tasks.append(names))
    return tasks


def gpu(**fields):
    """Make a server with everything that belongs to it."""
    row = factories.server(
        "gpu", username="u", password="geheim", hours="23:00-07:00", paused=True, **fields
    )
    Timing.objects.create(server=row, checkpoint="xl", runs=3, unit_seconds=1.5)
    Inventory.objects.create(server=row, data={}, updated_at=timezone.now())
    return row


def preset(owner=None, name="mine", **fields):
    now = timezone.now()
    return Preset.objects.create(
        owner=owner,
        name=name,
        app_type="forge",
        generation_params={"steps": 7},
        created_at=now,
        updated_at=now,
        **fields,
    )


def together(*calls):
    """Make calls at the same moment; return what each returned or raised."""
    barrier = threading.Barrier(len(calls))

    def call(do):
        try:
            barrier.wait(10)
            return do()
        except Problem as problem:
            return problem
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


# --- A server -----------------------------------------------------------------------------------


def test_a_server_comes_back_with_its_password_its_hours_and_what_was_learned(
    api, boss, django_capture_on_commit_callbacks, asked
):
    before = gpu(lane_pid=7, lane_host="here", health_text="fine")
    answer = boss.send("DELETE", "/api/v1/servers/gpu")
    assert answer.status_code == 200
    assert not Server.objects.exists() and not Timing.objects.exists()
    with django_capture_on_commit_callbacks(execute=True):
        back = boss.send("POST", f"/api/v2/undo/{answer.json()['undo']['id']}")
    assert back.json()["message"] == "1 server brought back."
    assert back.json()["restored"] == 1
    row = Server.objects.get()
    assert (row.pk, row.url, row.created_at) == (before.pk, before.url, before.created_at)
    assert (row.password, row.hours, row.paused) == ("geheim", "23:00-07:00", True)
    assert Timing.objects.get().unit_seconds == 1.5
    assert (row.lane_token, row.lane_pid, row.lane_host) == (None, None, ""), "its lane is gone"
    assert row.health == "unknown" and ("dispatch.tasks.probe_server", row.pk) in asked
    kinds = Event.objects.filter(kind="server.status").values_list("payload__health", flat=True)
    assert list(kinds) == ["removed", "unknown"]


def test_twice_is_once(boss):
    gpu()
    undo_id = boss.send("DELETE", "/api/v1/servers/gpu").json()["undo"]["id"]
    assert boss.send("POST", f"/api/v2/undo/{undo_id}").json()["restored"] == 1
    Server.objects.all().delete()
    again = boss.send("POST", f"/api/v2/undo/{undo_id}")
    assert (again.status_code, again.json()["restored"]) == (200, 0)
    assert not Server.objects.exists()


@pytest.mark.parametrize("other", [{"alias": "gpu"}, {"alias": "b", "url": "http://127.0.0.1:9"}])
def test_one_that_took_its_place_is_told_and_stays(boss, other):
    gpu()
    undo_id = boss.send("DELETE", "/api/v1/servers/gpu").json()["undo"]["id"]
    servers.add_server(**{"url": "http://127.0.0.1:10", **other})
    answer = boss.send("POST", f"/api/v2/undo/{undo_id}")
    assert (answer.status_code, answer.json()["error"]) == (409, "already_exists")
    assert [row.alias for row in Server.objects.all()] == [other["alias"]]
    Server.objects.all().delete()
    assert boss.send("POST", f"/api/v2/undo/{undo_id}").json()["restored"] == 1, "not used up"


def test_after_ten_seconds_it_is_too_late_and_its_password_is_gone(boss):
    gpu()
    undo_id = boss.send("DELETE", "/api/v1/servers/gpu").json()["undo"]["id"]
    Undo.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert boss.send("POST", f"/api/v2/undo/{undo_id}").json()["error"] == "undo_expired"
    assert "sealed_password" in json.dumps(Undo.objects.get().state)
    undo.forget()
    assert Undo.objects.get().state == {}


def test_a_server_at_work_is_not_deleted_and_leaves_no_undo(boss):
    gpu()
    factories.attempt(factories.job("processing", server_alias="gpu"))
    assert boss.send("DELETE", "/api/v1/servers/gpu").status_code == 409
    assert Server.objects.exists() and not Undo.objects.exists()


def test_the_page_offers_it(staff_browser):  # noqa: F811
    gpu()
    answer = staff_browser.post("/servers/gpu/delete", headers=HTMX)
    offered = json.loads(answer.headers["HX-Trigger"])["toast"]["undo"]
    assert 0 < offered["seconds"] <= 10
    answer = staff_browser.post(offered["url"], headers=HTMX)
    assert "1 server brought back." in answer.headers["HX-Trigger"]
    assert Server.objects.get().alias == "gpu"


@pytest.mark.django_db(transaction=True)
def test_brought_back_by_two_at_once_it_is_there_once():
    gpu()
    row = servers.delete_server("gpu", SYSTEM)
    found = together(*[lambda: undo.undo(row.pk, SYSTEM).restored] * 2)
    assert sorted(found) == [0, 1]
    assert Server.objects.count() == Timing.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_an_undo_and_a_new_server_of_that_name_one_wins():
    gpu()
    row = servers.delete_server("gpu", SYSTEM)
    found = together(
        lambda: undo.undo(row.pk, SYSTEM).restored,
        lambda: servers.add_server(alias="gpu", url="http://127.0.0.1:10").alias,
    )
    assert sum(isinstance(one, Conflict) for one in found) == 1, found
    assert Server.objects.count() == 1


# --- A preset -----------------------------------------------------------------------------------


def test_a_preset_comes_back_as_it_was(api, member):
    before = preset(member, shared=True)
    answer = api.send("DELETE", f"/api/v2/presets/{before.pk}")
    assert not Preset.objects.exists()
    back = api.send("POST", f"/api/v2/undo/{answer.json()['undo']['id']}").json()
    assert (back["message"], back["restored"]) == ("1 preset brought back.", 1)
    row = Preset.objects.get()
    for name in ("pk", "name", "owner", "shared", "generation_params", "updated_at"):
        assert getattr(row, name) == getattr(before, name)


@pytest.mark.parametrize("whose", ["a member's", "the installation's"])
def test_a_preset_whose_name_was_taken_meanwhile_is_told(member, whose):
    owner = member if whose == "a member's" else None
    row = presets.delete(preset(owner).pk, SYSTEM)
    preset(owner)
    with pytest.raises(Conflict, match="another preset 'mine'"):
        undo.undo(row.pk, SYSTEM)
    assert Preset.objects.count() == 1


def test_a_preset_whose_owner_is_gone_is_told(member):
    row = presets.delete(preset(member).pk, SYSTEM)
    member.delete()
    with pytest.raises(Conflict, match="owner"):
        undo.undo(row.pk, SYSTEM)


def test_of_somebody_else_it_is_not_found(api, member):
    row = presets.delete(preset(member).pk, SYSTEM)
    assert api.send("POST", f"/api/v2/undo/{row.pk}").status_code == 404
    assert not Preset.objects.exists()


def test_the_presets_page_offers_it(browser, member):  # noqa: F811
    row = preset(member)
    answer = browser.post(f"/presets/{row.pk}/delete", headers=HTMX)
    offered = json.loads(answer.headers["HX-Trigger"])["toast"]["undo"]
    browser.post(offered["url"], headers=HTMX)
    assert Preset.objects.get() == row


def test_the_port_is_filled():
    assert callable(DispatchServers().put_back)
