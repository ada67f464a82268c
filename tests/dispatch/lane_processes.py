"""Lanes in processes of their own, which are killed, frozen and woken as real ones are.

A `Cluster` stands for a django-q2 cluster: it runs the tasks that the product enqueued, the lanes
in forked processes. It has no guard and no time-outs, so that a test decides what dies and when.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import psutil
from django.conf import settings
from django.db import connection
from django_q.models import OrmQ

from dispatch.lanes.pace import Pace
from dispatch.lease import Sighting
from dispatch.models import Server
from dispatch.tasks import probe_server
from tests.dispatch.lane_harness import PACE, eventually
from tests.dispatch.shifted_clock import ShiftedClock

__all__ = ["Cluster", "LaneProcess", "frozen_soon", "sighting_of"]

_ROOT = Path(__file__).resolve().parents[2]


class LaneProcess:
    """One lane's process."""

    def __init__(self, pid: int, server_id: int) -> None:
        self.pid = pid
        self.server_id = server_id
        self._process: psutil.Process | None
        try:
            self._process = psutil.Process(pid)
        except psutil.NoSuchProcess:
            self._process = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.is_running()

    @property
    def frozen(self) -> bool:
        try:
            return self.alive and self._process.status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:
            return False

    def kill(self) -> None:
        """End it at once, as a power cut does, and wait until it is gone."""
        if self.alive:
            os.kill(self.pid, signal.SIGKILL)
        self.join()

    def freeze(self) -> None:
        """Stop it where it is: a lane that is alive and does nothing."""
        if self.alive:
            os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        if self.alive:
            os.kill(self.pid, signal.SIGCONT)

    def join(self, seconds: float = 20) -> None:
        """Wait for its end."""
        eventually(lambda: not self.alive, seconds)


class Cluster:
    """Forks lane processes, and does what the product's kicks ask for."""

    def __init__(self, log: Path, pace: Pace = PACE, *, impatient: bool = False) -> None:
        self.pace = pace
        self.impatient = impatient
        self.unguarded = self.unfenced = False
        self.clock = ShiftedClock(log.with_suffix(".clock"))
        self.lanes: list[LaneProcess] = []
        self.log = log
        self._parent: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "mobilesd.settings",
            "MOBILESD_SECRET_KEY": settings.SECRET_KEY,
            "MOBILESD_DATA_DIR": str(settings.DATA_DIR),
        }
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.dispatch.lane_fork"],
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("a"),
            text=True,
        )
        # The test's database, not the one that the settings name.
        names = ("NAME", "HOST", "PORT", "USER", "PASSWORD")
        database = {name: str(connection.settings_dict[name]) for name in names}
        self._ask({"database": database, "clock": str(self.clock.path)})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for lane in self.lanes:
            lane.kill()
        if self._parent is not None:
            self._parent.communicate()

    def _ask(self, order: dict[str, Any]) -> int:
        assert self._parent is not None
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(order) + "\n")
        self._parent.stdin.flush()
        return int(self._parent.stdout.readline())

    def start(
        self,
        server: Server | int,
        sighting: Sighting | None = None,
        *,
        halt_at: str = "",
        how: int = signal.SIGKILL,
        skip: int = 0,
        **pace: Any,
    ) -> LaneProcess:
        """Run `run_lane` in a new process; `halt_at` kills or freezes it before that call."""
        stale = ()
        if sighting is not None:
            stale = (str(sighting.lane_token), sighting.heartbeat_at.isoformat())
        halt = {"at": halt_at, "how": int(how), "skip": skip} if halt_at else None
        server_id = server if isinstance(server, int) else server.pk
        pid = self._ask(
            {
                "server": server_id,
                "sighting": stale,
                "pace": asdict(replace(self.pace, **pace)),
                "data": str(settings.DATA_DIR),
                "log": str(self.log),
                "impatient": self.impatient,
                "unguarded": self.unguarded,
                "unfenced": self.unfenced,
                "halt": halt,
            }
        )
        lane = LaneProcess(pid, server_id)
        self.lanes = [*(known for known in self.lanes if known.alive), lane]
        return lane

    def work_off(self, **how: Any) -> list[LaneProcess]:
        """Run what was enqueued since; return the lanes that were started."""
        started = []
        for row in OrmQ.objects.order_by("pk"):
            task = row.task
            if not OrmQ.objects.filter(pk=row.pk).delete()[0]:
                continue  # another cluster was quicker
            if row.key == "dispatch":
                assert task["func"] == "dispatch.tasks.run_lane"
                server_id, *stale = task["args"]
                started.append(self._start_kicked(server_id, stale, how))
            elif task["func"] == "dispatch.tasks.probe_server":
                probe_server(*task["args"])
        return started

    def _start_kicked(self, server_id: int, stale: list[str], how: dict[str, Any]) -> LaneProcess:
        sighting = None
        if stale and stale[0]:
            sighting = Sighting(UUID(stale[0]), datetime.fromisoformat(stale[1]))
        return self.start(server_id, sighting, **how)


def sighting_of(server: Server) -> Sighting:
    """Return what a watcher that saw no heartbeat for too long would have seen."""
    server.refresh_from_db()
    assert server.lane_token is not None
    assert server.heartbeat_at is not None
    return Sighting(server.lane_token, server.heartbeat_at)


def frozen_soon(lane: LaneProcess) -> None:
    """Wait until a lane has reached the place where it was to be frozen."""
    eventually(lambda: lane.frozen)
