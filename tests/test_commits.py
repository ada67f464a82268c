"""Writes of several threads share a transaction, and nothing else."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, connections, transaction

from jobs.models import Event
from mobilesd import sqlite
from mobilesd.commits import commit_together
from mobilesd.http import request_ids
from mobilesd.sqlite import write_turn
from tests.held_turn import hand_in

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="Elsewhere rows have own locks."),
]


def event(name: str, **more: Any) -> int:
    Event.objects.create(kind="server.status", payload={"alias": name}, at=AT, **more)
    return threading.get_ident()


def each(works: Sequence[Callable[[], Any]]) -> list[Any]:
    return [work() for work in works]


AT = "2026-01-01T00:00:00Z"


def names() -> list[str]:
    return [row.payload["alias"] for row in Event.objects.order_by("id")]


def at_once(*works: Callable[[], Any], first: Callable[[], None] = lambda: None) -> list[Any]:
    """Let threads hand in their writes in this order, while somebody else is writing."""
    found: list[Any] = [None] * len(works)

    def write(place: int) -> None:
        request_ids._current.set(f"request {place}")
        try:
            first()
            found[place] = commit_together(each, works[place])
        except Exception as error:
            found[place] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(len(works))]
    hand_in(threads)
    return found


def test_writes_that_wait_are_committed_by_the_first():
    writers = at_once(*(lambda n=n: event(str(n)) for n in range(5)))
    assert len(set(writers)) == 1
    assert names() == list("01234")


def test_one_that_fails_fails_alone():
    found = at_once(
        lambda: event("first"),
        lambda: 1 / 0 if event("undone") else None,
        lambda: event("last"),
    )
    assert isinstance(found[1], ZeroDivisionError)
    assert names() == ["first", "last"]


def test_what_only_the_commit_refuses_fails_alone():
    """A dangling key is found at the end of the transaction."""
    found = at_once(lambda: event("first"), lambda: event("dangling", owner_id=99_999))
    assert isinstance(found[1], IntegrityError)
    assert not isinstance(found[0], Exception)
    assert names() == ["first"]


def test_a_locked_database_is_waited_for_once_not_by_each(monkeypatch):
    name = connection.settings_dict["NAME"]
    other = sqlite.library().connect(name, isolation_level=None)

    def impatient() -> None:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout=300")

    try:
        other.execute("BEGIN IMMEDIATE")
        alone = []
        monkeypatch.setattr("mobilesd.commits._Write.run_alone", alone.append)
        found = at_once(*[lambda: event("never")] * 3, first=impatient)
        assert alone == []
    finally:
        other.close()
    assert all(isinstance(error, OperationalError) for error in found)
    assert names() == []


def test_the_result_comes_after_the_commit():
    told = []

    def write() -> str:
        event("here")
        transaction.on_commit(lambda: told.append("committed"))
        return "done"

    assert (commit_together(each, write), told) == ("done", ["committed"])


def test_what_is_written_for_several_is_taken_for_the_act_of_none_of_them():
    assert at_once(request_ids.request_id, request_ids.request_id) == ["", ""]


def test_each_gets_its_own_result_of_what_was_done_for_all():
    assert at_once(*(lambda n=n: n for n in range(4))) == [0, 1, 2, 3]


def test_inside_a_transaction_it_belongs_to_that():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        commit_together(each, lambda: event("undone"))
        raise ZeroDivisionError
    assert names() == []


def test_more_than_fit_in_one_transaction_are_all_written(monkeypatch):
    monkeypatch.setattr("mobilesd.commits.MOST", 2)
    writers = at_once(*(lambda n=n: event(str(n)) for n in range(5)))
    assert len(set(writers)) == 3
    assert names() == list("01234")


def test_who_gets_no_turn_is_told_and_the_next_one_goes_on(monkeypatch):
    monkeypatch.setattr("mobilesd.commits.write_turn", lambda: write_turn(0.01))
    with write_turn():
        thread = threading.Thread(target=lambda: refused.append(_refusal()))
        refused: list[Any] = []
        thread.start()
        thread.join(10)
    assert "locked" in str(refused[0])
    commit_together(each, lambda: event("later"))
    assert names() == ["later"]


def _refusal() -> Exception | None:
    try:
        commit_together(each, lambda: event("never"))
    except Exception as error:
        return error
    finally:
        connections.close_all()
    return None
