"""A process is killed before each thing that it does to the disk; nothing is lost or doubled."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mobilesd_forge.outbox import Outbox

from tests.extension_forge.core.conftest import order

ID = "0123456789ab"
MOST_STEPS = 60
_TOUCHES_THE_DISK = {"open", "os.rename", "os.remove", "fcntl.flock", "os.mkdir", "os.listdir"}


def killed_at(step: int, work: Callable[[Callable[[str], None]], None]) -> tuple[bool, str]:
    """Work in a child, killed before its n-th step; tell whether it was, and its words."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        left = step

        def count(event: str, _: Any) -> None:
            nonlocal left
            if event in _TOUCHES_THE_DISK:
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)

        fsync = os.fsync

        def counted_fsync(handle: int) -> None:
            count("open", ())
            fsync(handle)

        os.fsync = counted_fsync
        sys.addaudithook(count)
        try:
            work(lambda text: os.write(writer, f"{text}\n".encode()) and None)
            os._exit(0)
        except BaseException:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as said:
        words = said.read()
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the work itself failed"
    return os.WIFSIGNALED(status), words


def content(outbox: Outbox) -> list[tuple[str, str]]:
    """Return what waits, as key and prompt."""
    found = []
    for name in outbox.waiting():
        read = outbox.read(name)
        if read is not None:
            body = json.loads(read[1])
            found.append((body["idempotency_key"], body["generation_params"]["positive_prompt"]))
    return found


def every_step(
    tmp_path: Path,
    prepare: Callable[[Outbox], None],
    work: Callable[[Outbox, Callable[[str], None]], None],
    check: Callable[[Outbox, Path, str], None],
) -> int:
    """Kill the work at each step in a folder of its own, and check what a restart finds."""
    for step in range(1, MOST_STEPS):
        folder = tmp_path / str(step)
        prepare(Outbox(folder, ID))
        killed, words = killed_at(step, lambda say, at=folder: work(Outbox(at, ID), say))  # type: ignore[misc]
        check(Outbox(folder, ID), folder, words)
        leftovers = [f.name for f in folder.rglob(".new-*")]
        assert not leftovers
        if not killed:
            return step
    raise AssertionError("the work never came to its end")


def test_a_submission_that_was_accepted_is_there_and_one_that_was_not_can_come_again(
    tmp_path: Path,
) -> None:
    def click(outbox: Outbox, say: Callable[[str], None]) -> None:
        outbox.add(order("second"), "2")
        say("accepted")

    def check(outbox: Outbox, folder: Path, words: str) -> None:
        there = [prompt for _, prompt in content(outbox)]
        assert there[0] == "first"
        assert there == ["first", "second"] or (not words and there == ["first"])
        assert not list((folder / "damaged").iterdir())
        outbox.add(order("second"), "2")  # the person clicks again, or the browser asks again
        assert [prompt for _, prompt in content(outbox)] == ["first", "second"]

    steps = every_step(
        tmp_path, lambda outbox: outbox.add(order("first"), "1") and None, click, check
    )
    assert steps > 5


@pytest.mark.parametrize("outcome", ["delivered", "refused"])
def test_an_outcome_is_whole_or_not_there(tmp_path: Path, outcome: str) -> None:
    def prepare(outbox: Outbox) -> None:
        outbox.add(order("first"), "1")
        outbox.add(order("second"), "2")

    def work(outbox: Outbox, say: Callable[[str], None]) -> None:
        name = outbox.waiting()[0]
        if outcome == "delivered":
            outbox.delivered(name)
        else:
            outbox.refuse(name, "no")
        say("done")

    def check(outbox: Outbox, folder: Path, words: str) -> None:
        waiting = [prompt for _, prompt in content(outbox)]
        refused = [entry.prompt for entry, _ in outbox.look().refused]
        sent = len(list((folder / "sent").iterdir()))
        assert waiting[-1] == "second"
        assert waiting.count("first") + refused.count("first") + sent == 1
        assert not words or waiting == ["second"]
        assert not list((folder / "damaged").iterdir())
        assert not outbox.add(order("first"), "1"), "its click is known, wherever it is"

    assert every_step(tmp_path, prepare, work, check) > 3


def test_a_refused_one_that_is_sent_again_is_never_in_two_places(tmp_path: Path) -> None:
    def prepare(outbox: Outbox) -> None:
        outbox.add(order("first"), "1")
        outbox.refuse(outbox.waiting()[0], "no")

    def work(outbox: Outbox, say: Callable[[str], None]) -> None:
        outbox.again(outbox.look().refused[0][0].name)
        say("done")

    def check(outbox: Outbox, folder: Path, words: str) -> None:
        waiting = [prompt for _, prompt in content(outbox)]
        refused = [entry.prompt for entry, _ in outbox.look().refused]
        assert waiting + refused == ["first"]
        assert not words or waiting == ["first"]

    assert every_step(tmp_path, prepare, work, check) > 3


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    def work(say: Callable[[str], None]) -> None:
        with Outbox(tmp_path, ID).sending():
            say("holds it")
            os.kill(os.getpid(), signal.SIGKILL)

    killed, words = killed_at(MOST_STEPS, work)
    assert killed
    assert words
    with Outbox(tmp_path, ID).sending():
        pass
