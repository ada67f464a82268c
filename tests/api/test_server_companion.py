"""A server's companion token goes in and never out; what the companion says is shown."""

import json

import pytest

from dispatch import services
from dispatch.fakes.forge import FakeForge
from dispatch.models import Server
from jobs.models import Undo
from tests import factories

pytestmark = pytest.mark.django_db
V1, V2 = "/api/v1/servers", "/api/v2/servers"
TOKEN = "Hm1-a-token-that-nobody-may-see"


def test_a_token_goes_in_and_never_out(boss, caplog):
    added = boss.send(
        "POST", V1, {"alias": "a", "apiUrl": "http://127.0.0.1:9", "companion_token": TOKEN}
    )
    assert added.status_code == 201
    server = Server.objects.get()
    assert server.companion_token == TOKEN
    assert TOKEN not in server.sealed_companion_token
    told = boss.send("PATCH", f"{V2}/a", {"description": "x"})
    assert told.status_code == 200
    assert Server.objects.get().companion_token == TOKEN, "kept where it is not named"
    shown = boss.get(V2).text + boss.get(V1).text + added.text + told.text
    assert TOKEN not in shown + caplog.text
    assert server.sealed_companion_token not in shown
    assert boss.send("PATCH", f"{V2}/a", {"companion_token": ""}).status_code == 200
    assert Server.objects.get().companion_token == ""


@pytest.mark.parametrize(
    "token", ["short", "x" * 201, "with a line\nbreak in the middle", "ä" * 30]
)
def test_what_can_be_no_token_is_refused_and_changes_nothing(boss, token):
    factories.server("a", companion_token=TOKEN)
    answer = boss.send("PATCH", f"{V2}/a", {"companion_token": token})
    assert answer.status_code == 400
    assert list(answer.json()["details"]["fields"]) == ["companion_token"]
    assert token not in answer.text
    assert Server.objects.get().companion_token == TOKEN


def test_what_the_companion_says_is_shown(boss, tmp_path):
    with FakeForge(companion=tmp_path) as fake:
        factories.server("a", url=fake.url)
        assert boss.get(f"{V2}/a").json()["server"]["companion"] is None
        services.test_connection(Server.objects.get())
        found = boss.get(f"{V2}/a").json()["server"]["companion"]
        assert (found["version"], found["ok"]) == (None, False)
        assert "Enter its token" in found["text"]
        boss.send("PATCH", f"{V2}/a", {"companion_token": fake.companion.token})
        assert boss.get(f"{V2}/a").json()["server"]["companion"] == {
            "version": None,
            "ok": False,
            "text": "It has not been asked yet.",
        }
        services.test_connection(Server.objects.get())
    assert boss.get(f"{V2}/a").json()["server"]["companion"] == {
        "version": "1.0.0",
        "ok": True,
        "text": "Companion 1.0.0: cancels exactly, results survive a restart.",
    }


def test_a_server_that_is_away_keeps_what_its_companion_said(tmp_path):
    with FakeForge(companion=tmp_path) as fake:
        server = factories.server("a", url=fake.url, companion_token=fake.companion.token)
        services.test_connection(server)
    services.test_connection(server)
    assert Server.objects.get().companion_ok


def test_what_is_shown_can_be_sent_back(boss):
    factories.server("a")
    body = {"companion": {"version": "9", "ok": True, "text": "forged"}}
    assert "warnings" not in boss.send("PATCH", f"{V2}/a", body).json()
    assert not Server.objects.get().companion_ok


def test_another_address_or_token_is_asked_anew(boss):
    known = {"companion_ok": True, "companion_version": "1.0.0", "companion_text": "fine"}
    for change in ({"apiUrl": "http://127.0.0.1:10"}, {"companion_token": TOKEN}):
        Server.objects.all().delete()
        factories.server("a", **known)
        boss.send("PATCH", f"{V2}/a", change)
        assert not Server.objects.get().companion_ok
        assert Server.objects.get().companion_text == ""


def test_a_deleted_server_that_comes_back_has_its_token(boss):
    factories.server("a", companion_token=TOKEN)
    undo = boss.send("DELETE", f"{V1}/a", {}).json()["undo"]
    assert TOKEN not in json.dumps(Undo.objects.get().state)
    assert boss.send("POST", f"/api/v2/undo/{undo['id']}", {}).status_code == 200
    assert Server.objects.get().companion_token == TOKEN
