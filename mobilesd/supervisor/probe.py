"""Whether a cluster still takes tasks: a probe task, and marks of what its workers are doing.

django-q2 hangs for good when an *idle* worker is killed: the dead process keeps the lock of the
task queue (stack.md §2.2), all processes look alive, and no task runs. Only a task that should
have run and did not shows it.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings

__all__ = ["Watch", "answer", "ask", "busy_workers", "mark_work", "take_answer", "work_dir"]


def work_dir(cluster: str, boot_id: str) -> Path:
    """Return the folder in which each busy worker of this start has a file named by its pid."""
    return Path(settings.RUN_DIR) / f"work-{cluster}-{boot_id}"


def answer() -> None:
    """Do nothing: that this task has a result says that its cluster runs tasks."""


def ask(cluster: str) -> str:
    """Enqueue a probe and return its id."""
    from django_q.tasks import async_task

    return str(async_task("mobilesd.supervisor.probe.answer", cluster=cluster))


def take_answer(probe_id: str) -> bool:
    """Tell whether this probe has run, and remove its result from the list of results."""
    from django_q.models import Task

    result = Task.objects.filter(pk=probe_id)
    if not result.exists():  # asked once a second: only the last time may take the write lock
        return False
    result.delete()
    return True


def mark_work(cluster: str) -> None:
    """Leave a mark while a worker of this cluster runs a task; called at start-up."""
    from django_q.signals import post_execute_in_worker, pre_execute

    folder = work_dir(cluster, settings.BOOT_ID)
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)

    # A full disk must not fail the task itself: a missing mark costs at most a restart.
    def begin(**_: Any) -> None:
        with contextlib.suppress(OSError):
            (folder / str(os.getpid())).touch()

    def end(**_: Any) -> None:
        with contextlib.suppress(OSError):
            (folder / str(os.getpid())).unlink()

    pre_execute.connect(begin, weak=False, dispatch_uid="mobilesd.probe.begin")
    post_execute_in_worker.connect(end, weak=False, dispatch_uid="mobilesd.probe.end")


def busy_workers(cluster: str, boot_id: str) -> int:
    """Count the living workers of this start that run a task."""
    try:
        names = [mark.name for mark in work_dir(cluster, boot_id).iterdir()]
    except OSError:
        return 0
    return sum(psutil.pid_exists(int(name)) for name in names if name.isdigit())


def _last_activity(cluster: str, boot_id: str) -> float:
    # Each mark that comes or goes changes the time of its folder.
    try:
        return work_dir(cluster, boot_id).stat().st_mtime
    except OSError:
        return 0.0


@dataclass
class Watch:
    """The watch over one cluster; `tick` is called with a monotonic clock's seconds.

    `leases` counts the lanes that are known to own a server: a worker each, marks or no marks.
    """

    cluster: str
    workers: int
    boot_id: str
    leases: Callable[[], int]
    born: float

    def __post_init__(self) -> None:
        self._probe_id = ""
        self._asked_at = self.born
        self._activity = 0.0
        self._active_at = self.born

    def tick(self, now: float) -> bool:
        """Ask when it is time; return whether the cluster hangs.

        It hangs when a probe waits too long, a worker is free, and no worker began or ended
        anything meanwhile: a long queue in front of the probe is no hang.
        """
        activity = _last_activity(self.cluster, self.boot_id)
        if activity != self._activity:
            self._activity, self._active_at = activity, now
        if self._probe_id and take_answer(self._probe_id):
            self._probe_id = ""
        if not self._probe_id:
            if now - self._asked_at >= settings.PROBE_SECONDS:
                self._probe_id, self._asked_at = ask(self.cluster), now
            return False
        waited = now - max(self._asked_at, self._active_at)
        return waited > settings.PROBE_WAIT_SECONDS and self._free_workers() >= 1

    @property
    def is_working(self) -> bool:
        """Tell whether some worker still runs a task."""
        return self._busy() > 0

    def _free_workers(self) -> int:
        return self.workers - self._busy()

    def _busy(self) -> int:
        return max(busy_workers(self.cluster, self.boot_id), self.leases())
