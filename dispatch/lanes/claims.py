"""From the queue to the backend: choose, claim, prepare, mark, send (design §6)."""

import logging
import queue
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from django.utils import timezone

from dispatch import standing
from dispatch.candidates import candidate_levels, may_start, server_states
from dispatch.dispatchers.base import BackendError, Dispatcher, ErrorClass, Order, Request
from dispatch.dispatchers.registry import dispatcher_for
from dispatch.inventory import ServerInventory, load
from dispatch.lanes.memory import relieved
from dispatch.lanes.outcomes import Settler
from dispatch.lanes.run import Run
from dispatch.lease import Lease
from dispatch.models import Server
from dispatch.scheduling import Candidate, ServerState, choose
from jobs import transitions
from jobs.inputs import OutputMissing, restore, with_outputs
from jobs.models import Attempt, Job, QueueSettings
from mobilesd.storage import has_room

__all__ = ["Claimer"]

log = logging.getLogger(__name__)


def _gives_way(job: Candidate) -> bool:
    """Tell whether it is of the background lane."""
    return job.rank[0] > 0


class Claimer:
    """Starts runs for one lane."""

    def __init__(
        self, lease: Lease, alias: str, settler: Settler, finished: "queue.SimpleQueue[Run]"
    ) -> None:
        self._lease = lease
        self._alias = alias
        self._settler = settler
        self._finished = finished
        self._inventory: ServerInventory | None = None
        self._inventory_at = 0.0

    def next_candidate(self, *, loaded: str = "", behind: Run | None = None) -> Candidate | None:
        """Return the job that this server should take next, or None.

        `loaded`: the checkpoint that will be loaded by then, while a run is still going. `behind`
        is that run: the hours must still be open when it ends.
        """
        begins = timedelta(seconds=(behind.remaining() or 0.0) if behind else 0.0)
        server = Server.objects.filter(pk=self._lease.server_id).first()
        if server is None or not server.enabled or server.paused or not server.is_healthy:
            return None
        if server.yields_since is not None or not has_room():
            return None
        states: list[ServerState] = []
        seen: list[Candidate] = []
        chosen: Candidate | None = None
        for level in candidate_levels(server, loaded or server.loaded_checkpoint, begins):
            if not states:
                rivals = Server.objects.filter(enabled=True, app_type=server.app_type)
                states = server_states([server, *rivals.exclude(pk=server.pk)])
                if loaded:
                    states[0] = replace(states[0], loaded=loaded)
            if chosen is not None and level[0].rank[0] != chosen.rank[0]:
                break  # among those of the first class, others may have waited long enough
            seen += level
            chosen = choose(states[0], seen, states[1:]).candidate
        if chosen is not None and _gives_way(chosen) and behind and behind.remaining() is None:
            # Nothing tells when its turn would come, and it could not be taken back from the
            # server for an interactive job that comes before that.
            return None
        return chosen

    def start(
        self, candidate: Candidate, address: tuple[str, ...], behind: Run | None
    ) -> Run | None:
        """Claim the job and send it; None if it is not ours after all, or could not be sent.

        `address` is what the lane is connected to: a job sent elsewhere could not be followed.
        `behind` is the run that this one is handed over behind.
        """
        with self._lease.fenced():
            # Read under the fence's lock: a pause or removal that came first counts.
            server = Server.objects.get(pk=self._lease.server_id)
            if not server.enabled or server.paused or server.address != address:
                return None
            if not may_start(server, QueueSettings.current(), timezone.now()):
                return None
            if behind is not None and not Attempt.objects.open().filter(token=behind.token):
                return None  # cancelled this moment: with company it could not be stopped
            attempt = transitions.claim(
                candidate.id, server_alias=self._alias, lane=self._lease.token
            )
        if attempt is None:
            return None
        run = Run(attempt)
        dispatcher = dispatcher_for(server)
        try:
            request, measures = self._prepare(server, attempt.job, dispatcher)
        except BackendError as error:
            self._settler.error(run, error)
            return None
        run.checkpoint, run.uses_model = request.checkpoint, request.uses_model
        if run.uses_model:
            self._expect(run, server, behind)
        with self._lease.fenced():
            marked = transitions.mark_submitted(run.token, lane=self._lease.token)
            if marked and (measures or run.expected_seconds is not None):
                Attempt.objects.filter(token=run.token).update(
                    measures=list(measures), expected_seconds=run.expected_seconds
                )
            if not marked:  # cancelled meanwhile, and never sent: nothing to clean up
                transitions.clear(run.token)
        if not marked:
            return None
        run.send(dispatcher, request, self._finished)
        return run

    def resume(self, run: Run) -> bool:
        """Wait for the answer of an attempt that was sent before; the backend keeps it.

        False leaves it an orphan: nobody could read its answer, or wants it.
        """
        if run.is_unwanted:
            return False
        server = Server.objects.get(pk=self._lease.server_id)
        dispatcher = dispatcher_for(server)
        try:
            request, _ = self._prepare(server, run.job, dispatcher)
        except BackendError as error:
            log.warning("attempt %s can't be resumed: %s", run.token, error.message)
            run.unreadable = True
            return False
        run.checkpoint, run.uses_model = request.checkpoint, request.uses_model
        run.expected_seconds = run.attempt.expected_seconds
        run.resume(dispatcher, request, self._finished)
        return True

    def _prepare(
        self, server: Server, job: Job, dispatcher: Dispatcher
    ) -> tuple[Request, Sequence[str]]:
        """Return the request, and in words what it does otherwise than asked for."""
        inventory = self.inventory(server)
        try:
            params, words = relieved(job, restore(with_outputs(job.generation_params)), inventory)
            order = Order(kind=job.kind, params=params, checkpoint=job.checkpoint)
            request = dispatcher.prepare(order, inventory)
            return replace(request, warnings=[*request.warnings, *words]), words
        except BackendError:
            raise
        except OutputMissing as gone:
            raise BackendError(
                ErrorClass.PERMANENT,
                "input_missing",
                str(gone),
                "Submit the job again with a picture that is there.",
            ) from gone
        except OSError as error:
            raise BackendError(
                ErrorClass.PERMANENT,
                "input_missing",
                "A picture that belongs to this job can't be read from the disk any more.",
                "Submit the job again with the picture.",
            ) from error
        except Exception as error:
            # A job that breaks our own code would otherwise end this lane, and then the next.
            log.exception("preparing job %s", job.pk)
            raise BackendError(
                ErrorClass.PERMANENT,
                "internal_error",
                "MobileSD could not put this job into the server's words.",
                "Please report it, with the lines of MobileSD's log that name this job.",
            ) from error

    def inventory(self, server: Server) -> ServerInventory | None:
        """Return the server's lists, read from the database at most every 2 s."""
        if self._inventory is None or time.monotonic() - self._inventory_at > 2:
            self._inventory = load(server)
            self._inventory_at = time.monotonic()
        return self._inventory

    @staticmethod
    def _expect(run: Run, server: Server, behind: Run | None) -> None:
        # What will be loaded when it begins: a job that is handed over finds its predecessor's.
        loaded = (behind.checkpoint if behind else "") or server.loaded_checkpoint
        name = run.checkpoint or loaded
        run.loads_model = bool(run.checkpoint) and run.checkpoint != loaded
        run.expected_seconds = standing.expected_seconds(
            server.pk, name, run.job.kind, run.units, loads=run.loads_model
        )
