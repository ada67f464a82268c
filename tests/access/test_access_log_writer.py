"""The thread that writes the access log: bounded, patient, and nothing is lost at a stop."""

import threading
from typing import Any

import pytest
from django.db import DataError, OperationalError, connections
from django.utils import timezone

from apikeys import access_log as module
from apikeys.access_log import AccessLog, Line
from apikeys.models import Access
from tests.processes.installation import eventually


def line(number: int = 0, **fields: Any) -> Line:
    given: dict[str, Any] = {
        "at": timezone.now(),
        "key_prefix": "abcdefgh",
        "known": False,
        "method": "GET",
        "route": "api/v2/jobs",
        "status": 200,
        "error": "",
        "milliseconds": 1.0,
        "bytes": 1,
        "address": "10.0.0.1",
        "user_agent": "",
        "source_info": "",
        "request_id": str(number),
    }
    return Line(**given | fields)


def ids() -> list[int]:
    return [
        int(number) for number in Access.objects.order_by("id").values_list("request_id", flat=True)
    ]


@pytest.mark.django_db
def test_what_does_not_fit_is_counted_and_said_once_a_minute(monkeypatch, caplog):
    log = AccessLog(capacity=3)
    for number in range(5):
        log.note(line(number))
    log._round()
    assert ids() == [0, 1, 2]
    assert "2 lines are not in it" in caplog.text
    for number in range(5):
        log.note(line(number))
    log._round()
    assert caplog.text.count("not in it") == 1
    now = module.time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 61)
    log._round()
    assert caplog.text.count("2 lines are not in it") == 2


@pytest.mark.django_db
def test_no_commit_has_more_lines_than_it_may(monkeypatch, django_assert_num_queries):
    sizes: list[int] = []
    monkeypatch.setattr(module, "_write", lambda lines: sizes.append(len(lines)))
    log = AccessLog()
    for number in range(1201):
        log.note(line(number))
    log.flush()
    assert sizes == [500, 500, 201]


@pytest.mark.django_db
def test_a_locked_database_keeps_the_lines_in_their_order(monkeypatch, caplog):
    log = AccessLog(capacity=10)
    really, locked = module._write, [True]

    def write(lines: Any) -> None:
        if locked[0]:
            raise OperationalError("database is locked")
        really(lines)

    monkeypatch.setattr(module, "_write", write)
    for number in range(3):
        log.note(line(number))
    assert not log._round()
    assert "database is locked" in caplog.text
    for number in range(3, 20):
        log.note(line(number))  # bounded while it waits
    assert len(log) == 10
    locked[0] = False
    assert log._round()
    assert ids() == list(range(10))


@pytest.mark.django_db
def test_lines_that_can_never_be_stored_hold_no_other_up(monkeypatch, caplog):
    log = AccessLog()
    really = module._write

    def write(lines: Any) -> None:
        if lines[0].request_id == "0":
            raise DataError("what is that?")
        really(lines)

    monkeypatch.setattr(module, "_write", write)
    monkeypatch.setattr(module, "BATCH", 2)
    for number in range(4):
        log.note(line(number))
    log.flush()
    assert ids() == [2, 3]
    assert "2 lines of the access log can't be stored" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_the_thread_writes_within_a_moment_and_the_rest_at_the_stop(settings, monkeypatch):
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.05)
    monkeypatch.setattr(module.atexit, "register", lambda _: None)
    settings.ACCESS_LOG_WRITER = True
    log = AccessLog()
    before = threading.active_count()
    try:
        assert threading.active_count() == before  # none without a line
        log.note(line(1))
        eventually(lambda: ids() == [1], 10)
        log.note(line(2))
        eventually(lambda: ids() == [1, 2], 10)
        monkeypatch.setattr(module, "EVERY_SECONDS", 60)
        log.note(line(3))
    finally:
        log.stop(10)
    assert ids() == [1, 2, 3]
    assert log._thread is not None
    assert not log._thread.is_alive()


@pytest.mark.django_db(transaction=True)
def test_many_threads_lose_no_line_and_start_one_writer(settings, monkeypatch):
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(module.atexit, "register", lambda _: None)
    settings.ACCESS_LOG_WRITER = True
    log = AccessLog()
    barrier = threading.Barrier(8)

    def ask(first: int) -> None:
        barrier.wait()
        for number in range(first, 800, 8):
            log.note(line(number))

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [t.name for t in threading.enumerate()].count("access log") == 1
    log.stop(20)
    assert sorted(ids()) == list(range(800))


@pytest.mark.django_db(transaction=True)
def test_a_stop_waits_for_a_locked_database_only_so_long(settings, monkeypatch, caplog):
    monkeypatch.setattr(module.atexit, "register", lambda _: None)
    settings.ACCESS_LOG_WRITER = True
    release, entered = threading.Event(), threading.Event()

    def write(_: Any) -> None:
        entered.set()
        release.wait(20)

    monkeypatch.setattr(module, "EVERY_SECONDS", 0)
    monkeypatch.setattr(module, "_write", write)
    log = AccessLog()
    log.note(line(1))
    assert entered.wait(10)
    log.note(line(2))
    began = module.time.monotonic()
    log.stop(0.3)
    assert module.time.monotonic() - began < 5
    assert "1 lines of the access log were not written" in caplog.text
    release.set()
    assert log._thread is not None
    log._thread.join(10)
    connections.close_all()


def test_without_the_setting_there_is_no_thread():
    log = AccessLog()
    log.note(line())
    assert log._thread is None
    assert len(log) == 1
