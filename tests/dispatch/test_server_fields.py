"""Waking and yielding are set over REST and on the server's page; a command is not."""

import pytest

from apikeys.models import SCOPES
from dispatch.models import Server
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db

PATH = "/api/v1/servers/a"
MAC = "a4:bb:6d:12:34:56"


@pytest.fixture
def boss() -> Api:
    return Api(factories.key(scopes=SCOPES)[1])


def test_rest_sets_and_shows_them(boss) -> None:
    factories.server("a")
    body = {"wake_mac": "A4-BB-6D-12-34-56", "wake_seconds": 60, "yield_below_mb": 6000}
    assert boss.send("PUT", PATH, body).status_code == 200
    [shown] = boss.get("/api/v2/servers").json()["servers"]
    assert (shown["wake_mac"], shown["wake_seconds"], shown["yield_below_mb"]) == (MAC, 60, 6000)
    assert boss.send("PUT", PATH, {"yield_below_mb": -1, "wake_mac": ""}).status_code == 200
    row = Server.objects.get()
    assert (row.yield_below_mb, row.wake_mac) == (None, "")


@pytest.mark.parametrize(
    "body",
    [
        {"wake_mac": "nonsense"},
        {"wake_mac": 5},
        {"wake_seconds": 1},
        {"wake_seconds": "60"},
        {"wake_seconds": True},
        {"yield_below_mb": -2},
        {"yield_below_mb": 1.5},
        {"yield_below_mb": 10**9},
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(boss, body) -> None:
    factories.server("a", wake_mac=MAC, yield_below_mb=5)
    answer = boss.send("PUT", PATH, body)
    assert answer.status_code == 400
    assert list(answer.json()["details"]["fields"]) == list(body)
    row = Server.objects.get()
    assert (row.wake_mac, row.wake_seconds, row.yield_below_mb) == (MAC, 180, 5)


def test_no_key_sets_a_command(boss) -> None:
    factories.server("a")
    answer = boss.send("PUT", PATH, {"wake_command": "reboot"})
    assert "wake_command" in answer.json()["warnings"][0]
    assert Server.objects.get().wake_command == ""


def test_the_page_sets_and_shows_them(client) -> None:
    client.force_login(factories.staff())
    factories.server("a", url="http://192.168.1.9:7860")
    form = {
        "url": "http://192.168.1.9:7860",
        "app_type": "forge",
        "interrupt": "careful",
        "wake_mac": MAC,
        "wake_seconds": "90",
        "yields": "1",
        "yield_below_mb": "4000",
    }
    assert client.post("/servers/a/edit", form).status_code == 303
    row = Server.objects.get()
    assert (row.wake_mac, row.wake_seconds, row.yield_below_mb) == (MAC, 90, 4000)
    page = client.get("/servers/a/edit").content.decode()
    assert MAC in page
    assert 'value="4000"' in page
    wrong = client.post("/servers/a/edit", {**form, "wake_mac": "x", "wake_command": "reboot"})
    assert wrong.status_code == 422
    assert "is no MAC address" in wrong.content.decode()
    assert Server.objects.get().wake_command == ""
    client.post("/servers/a/edit", {**form, "yields": "", "wake_mac": ""})
    row.refresh_from_db()
    assert (row.wake_mac, row.yield_below_mb) == ("", None)


def test_the_list_says_why_a_server_gives_way(client) -> None:
    from django.utils import timezone

    client.force_login(factories.user())
    factories.server("a", yields_since=timezone.now(), yield_text="Another program uses its GPU.")
    page = client.get("/servers").content.decode()
    assert "Gives way to others" in page
    assert "Another program uses its GPU." in page
