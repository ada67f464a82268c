"""A server that is offline is woken when a job waits for it, and only then."""

import socket
import sys
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from django_q.models import OrmQ

from dispatch import standing, waking
from dispatch.fakes.forge import FakeForge
from dispatch.models import Health, Server
from dispatch.sweep import Sweep
from dispatch.tasks import wake_server
from mobilesd.errors import InvalidInput
from tests import factories
from tests.dispatch.lane_harness import connected

pytestmark = pytest.mark.django_db(transaction=True)

MAC = "a4:bb:6d:12:34:56"
PACKET = b"\xff" * 6 + bytes.fromhex("a4bb6d123456") * 16


@pytest.fixture
def network_card(settings) -> Iterator[socket.socket]:
    """Listen where the packets of this machine's loopback network come to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as card:
        card.bind(("", 0))
        card.settimeout(5)
        settings.WAKE_BROADCAST = [f"127.255.255.255:{card.getsockname()[1]}"]
        yield card


def asleep(alias="a", **fields):
    return factories.server(alias, health=Health.OFFLINE, wake_mac=MAC, **fields)


def woken() -> list[str]:
    """Return the aliases of the servers that a look at all of them wakes."""
    OrmQ.objects.all().delete()
    waking.wake_needed()
    tasks = [row.task for row in OrmQ.objects.all()]
    ids = [task["args"][0] for task in tasks if task["func"] == "dispatch.tasks.wake_server"]
    return sorted(Server.objects.filter(pk__in=ids).values_list("alias", flat=True))


def test_the_packet_arrives(network_card) -> None:
    server = asleep()
    factories.job()
    Sweep().run()
    [task] = [row.task for row in OrmQ.objects.all() if "wake" in row.task["func"]]
    assert wake_server(*task["args"]) == "woken"
    assert network_card.recv(200) == PACKET
    server.refresh_from_db()
    assert server.woken_at is not None
    assert server.wake_text.startswith("It was woken at")
    assert server.probe_at <= timezone.now() + timedelta(seconds=5)


def test_it_is_woken_once_in_its_time() -> None:
    server = asleep(wake_seconds=60)
    factories.job()
    assert woken() == ["a"]
    assert woken() == []
    Server.objects.update(woken_at=timezone.now() - timedelta(seconds=61))
    assert woken() == ["a"]
    server.refresh_from_db()
    server.woken_at = timezone.now() + timedelta(hours=3)
    assert waking.due(server, timezone.now()), "the clock was ahead once"


@pytest.mark.parametrize(
    "job",
    [
        None,
        {"status": "completed"},
        {"target_server_alias": "b"},
        {"app_type": "comfyui"},
        {"avoid_servers": ["a"]},
        {"not_before": timezone.now() + timedelta(hours=1)},
    ],
)
def test_nobody_is_woken_for_a_job_that_could_not_run_there(job) -> None:
    asleep()
    if job is not None:
        factories.job(**job)
    assert woken() == []


@pytest.mark.parametrize(
    "fields",
    [{"enabled": False}, {"paused": True}, {"health": Health.HEALTHY}, {"wake_mac": ""}],
)
def test_servers_that_need_no_waking_are_left(fields) -> None:
    asleep()
    Server.objects.update(**fields)
    factories.job()
    assert woken() == []


def test_what_another_server_can_do_wakes_nobody_unless_it_is_meant_for_this_one() -> None:
    asleep("a")
    factories.server("b")
    factories.job()
    assert woken() == []
    factories.job(target_server_alias="a")
    assert woken() == ["a"]


def test_a_command_is_run_without_a_shell_and_without_our_secrets(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MOBILESD_SECRET_KEY", "do not tell")
    seen = tmp_path / "seen"
    script = tmp_path / "wake.py"
    script.write_text(
        "import os, sys, pathlib\n"
        "secret = os.environ.get('MOBILESD_SECRET_KEY', '')\n"
        "pathlib.Path(sys.argv[1]).write_text(sys.argv[2] + secret)\n"
    )
    server = factories.server(wake_command=f"{sys.executable} {script} {seen} '; echo $HOME'")
    assert waking.wake(server) == ""
    assert seen.read_text() == "; echo $HOME"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (f"{sys.executable} -c 'raise SystemExit(3)'", "exit code 3"),
        ("/there/is/nothing", "could not be started"),
        ("'unclosed", "could not be started"),
        (f"{sys.executable} -c 'import time; time.sleep(60)'", "did not end"),
    ],
)
def test_what_goes_wrong_is_said(command, says, monkeypatch) -> None:
    monkeypatch.setattr(waking, "COMMAND_SECONDS", 1)
    server = factories.server(wake_command=command)
    assert says in waking.wake(server)
    assert says in Server.objects.get().wake_text


def test_a_server_that_is_up_again_says_no_more_of_its_waking() -> None:
    server = asleep(wake_text="It was woken at 12:00 UTC.")
    standing.set_health(server.pk, Health.HEALTHY)
    assert Server.objects.get().wake_text == ""


def test_the_console_sets_and_uses_it(network_card) -> None:
    factories.server("a")
    with pytest.raises(CommandError, match="neither"):
        call_command("wake_server", "a")
    call_command("wake_server", "a", "--mac", "A4-BB-6D-12-34-56", stdout=StringIO())
    assert Server.objects.get().wake_mac == MAC
    call_command("wake_server", "a", stdout=StringIO())
    assert network_card.recv(200) == PACKET
    with pytest.raises(CommandError, match="MAC"):
        call_command("wake_server", "a", "--mac", "nonsense")
    call_command("wake_server", "a", "--command", "etherwake x", stdout=StringIO())
    assert Server.objects.get().wake_command == "etherwake x"


@pytest.mark.parametrize("mac", ["x", "a4:bb:6d:12:34", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"])
def test_wrong_addresses_are_refused(mac) -> None:
    from dispatch.wake_on_lan import checked_mac

    with pytest.raises(InvalidInput):
        checked_mac(mac)


def test_the_wake_up_does_not_reach_a_server_of_rest() -> None:
    """A command runs on our machine: no key and no page may set it."""
    from dispatch.api.fields import read_fields, unknown_fields

    body = {"wake_command": "rm -rf /"}
    assert read_fields(body) == {}
    assert unknown_fields(body)


def test_a_server_that_comes_up_takes_the_job() -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake, wake_mac=MAC)
        assert Server.objects.get(pk=server.pk).is_healthy
