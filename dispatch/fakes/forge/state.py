"""What runs, what waits and how far it is: Forge's global state, lies included."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from dispatch.fakes.forge.errors import ServerStopped
from dispatch.fakes.forge.pictures import Sketch, draw_preview

_FINISHED_KEPT = 16


class FifoLock:
    """A lock that is handed over strictly in order of arrival."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._held = False
        self._stopped = False

    def __enter__(self) -> None:
        with self._mutex:
            if self._stopped:
                raise ServerStopped
            if not self._held:
                self._held = True
                return
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        gate.acquire()
        if self._stopped:
            raise ServerStopped

    def __exit__(self, *_exception: object) -> None:
        with self._mutex:
            if not self._waiting:
                self._held = False
                return
            self._waiting.popleft().release()
        time.sleep(0)  # give up the GIL now, or the next job starts when our answer is sent

    def stop(self) -> None:
        """Send every waiting thread away; nobody gets in any more."""
        with self._mutex:
            self._stopped = True
            while self._waiting:
                self._waiting.popleft().release()


class Tasks:
    """Task ids: waiting, current, finished. A failed task stays current, or waits for ever."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[str, None] = {}
        self._current: str | None = None
        self._finished: deque[str] = deque(maxlen=_FINISHED_KEPT)

    def add(self, task: str) -> None:
        with self._lock:
            self._pending.pop(task, None)
            self._pending[task] = None

    def start(self, task: str) -> None:
        with self._lock:
            self._current = task
            self._pending.pop(task, None)

    def finish(self, task: str) -> None:
        with self._lock:
            if self._current == task:
                self._current = None
            self._finished.append(task)

    def pending(self) -> list[str]:
        with self._lock:
            return list(self._pending)

    def look_up(self, task: str | None) -> tuple[bool, bool, bool, str | None]:
        """Return (active, queued, completed, textinfo). No id at all is "active" when idle."""
        with self._lock:
            active = task == self._current
            queued = task in self._pending
            textinfo = None
            if not active:
                textinfo = "Waiting..."
                if queued:
                    place = list(self._pending).index(str(task)) + 1
                    textinfo = f"In queue: {place}/{len(self._pending)}"
            return active, queued, task in self._finished, textinfo


@dataclass
class SamplingState:
    """The one global progress. Written by the running job, read by any poller."""

    skipped: bool = False
    interrupted: bool = False
    job: str = ""
    job_count: int = 0
    job_timestamp: str = "0"
    job_no: int = 0
    sampling_step: int = 0
    sampling_steps: int = 0
    id_live_preview: int = 0
    current_image: Image.Image | None = None
    _began_at: float = 0.0
    _sketch: Sketch | None = None
    _preview_step: int = 0
    _preview_lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, job: str) -> None:
        """Start a job. The steps of the one before stay until sampling is prepared."""
        self.skipped = False
        self.interrupted = False
        self.job_count = -1
        self.job_no = 0
        self.job_timestamp = time.strftime("%Y%m%d%H%M%S")
        self.sampling_step = 0
        self.id_live_preview = 0
        self.current_image = None
        self._sketch = None
        self._preview_step = 0
        self._began_at = time.monotonic()
        self.job = job

    def end(self) -> None:
        """Finish the job; `interrupted` stays as it is until the next one begins."""
        self._sketch = None
        self.job = ""
        self.job_count = 0

    def start_sampling(self, sketch: Sketch, steps: int) -> None:
        self._sketch = sketch
        self._preview_step = 0
        self.sampling_step = 0
        self.sampling_steps = steps

    def next_job(self) -> None:
        """Count one pass as done."""
        self.job_no += 1
        self.sampling_step = 0
        self._preview_step = 0

    def begin_upscale(self) -> None:
        """Begin an upscale: it says 100 % from its start on, and for ever if `end` never comes."""
        self.begin("Upscale")
        self.job_count = 1
        self.job_no = 1

    def preview(self, every_steps: float, enabled: bool) -> None:
        """Make the live preview that a poller pays for, if one is due."""
        with self._preview_lock:
            sketch, step, steps = self._sketch, self.sampling_step, self.sampling_steps
            if sketch is None or not enabled or every_steps < 0 or steps <= 0:
                return
            if step - self._preview_step >= every_steps:
                self._preview_step = step
                self.current_image = draw_preview(sketch, step / steps)
                self.id_live_preview += 1

    def api_progress(self) -> dict[str, Any]:
        """Return the body of /sdapi/v1/progress, `current_image` still to be filled in."""
        progress = eta = 0.0
        if self.job_count:
            progress = 0.01 + self._done(self.job_count)
            elapsed = time.monotonic() - self._began_at
            eta = elapsed / progress - elapsed
        return {
            "progress": min(progress, 1),
            "eta_relative": eta,
            "state": {
                "skipped": self.skipped,
                "interrupted": self.interrupted,
                "stopping_generation": False,
                "job": self.job,
                "job_count": self.job_count,
                "job_timestamp": self.job_timestamp,
                "job_no": self.job_no,
                "sampling_step": self.sampling_step,
                "sampling_steps": self.sampling_steps,
            },
            "current_image": None,
            "textinfo": None,
        }

    def task_progress(self) -> tuple[float, float | None]:
        """Return (progress, eta) of the active task, as /internal/progress counts them."""
        progress = min(self._done(self.job_count), 1.0)
        if progress <= 0:
            return 0.0, None
        elapsed = time.monotonic() - self._began_at
        return progress, elapsed / progress - elapsed

    def _done(self, job_count: int) -> float:
        if job_count <= 0:  # -1 until sampling is prepared
            return 0.0
        done = self.job_no / job_count
        if self.sampling_steps > 0:
            done += 1 / job_count * self.sampling_step / self.sampling_steps
        return done
