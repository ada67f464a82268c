"""Looking every few seconds for what lost kicks and dead lanes left (protocol rules 4 and 21).

The sweep only kicks: it closes no attempt and clears no lease.
"""

import time
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from dispatch import wake, waking
from dispatch.candidates import has_work
from dispatch.lanes.policy import LONGEST_SECONDS
from dispatch.lease import Patience, is_fresh, process_gone
from dispatch.models import Health, Server
from jobs import chains, readiness, transitions
from jobs.choices import Status
from jobs.models import Attempt, Job, hold_queue
from jobs.moments import exact
from mobilesd.sqlite import write_turn

__all__ = ["WAKING_SECONDS", "Sweep"]

# So long after a suspend nobody is judged by not answering.
WAKING_SECONDS = 15.0


# Jobs that one sweep fails for their deadline, and those of one transaction.
_EXPIRED = 1_000
_AT_ONCE = 50


class Sweep:
    """Remembers heartbeats between its runs, by the monotonic clock of this process."""

    def __init__(self) -> None:
        self._patience = Patience()
        self._quiet_until = 0.0
        self._unblocked: UUID | None = None

    def woke(self) -> None:
        """Take note that this machine slept or its clock jumped: nobody is late yet.

        Each heartbeat is old now, networks come back in their own time, and what was put off by
        the clock from before a jump back would wait for hours.
        """
        self._patience = Patience()
        self._quiet_until = time.monotonic() + WAKING_SECONDS
        now = timezone.now()
        far = now + timedelta(seconds=2 * LONGEST_SECONDS)
        late = Job.objects.filter(status=Status.PENDING, retry_at__gt=far).update(retry_at=now)
        Server.objects.filter(probe_at__gt=far).update(probe_at=now)
        if late:
            wake.bump(enabled=True, paused=False)

    @property
    def _is_waking(self) -> bool:
        return time.monotonic() < self._quiet_until

    def run(self) -> None:
        """Kick the lanes that are needed, probe the servers that are due, expire old jobs."""
        self._unblocked = readiness.unblock_left(self._unblocked)
        for server in Server.objects.order_by("pk"):
            self._look_at(server)
        if not self._is_waking:
            waking.wake_needed()
        self._expire()
        chains.settle_left()

    def _look_at(self, server: Server) -> None:
        from django_q.tasks import async_task

        sighting = self._patience.stale(server)
        free = server.lane_token is None or process_gone(server)
        if (free or sighting is not None) and self._needed(server):
            stale = (
                ("", "")
                if free or sighting is None
                else (str(sighting.lane_token), sighting.heartbeat_at.isoformat())
            )
            async_task("dispatch.tasks.run_lane", server.pk, *stale, cluster="dispatch")
        elif self._is_waking:
            return  # a server that can't be reached yet would be told to be offline
        elif server.enabled and not is_fresh(server) and self._probe_due(server):
            # Written before the task, so that one look is asked for once.
            Server.objects.filter(pk=server.pk).update(probe_at=None, checked_at=timezone.now())
            async_task("dispatch.tasks.probe_server", server.pk, cluster="background")

    @staticmethod
    def _needed(server: Server) -> bool:
        if Attempt.objects.uncleared(server.alias).exists():
            return True
        if not server.enabled or server.paused or server.health != Health.HEALTHY:
            return False
        if server.yields_since is not None:  # the probe finds out when that is over
            return False
        return has_work(server)

    @staticmethod
    def _probe_due(server: Server) -> bool:
        now = timezone.now()
        if server.probe_at is not None:
            return server.probe_at <= now
        # Never asked, or the asking task was lost.
        return server.checked_at is None or (now - server.checked_at).total_seconds() > 60

    @staticmethod
    def _expire() -> None:
        """Fail the jobs whose deadline passed while they waited; no claim takes one any more."""
        late = Job.objects.filter(
            status=Status.PENDING,
            deleted_at__isnull=True,
            deadline__lte=timezone.now(),
            images_made=0,  # else it has begun in time
        )
        ids = list(late.order_by("deadline").values_list("pk", flat=True)[:_EXPIRED])
        for start in range(0, len(ids), _AT_ONCE):
            with write_turn(), transaction.atomic():
                hold_queue()
                # Again, under the locks: somebody may have put the deadline off.
                held = late.filter(pk__in=ids[start : start + _AT_ONCE]).order_by("pk")
                for job in held.select_for_update(no_key=True):
                    transitions.fail_pending(
                        job,
                        transitions.Trouble(
                            "deadline_passed",
                            f"It had to start before {exact(job.deadline or timezone.now())},"
                            " and no server was free by then.",
                            "Retry it with a later deadline, or with none.",
                        ),
                    )
