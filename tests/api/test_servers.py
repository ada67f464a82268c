"""Servers over REST: added, changed and removed while lanes drive them."""

import logging
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from django.utils import timezone
from django_q.models import OrmQ

from apikeys.models import SCOPES
from dispatch.models import Health, Inventory, Server
from jobs.choices import Status
from jobs.models import Event, Job, JobProgress
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
V1, V2 = "/api/v1/servers", "/api/v2/servers"
NEW = {"alias": "gaming-pc", "apiUrl": "http://192.168.1.20:7860"}
SHOWN = {"alias", "apiUrl", "app_type", "description", "enabled", "healthy"}


def test_the_list_is_a_bare_array(boss):
    factories.server("b")
    factories.server("a", description="upstairs", health=Health.OFFLINE)
    body = boss.get(V1).json()
    assert [server["alias"] for server in body] == ["a", "b"]
    assert body[0] == boss.get(f"{V1}/a").json()
    assert set(body[0]) == SHOWN
    assert (body[0]["healthy"], body[1]["healthy"]) == (False, True)


def test_v2_says_what_each_server_is_doing(boss):
    factories.server("a", loaded_checkpoint="sdxl.safetensors", url="https://host.example/forge")
    factories.server("b")
    factories.attempt(factories.job(Status.PROCESSING, server_alias="a"))
    factories.job()
    factories.job(target_server_alias="b")
    body = boss.get(V2).json()
    assert body["success"] is True
    a, b = body["servers"]
    assert (a["host"], a["port"], a["busy"], a["queue_length"]) == ("host.example", 443, True, 1)
    assert (b["host"], b["port"], b["busy"], b["queue_length"]) == ("127.0.0.1", 9, False, 2)
    assert a["loaded_checkpoint"] == "sdxl.safetensors"
    assert a["gpu"] is None


def test_a_server_is_added(boss):
    answer = boss.send("POST", V1, {**NEW, "description": "mine", "app_type": "forge"})
    assert answer.status_code == 201
    body = answer.json()
    assert set(body) == {"message", "server"}
    assert body["server"] == {
        **NEW,
        "app_type": "forge",
        "description": "mine",
        "enabled": True,
        "healthy": False,
    }
    assert boss.get(f"{V1}/gaming-pc").json() == body["server"]
    event = Event.objects.get(kind="server.status")
    assert event.public
    assert event.payload["alias"] == "gaming-pc"


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"apiUrl": "http://10.0.0.1:7860/"}, "http://10.0.0.1:7860"),
        ({"apiUrl": " HTTP://My-PC.local:7860 "}, "http://my-pc.local:7860"),
        ({"apiUrl": "https://host.example/forge/"}, "https://host.example/forge"),
        ({"apiUrl": "http://[::1]:7860"}, "http://[::1]:7860"),
        ({"host": "10.0.0.1", "port": 7860}, "http://10.0.0.1:7860"),
        ({"host": "10.0.0.1", "port": "7860"}, "http://10.0.0.1:7860"),
        ({"host": "::1", "port": 7860}, "http://[::1]:7860"),
        ({"apiUrl": "http://Host:1/", "host": "HOST", "port": "1"}, "http://host:1"),
        ({"apiUrl": "https://host/x", "port": 443}, "https://host/x"),
        ({"apiUrl": "http://[::1]:7860", "host": "[0::1]"}, "http://[::1]:7860"),
    ],
)
def test_addresses_are_brought_to_one_form(boss, given, stored):
    assert boss.send("POST", V1, {"alias": "a", **given}).status_code == 201
    assert Server.objects.get().url == stored


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"alias": None}, "alias"),
        ({"alias": ""}, "alias"),
        ({"alias": "has space"}, "alias"),
        ({"alias": "a/b"}, "alias"),
        ({"alias": "ä"}, "alias"),
        ({"alias": "x" * 65}, "alias"),
        ({"alias": 5}, "alias"),
        ({"apiUrl": None}, "apiUrl"),
        ({"apiUrl": ""}, "apiUrl"),
        ({"apiUrl": "192.168.1.20:7860"}, "apiUrl"),
        ({"apiUrl": "ftp://host"}, "apiUrl"),
        ({"apiUrl": "file:///etc/passwd"}, "apiUrl"),
        ({"apiUrl": "http://"}, "apiUrl"),
        ({"apiUrl": "http://host:99999"}, "apiUrl"),
        ({"apiUrl": "http://host:0"}, "apiUrl"),
        ({"apiUrl": "http://host:1", "host": "other", "port": 1}, "host"),
        ({"apiUrl": "http://host:1", "host": 5}, "host"),
        ({"apiUrl": "http://host:1", "port": 2}, "port"),
        ({"apiUrl": "http://host:1", "port": "x"}, "port"),
        ({"apiUrl": "http://host?x=1"}, "apiUrl"),
        ({"apiUrl": "http://host#x"}, "apiUrl"),
        ({"apiUrl": "http://ho st"}, "apiUrl"),
        ({"apiUrl": "http://host\n"}, None),
        ({"apiUrl": "http://ho\nst"}, "apiUrl"),
        ({"apiUrl": "http://[::1"}, "apiUrl"),
        ({"apiUrl": "http://user:pw@host"}, "apiUrl"),
        ({"apiUrl": "http://user@host"}, "apiUrl"),
        ({"apiUrl": "http://" + "x" * 300}, "apiUrl"),
        ({"apiUrl": 5}, "apiUrl"),
        ({"apiUrl": None, "host": "h"}, "port"),
        ({"apiUrl": None, "port": 5}, "host"),
        ({"apiUrl": None, "host": "h", "port": 0}, "port"),
        ({"apiUrl": None, "host": "h", "port": True}, "port"),
        ({"apiUrl": None, "host": "h", "port": "x"}, "port"),
        ({"apiUrl": None, "host": "h/x", "port": 1}, "host"),
        ({"app_type": "paint"}, "app_type"),
        ({"description": "x" * 501}, "description"),
        ({"description": 5}, "description"),
        ({"enabled": "yes"}, "enabled"),
        ({"auth": "user:pw"}, "auth"),
        ({"auth": {"username": "a:b"}}, "auth.username"),
        ({"auth": {"password": 5}}, "auth.password"),
        ({"auth": {"token": "x"}}, "auth.token"),
    ],
)
def test_a_bad_field_is_named_and_nothing_is_written(boss, change, field):
    answer = boss.send("POST", V1, {**NEW, **change})
    if field is None:
        assert answer.status_code == 201
        return
    assert answer.status_code == 400, answer.content
    assert field in answer.json()["details"]["fields"]
    assert Server.objects.count() == Event.objects.count() == 0


def test_a_password_in_the_address_is_sent_to_auth_and_not_repeated(boss):
    answer = boss.send("POST", V1, {**NEW, "apiUrl": "http://user:hunter2@host"})
    assert "auth" in answer.json()["details"]["hint"]
    assert "hunter2" not in answer.text


@pytest.mark.parametrize(
    "twin",
    [
        {**NEW, "apiUrl": "http://10.0.0.2"},
        {"alias": "GAMING-PC", "apiUrl": "http://10.0.0.2"},
        {"alias": "other", "apiUrl": NEW["apiUrl"] + "/"},
    ],
)
def test_the_same_alias_or_address_again_is_a_conflict(boss, twin):
    boss.send("POST", V1, NEW)
    answer = boss.send("POST", V1, twin)
    assert (answer.status_code, answer.json()["error"]) == (409, "already_exists")
    assert Server.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_that_add_the_same_server_one_wins():
    _, token = factories.key(scopes=SCOPES)
    barrier = threading.Barrier(4)

    def add(_):
        client = Api(token)
        barrier.wait()
        try:
            return client.send("POST", V1, NEW).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(add, range(4))) == [201, 409, 409, 409]
    assert Server.objects.count() == 1


def test_an_alias_that_comes_between_the_look_and_the_insert_is_a_conflict(boss, monkeypatch):
    from dispatch import services

    boss.send("POST", V1, NEW)
    monkeypatch.setattr(services, "_refuse_twin", lambda *_, **__: None)
    answer = boss.send("POST", V1, {**NEW, "apiUrl": "http://10.0.0.2"})
    assert (answer.status_code, answer.json()["error"]) == (409, "already_exists")


@pytest.mark.django_db(transaction=True)
def test_a_new_server_is_used_at_once():
    boss = Api(factories.key(scopes=SCOPES)[1])
    boss.send("POST", V1, NEW)
    assert Server.objects.get().wake_seq == 1
    functions = sorted(task.task["func"] for task in OrmQ.objects.all())
    assert functions == ["dispatch.tasks.probe_server", "dispatch.tasks.run_lane"]


def test_adding_a_server_retires_the_demo_and_frees_its_jobs(boss):
    demo = factories.server("demo", demo=True)
    waiting = factories.job(target_server_alias="demo")
    running = factories.job(Status.PROCESSING, target_server_alias="demo", server_alias="demo")
    done = factories.job(Status.COMPLETED, target_server_alias="demo")
    boss.send("POST", V1, NEW)
    demo.refresh_from_db()
    assert not demo.enabled
    targets = {job.pk: job.target_server_alias for job in Job.objects.all()}
    assert targets == {waiting.pk: "", running.pk: "demo", done.pk: "demo"}


def test_a_refused_server_leaves_the_demo_alone(boss):
    demo = factories.server("demo", demo=True)
    assert boss.send("POST", V1, {**NEW, "alias": "Demo"}).status_code == 409
    demo.refresh_from_db()
    assert demo.enabled


def test_put_changes_what_it_names_and_keeps_the_rest(boss):
    factories.server("a", description="old", username="me", password="pw")
    answer = boss.send("PUT", f"{V1}/a", {"alias": "a", "description": "new", "enabled": False})
    assert answer.status_code == 200
    assert answer.json()["server"]["description"] == "new"
    server = Server.objects.get()
    assert (server.enabled, server.username, server.password) == (False, "me", "pw")
    assert server.health == Health.HEALTHY


def test_another_address_is_another_backend(boss):
    server = factories.server("a", loaded_checkpoint="x", failures_in_row=2)
    Inventory.objects.create(server=server, data={}, updated_at=timezone.now())
    boss.send("PUT", f"{V1}/a", {"apiUrl": "http://10.0.0.9:7860"})
    server.refresh_from_db()
    assert (server.health, server.loaded_checkpoint) == (Health.UNKNOWN, "")
    assert server.failures_in_row == 0
    assert not Inventory.objects.exists()


SAME = {"apiUrl": "http://127.0.0.1:9", "app_type": "forge"}


@pytest.mark.parametrize("auth", [{}, {"auth": {"username": "me", "password": "pw"}}])
def test_the_same_address_again_is_the_same_backend(boss, auth):
    server = factories.server("a", username="me", password="pw", loaded_checkpoint="x")
    sealed = server.sealed_password
    boss.send("PUT", f"{V1}/a", {**SAME, **auth, "description": "new"})
    server.refresh_from_db()
    assert (server.description, server.health, server.loaded_checkpoint) == ("new", "healthy", "x")
    assert server.sealed_password == sealed, "a lane would connect anew"


@pytest.mark.parametrize("auth", [{"username": "you"}, {"password": "p2"}, {"password": ""}])
def test_another_sign_in_is_to_be_tried(boss, auth):
    server = factories.server("a", username="me", password="pw")
    boss.send("PUT", f"{V1}/a", {**SAME, "auth": {"username": "me", "password": "pw", **auth}})
    server.refresh_from_db()
    assert server.health == Health.UNKNOWN
    assert server.password == auth.get("password", "pw")


def test_a_password_that_can_not_be_read_any_more_is_removed(boss):
    server = factories.server("a")
    Server.objects.update(sealed_password="unreadable")
    boss.send("PUT", f"{V1}/a", {"auth": {"password": ""}})
    server.refresh_from_db()
    assert (server.sealed_password, server.health) == ("", Health.UNKNOWN)


def test_changing_a_server_never_writes_a_lease(boss, monkeypatch):
    """A lane takes the lease between the look and the write."""
    from dispatch import services

    server = factories.server("a")
    token = uuid.uuid4()
    checked = services._refuse_twin

    def late(*args, **kwargs):
        Server.objects.update(lane_token=token)
        return checked(*args, **kwargs)

    monkeypatch.setattr(services, "_refuse_twin", late)
    boss.send("PUT", f"{V1}/a", {"apiUrl": "http://10.0.0.9:7860", "description": "x"})
    server.refresh_from_db()
    assert (server.lane_token, server.description) == (token, "x")


def test_an_alias_can_not_be_changed(boss):
    factories.server("a")
    answer = boss.send("PUT", f"{V1}/a", {"alias": "b"})
    assert (answer.status_code, list(answer.json()["details"]["fields"])) == (400, ["alias"])


def test_a_password_goes_in_and_never_out(boss, caplog):
    auth = {"username": "me", "password": "hunter2"}
    with caplog.at_level(logging.DEBUG):
        added = boss.send("POST", V1, {**NEW, "auth": auth})
        assert Server.objects.get().password == "hunter2"
        answers = [added, boss.get(V1), boss.get(V2), boss.get(f"{V1}/gaming-pc")]
        answers.append(boss.send("PUT", f"{V1}/gaming-pc", {"auth": {"password": "hunter3"}}))
        assert Server.objects.get().password == "hunter3"
    server = Server.objects.get()
    assert server.username == "me"
    seen = " ".join(answer.text for answer in answers) + caplog.text + repr(server.__dict__)
    seen += " ".join(str(event.payload) for event in Event.objects.all())
    assert "hunter" not in seen
    boss.send("PUT", f"{V1}/gaming-pc", {"auth": {"username": "", "password": ""}})
    server.refresh_from_db()
    assert (server.username, server.password) == ("", "")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_unknown_server_is_a_404(boss, method):
    answer = boss.send(method, f"{V1}/nowhere", {} if method == "PUT" else None)
    assert (answer.status_code, answer.json()["error"]) == (404, "server_not_found")


def test_a_server_is_deleted_and_its_jobs_stay(boss):
    factories.server("a")
    job = factories.job(target_server_alias="a")
    factories.attempt(job, ended_at=timezone.now(), cleared_at=timezone.now())
    assert boss.send("DELETE", f"{V1}/a").status_code == 200
    assert not Server.objects.exists()
    job.refresh_from_db()
    assert (job.status, job.target_server_alias) == ("pending", "a")
    reason = boss.get(f"/api/v2/jobs/{job.pk}/status").json()["job"]["waiting_reason"]
    assert reason["code"] == "server_removed"
    assert Event.objects.filter(kind="server.status", payload__health="removed").exists()


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize(
    ("method", "body"), [("DELETE", None), ("PUT", {"apiUrl": "http://10.0.0.9"})]
)
def test_a_server_with_work_of_ours_stays_where_it_is(boss, ended, method, body):
    server = factories.server("a")
    job = factories.job(Status.PROCESSING, server_alias="a")
    factories.attempt(job, ended_at=timezone.now() if ended else None)
    JobProgress.objects.create(job=job, attempt=job.pk, eta_seconds=30, updated_at=timezone.now())
    answer = boss.send(method, f"{V1}/a", body)
    assert answer.status_code == 409
    assert answer.json()["details"]["jobs"] == [str(job.pk)]
    assert answer.json()["details"]["hint"]
    assert ("s left" in answer.json()["message"]) is not ended
    server.refresh_from_db()
    assert server.url == "http://127.0.0.1:9"


def test_what_is_no_field_is_said(boss):
    answer = boss.send("POST", V1, {**NEW, "healthy": True, "colour": "red"})
    assert answer.json()["warnings"] == ["colour is not a field of a server and was ignored."]
