"""What the supervisor does with the database, in a thread of its own.

The main thread only looks after processes: it must answer Ctrl-C at once, also while a locked
database makes a query wait for twenty seconds.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Protocol

from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone

from dispatch.wakefulness import Wakefulness
from mobilesd.supervisor.probe import Watch

__all__ = ["Chores", "Cluster", "Manager"]

log = logging.getLogger(__name__)

PRUNE_SECONDS = 60.0
HOUSEKEEPING_SECONDS = 600.0
BACKUP_SECONDS = 3600.0
DEMO_SECONDS = 5.0


class Cluster(Protocol):
    """A running cluster, as far as its watch needs to know it."""

    @property
    def boot_id(self) -> str: ...
    @property
    def lanes(self) -> int: ...
    @property
    def started_at(self) -> float: ...


class Manager(Protocol):
    """What the main thread offers; all of it may be called from any thread."""

    def clusters(self) -> Mapping[str, Cluster]:
        """Return the clusters that take tasks now, by name."""

    def cluster_hangs(self, name: str, boot_id: str, *, working: bool) -> None:
        """Replace a cluster; `working` tells that lanes are still busy in the old one."""

    def want_lanes(self, lanes: int) -> None:
        """Run the dispatch cluster with at least so many lanes."""

    def want_demo(self, port: int | None) -> None:
        """Run the demo server at this port, or not at all."""


class Chores:
    """The periodic work of one supervisor. `only` is its single role, or None for all."""

    def __init__(self, manager: Manager, only: str | None, *, demo: bool) -> None:
        self._manager = manager
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chores", daemon=True)
        self._watches: dict[str, Watch] = {}
        self._wakefulness = Wakefulness()
        self._due: dict[Callable[[], None], float] = {}
        self._period: dict[Callable[[], None], float] = {self._watch_clusters: 1.0}
        if only in (None, "dispatch"):
            self._period[self._sweep] = settings.SWEEP_SECONDS
            self._period[self._count_lanes] = settings.SWEEP_SECONDS
        if only in (None, "background"):
            self._period[self._prune] = PRUNE_SECONDS
            self._period[self._keep_house] = HOUSEKEEPING_SECONDS
            self._period[self._back_up] = BACKUP_SECONDS
            self._period[self._wake_deliveries] = settings.SWEEP_SECONDS
            self._period[self._wake_notifying] = settings.SWEEP_SECONDS
        if demo:
            self._period[self._look_after_demo] = DEMO_SECONDS

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more; a query that waits for the database is not waited for."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._notice_sleep()
            for chore, period in self._period.items():
                if time.monotonic() >= self._due.get(chore, 0.0) and not self._stopped.is_set():
                    self._due[chore] = time.monotonic() + period
                    self._do(chore)
            close_old_connections()
            wait = min(self._due.values()) - time.monotonic()
            self._stopped.wait(max(0.05, wait))

    def _notice_sleep(self) -> None:
        """Begin all patience anew after a suspend, before anybody is judged by it."""
        jump = self._wakefulness.look()
        if jump is None:
            return
        log.warning("%s", jump.words)
        # A probe task that waited through the night shows no hang.
        clusters = self._manager.clusters()
        self._watches = {name: self._new_watch(name, clusters[name]) for name in clusters}
        if hasattr(self, "_sweeper"):
            self._do(self._sweeper.woke)

    def _do(self, chore: Callable[[], None]) -> None:
        try:
            chore()
        except Exception as error:  # the next round tries again; a supervisor never dies of it
            log.warning("%s: %s: %s", chore.__name__.strip("_"), type(error).__name__, error)

    def _sweep(self) -> None:
        from dispatch.sweep import Sweep

        if not hasattr(self, "_sweeper"):
            self._sweeper = Sweep()
        self._sweeper.run()

    def _count_lanes(self) -> None:
        from dispatch.models import Server

        self._manager.want_lanes(Server.objects.filter(enabled=True).count())

    def _prune(self) -> None:
        from jobs import events

        events.prune()

    def _keep_house(self) -> None:
        from django_q.tasks import async_task

        async_task("mobilesd.housekeeping.run", cluster="background")

    def _back_up(self) -> None:
        from django_q.tasks import async_task

        async_task("mobilesd.backups.tasks.look_and_back_up", cluster="background")

    def _wake_deliveries(self) -> None:
        from mobilesd import deliveries

        deliveries.wake()

    def _wake_notifying(self) -> None:
        from mobilesd import notifying

        notifying.wake()

    def _look_after_demo(self) -> None:
        from mobilesd.supervisor import demo

        self._manager.want_demo(demo.port_to_serve())

    def _watch_clusters(self) -> None:
        clusters = self._manager.clusters()
        for name, cluster in clusters.items():
            watch = self._watches.get(name)
            if watch is None or watch.born != cluster.started_at:
                self._free_tasks_of_dead(name, cluster)
                watch = self._watches[name] = self._new_watch(name, cluster)
            if watch.tick(time.monotonic()):
                del self._watches[name]
                self._manager.cluster_hangs(name, cluster.boot_id, working=watch.is_working)

    def _new_watch(self, name: str, cluster: Cluster) -> Watch:
        workers = settings.Q_CLUSTER["ALT_CLUSTERS"][name]["workers"]
        if name == "dispatch":
            workers += cluster.lanes - settings.LANES
        leases = _own_leases if name == "dispatch" else lambda: 0
        return Watch(name, workers, cluster.boot_id, leases, cluster.started_at)

    def _free_tasks_of_dead(self, name: str, cluster: Cluster) -> None:
        """Let a new cluster run at once what the one before had taken and not finished.

        Otherwise django-q2 holds such a task for `retry` (two hours). Only where no other
        machine can have taken it; a task that runs twice is a kick too many, no more.
        """
        if not settings.EMBEDDED:
            return
        from django_q.models import OrmQ

        retry = timedelta(seconds=settings.Q_CLUSTER["ALT_CLUSTERS"][name]["retry"])
        age = timedelta(seconds=time.monotonic() - cluster.started_at)
        before = timezone.now() - age + retry
        OrmQ.objects.filter(key=name, lock__gt=timezone.now(), lock__lt=before).update(
            lock=timezone.now()
        )


def _own_leases() -> int:
    """Count the leases that lanes of this host hold: a worker of ours each."""
    from dispatch.lease import is_fresh, this_host
    from dispatch.models import Server

    held = Server.objects.filter(lane_token__isnull=False, lane_host=this_host())
    return sum(is_fresh(server) for server in held)
