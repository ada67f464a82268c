"""Slow answers to short questions: unknown in time, and no reason to call a server dead."""

import threading
import time
import uuid

import pytest

from dispatch.dispatchers.base import NeverReached, Presence
from tests.dispatch.forge.helpers import wait_for


@pytest.fixture(autouse=True)
def short_patience(monkeypatch):
    monkeypatch.setattr("dispatch.dispatchers.forge.dispatcher._POLL_SECONDS", 0.2)
    monkeypatch.setattr("dispatch.dispatchers.forge.inventory._SECONDS", 0.3)


def silent(connection, request):
    connection.recv(1)


def trickle(connection, request):
    """A body that comes byte by byte, each in time, the whole never."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        threading.Event().wait(0.05)


@pytest.mark.parametrize("answer", [silent, trickle])
def test_probe_says_offline_in_time(scripted, answer):
    driver = scripted(answer).driver()
    began = time.monotonic()
    probe = driver.probe(timeout=0.4)
    assert time.monotonic() - began < 3
    assert probe.health == "offline"
    assert probe.text == "The server does not answer in time."


@pytest.mark.parametrize("answer", [silent, trickle])
def test_progress_gives_up_and_presence_is_unknown(scripted, answer):
    driver = scripted(answer).driver()
    began = time.monotonic()
    assert driver.progress(uuid.uuid4(), preview=True, task_ids=True) is None
    assert driver.presence(uuid.uuid4(), task_ids=True) is Presence.UNKNOWN
    assert driver.leftovers() == frozenset()
    assert time.monotonic() - began < 5


def test_lists_that_do_not_come_say_so(forge):
    forge.faults.add("slow", path="/sdapi/v1/options", seconds=8)
    with pytest.raises(NeverReached, match="in time"):
        forge.dispatcher.inventory()


def test_full_thread_pool_is_slow_and_not_dead(drive):
    """With 40 POSTs waiting even /progress waits (queue/forty-five-at-once)."""
    forge = drive(seconds=0.8)
    runs = [forge.begin(steps=4) for _ in range(41)]
    wait_for(lambda: len(forge.fake.log.runs()) > 39)
    assert forge.dispatcher.presence(runs[-1].token, task_ids=True) is Presence.UNKNOWN
    assert forge.dispatcher.progress(runs[-1].token, preview=False, task_ids=True) is None


def test_slow_internal_routes_do_not_look_like_nowebui(forge):
    forge.faults.add("slow", path="/internal/pending-tasks", seconds=3)
    probe = forge.dispatcher.probe(timeout=0.4)
    assert (probe.health, probe.has_task_ids) == ("healthy", True)
