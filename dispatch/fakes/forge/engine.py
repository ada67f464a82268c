"""The one GPU: its queue, its loaded model, its clock."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from dispatch.fakes.forge.errors import PythonError, ServerStopped
from dispatch.fakes.forge.faults import Faults
from dispatch.fakes.forge.inventory import Checkpoint, Inventory, LoadFailed
from dispatch.fakes.forge.options import Options
from dispatch.fakes.forge.recorded import recorded
from dispatch.fakes.forge.runlog import Run
from dispatch.fakes.forge.state import FifoLock, SamplingState, Tasks


def no_model() -> PythonError:
    """Return the 500 of a poisoned server."""
    return PythonError("AttributeError", "'NoneType' object has no attribute 'sd_checkpoint_info'")


class Engine:
    """What jobs share.

    `seconds` is the time of one first pass, whatever its number of steps; a hires pass takes
    as long per step. `step_seconds` is that of one step instead, as on a real one. `load_seconds`
    is the time of a model load.
    """

    def __init__(
        self,
        inventory: Inventory,
        options: Options,
        faults: Faults,
        seconds: float,
        load_seconds: float,
        extra_scripts: tuple[str, ...] = (),
        step_seconds: float | None = None,
    ) -> None:
        self.inventory = inventory
        self.options = options
        self.faults = faults
        self.seconds = seconds
        self.step_seconds = step_seconds
        self.load_seconds = load_seconds
        self.extra_scripts = tuple(name.lower() for name in extra_scripts)
        self.queue = FifoLock()
        self.tasks = Tasks()
        self.state = SamplingState()
        self.stopping = threading.Event()
        # Free, total and own bytes of its GPU; None: it has none, as the recorded server.
        self.gpu_bytes: tuple[int, int, int] | None = None
        # Called before each step, by the thread that samples (Forge's on_cfg_denoiser).
        self.step_hooks: list[Callable[[], None]] = []
        self.holder: int | None = None  # the thread whose turn it is
        self._loaded: str | None = None  # what Forge believes is loaded
        self._model_present = False

    def seconds_a_step(self, steps: int) -> float:
        """Return how long each step of a first pass with so many takes."""
        return self.seconds / max(steps, 1) if self.step_seconds is None else self.step_seconds

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one's turn, and have the GPU alone."""
        with self.queue:
            self.holder = threading.get_ident()
            try:
                yield
            finally:
                self.holder = None

    def stop(self) -> None:
        self.stopping.set()
        self.queue.stop()

    def memory(self) -> dict[str, Any]:
        """Return what /sdapi/v1/memory says."""
        answer: dict[str, Any] = recorded("memory")
        if self.gpu_bytes is None:
            return answer
        free, total, own = self.gpu_bytes
        system = {"free": free, "used": total - free, "total": total}
        return {**answer, "cuda": {"system": system, "reserved": {"current": own, "peak": own}}}

    def wait_until(self, deadline: float) -> None:
        """Sleep to a time of the monotonic clock; raise ServerStopped."""
        if self.stopping.wait(max(0.0, deadline - time.monotonic())):
            raise ServerStopped

    def selected(self) -> Checkpoint | None:
        """Return the checkpoint that the options select."""
        listed = self.inventory.listed()
        first = listed[0] if listed else None
        return self.inventory.find(self.options["sd_model_checkpoint"]) or first

    def poison(self) -> None:
        """Lose the model while still believing that it is loaded."""
        selected = self.selected()
        self._loaded = self._loaded or (selected.name if selected else None)
        self._model_present = False

    def load(self, checkpoint: Checkpoint, run: Run) -> None:
        """Make `checkpoint` the loaded model; a failed load poisons the server.

        Forge compares names only: after a failed load it still believes in the model before,
        and every job with that one fails until another one is loaded (models/poisoned-*).
        """
        if self._loaded == checkpoint.name:
            if not self._model_present:
                raise no_model()
            return
        broken = self.faults.take({"broken_checkpoint"}, run.path, checkpoint.name)
        try:
            if broken:
                run.faults.append(broken.kind)
                raise LoadFailed(checkpoint.name)
            self.inventory.load(checkpoint)
        except LoadFailed:
            self._model_present = False
            raise PythonError("ValueError", "Failed to recognize model type!") from None
        self.wait_until(time.monotonic() + self.load_seconds)
        self._loaded = checkpoint.name
        self._model_present = True
        self.options.update({"sd_checkpoint_hash": checkpoint.sha256})
