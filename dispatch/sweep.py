"""Looking every few seconds for what lost kicks and dead lanes left (protocol rules 4 and 21).

The sweep only kicks: it closes no attempt and clears no lease.
"""

from django.db import transaction
from django.utils import timezone

from dispatch.candidates import candidates_for
from dispatch.lease import Patience, is_fresh, process_gone
from dispatch.models import Health, Server
from jobs import transitions
from jobs.choices import Status
from jobs.models import Attempt, Job

__all__ = ["Sweep"]


class Sweep:
    """Remembers heartbeats between its runs, by the monotonic clock of this process."""

    def __init__(self) -> None:
        self._patience = Patience()

    def run(self) -> None:
        """Kick the lanes that are needed, probe the servers that are due, expire old jobs."""
        for server in Server.objects.order_by("pk"):
            self._look_at(server)
        self._expire()

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
        return bool(candidates_for(server, server.loaded_checkpoint))

    @staticmethod
    def _probe_due(server: Server) -> bool:
        now = timezone.now()
        if server.probe_at is not None:
            return server.probe_at <= now
        # Never asked, or the asking task was lost.
        return server.checked_at is None or (now - server.checked_at).total_seconds() > 60

    @staticmethod
    def _expire() -> None:
        """Fail the jobs whose deadline passed while they waited."""
        late = Job.objects.filter(
            status=Status.PENDING, deleted_at__isnull=True, deadline__lt=timezone.now()
        )
        for job in late[:200]:
            with transaction.atomic():
                transitions.fail_pending(
                    job,
                    transitions.Trouble(
                        "deadline_passed",
                        "No server was free before the job's deadline.",
                        "Retry it without a deadline.",
                    ),
                )
