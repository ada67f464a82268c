"""Noticing a suspend, a stop and a clock that was set, from two clocks."""

import pytest

from dispatch.wakefulness import Wakefulness


class Clocks:
    """A wall clock and a monotonic one, moved by hand."""

    def __init__(self) -> None:
        self.wall, self.monotonic = 1_000_000.0, 50.0

    def pass_(self, wall: float, monotonic: float) -> None:
        self.wall += wall
        self.monotonic += monotonic

    def watch(self) -> Wakefulness:
        return Wakefulness(30, wall=lambda: self.wall, monotonic=lambda: self.monotonic)


@pytest.mark.parametrize(
    ("wall", "monotonic", "seconds"),
    [
        (1, 1, None),
        (29, 29, None),
        (3, 1, None),  # corrected a little
        (-2, 1, None),
        (8 * 3600, 1, 8 * 3600 - 1),  # suspended: the monotonic clock stood still
        (8 * 3600, 8 * 3600, 8 * 3600),  # stopped, or its virtual machine was
        (31, 31, 31),
        (-3600, 1, -3601),  # the clock was set back
        (-3600, 100, -3700),
    ],
)
def test_what_is_unusual_is_told(wall, monotonic, seconds) -> None:
    clocks = Clocks()
    watch = clocks.watch()
    assert watch.look() is None
    clocks.pass_(wall, monotonic)
    jump = watch.look()
    assert (jump.seconds if jump else None) == (
        pytest.approx(seconds) if seconds is not None else None
    )
    assert watch.woke_within(10) == (seconds is not None)
    assert watch.look() is None, "it is told once"
    clocks.pass_(11, 11)
    assert not watch.woke_within(10)


def test_it_is_said_in_words() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    clocks.pass_(7200, 0)
    assert "2.0 h" in watch.look().words
    clocks.pass_(-100, 0)
    assert watch.look().words == "The clock was set back by 100 s."
