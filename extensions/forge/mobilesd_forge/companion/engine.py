"""What the companion asks of the program that makes the pictures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["KINDS", "Engine", "Facts", "Look", "Outcome"]

KINDS = ("txt2img", "img2img", "extra-single-image")


@dataclass(frozen=True)
class Facts:
    """What this engine can do here; `problems` are sentences for whoever set it up."""

    program: str
    version: str = ""
    kinds: tuple[str, ...] = KINDS
    cancels_running: bool = True
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """The answer that the program's own API would have given: status, and body as JSON.

    `interrupted`: somebody ended the run early, and it was not `stop`.
    """

    status: int
    body: bytes = field(repr=False)
    interrupted: bool = False


@dataclass(frozen=True)
class Look:
    """How far a run is. `active` false: it still waits for the program's own queue."""

    active: bool = False
    fraction: float = 0.0
    eta: float | None = None
    step: int = 0
    steps: int = 0
    job: str = ""
    job_no: int = 0
    preparing: bool = False
    interrupted: bool = False
    preview: bytes | None = field(default=None, repr=False)


class Engine(Protocol):
    """Makes pictures, one at a time. All methods may be called from several threads."""

    def attach(self, app: Any) -> None:
        """Work with this app of the program from now on."""

    def facts(self) -> Facts:
        """Return what it can do. Never raises."""

    def run(
        self,
        kind: str,
        payload: Mapping[str, Any],
        token: str,
        stop: Callable[[], bool],
        released: Callable[[], None],
    ) -> Outcome:
        """Make the pictures and return the answer; a failure is an answer too.

        `stop` is asked before each step, by the thread that samples, and by no other run than
        this one: where it says yes, this run is interrupted. Asking and acting are one there, so
        that nobody else's picture can be hit. `released` is called as soon as the next run may
        begin, which is earlier than the answer is written down.
        """

    def look(self, token: str, *, preview: bool) -> Look | None:
        """Return how far a run is, None if it is not in `run` now. Never raises."""
