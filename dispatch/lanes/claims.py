"""From the queue to the backend: choose, claim, prepare, mark, send (design §6)."""

import logging
import queue
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from django.utils import timezone

from dispatch import standing
from dispatch.candidates import candidate_levels, may_start
from dispatch.dispatchers.base import BackendError, Dispatcher, ErrorClass, Order, Request
from dispatch.dispatchers.registry import dispatcher_for
from dispatch.inventory import ServerInventory, load
from dispatch.lanes import store
from dispatch.lanes.memory import relieved
from dispatch.lanes.outcomes import Settler
from dispatch.lanes.run import Run
from dispatch.lease import Lease
from dispatch.levels import levels, order_of
from dispatch.models import Server
from dispatch.scheduling import Candidate, ServerState, choose
from dispatch.states import Rivals
from jobs import transitions
from jobs.choices import LaneClass
from jobs.inputs import restore
from jobs.models import Attempt, Job, QueueSettings, hold_queue
from jobs.outputs import OutputMissing, with_outputs
from jobs.readiness import begin_due
from mobilesd.rows import Reader
from mobilesd.storage import has_room

__all__ = ["GIVES_WAY", "Claimer"]

log = logging.getLogger(__name__)

# An answer that so many lanes did not survive is not fetched again: it may be what ends them.
_ADOPTIONS = 5
_SERVER = Reader(Server, "WHERE t.id = %s")
# Why a job waits between two rounds, in words for its page.
GIVES_WAY = "It gives way to an interactive job."
_LESS_URGENT = "It gives way to a job that is more urgent."


def _takes_jobs(server: Server) -> bool:
    if not server.enabled or server.paused or not server.is_healthy:
        return False
    return server.yields_since is None and has_room()


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
        server = _SERVER.first(self._lease.server_id)
        if server is None or not _takes_jobs(server):
            return None
        rivals = Rivals(server)
        states: list[ServerState] = []
        seen: list[Candidate] = []
        chosen: Candidate | None = None
        for level in candidate_levels(server, loaded or server.loaded_checkpoint, begins, rivals):
            if not states:
                states = list(rivals.states)
                if loaded:
                    states[0] = replace(states[0], loaded=loaded)
            if chosen is not None and level[0].rank[0] != chosen.rank[0]:
                break  # among those of the first class, others may have waited long enough
            seen += level
            chosen = choose(states[0], seen, states[1:]).candidate
        if chosen is not None and _gives_way(chosen) and behind:
            if behind.remaining() is None:
                # Nothing tells when its turn would come, and it could not be taken back from the
                # server for an interactive job that comes before that.
                return None
            if behind.later_images:
                return None  # else two would take turns, and load their models in turn
        return chosen

    def next_round(self, job: Job) -> store.Next:
        """Return what claims the next round of a job whose round is about to be stored, or says
        why it waits: something comes before it, or nothing more may start.

        Call it right after the fence, before the job is given back to the queue: to look may take
        the queue's lock, which comes before that of a job.
        """
        waits = self._why_it_waits(job)
        hold_queue(shared=True)

        def follow(given_back: Job) -> Attempt | str:
            if waits is not None:
                return waits
            claimed = transitions.claim(
                given_back.pk, server_alias=self._alias, lane=self._lease.token
            )
            return claimed or ""

        return follow

    def _why_it_waits(self, job: Job) -> str | None:
        """Return why a job can't go on at once, in words or ""; None if it can."""
        server = Server.objects.get(pk=self._lease.server_id)
        now = timezone.now()
        if not _takes_jobs(server) or not may_start(server, QueueSettings.current(), now):
            return ""
        begin_due(now)
        own = order_of(job.lane_class, job.priority)
        waiting = levels(server.app_type, server.alias)
        if not any(level.order < own for level in waiting):
            return None
        first = self.next_candidate()
        if first is None or first.rank[:2] >= own:
            return None
        return _LESS_URGENT if _gives_way(first) else GIVES_WAY

    def start(
        self, candidate: Candidate, address: tuple[str, ...], behind: Run | None
    ) -> Run | None:
        """Claim the job and send it; None if it is not ours after all, or could not be sent.

        `address` is what the lane is connected to: a job sent elsewhere could not be followed.
        `behind` is the run that this one is handed over behind.
        """
        with self._lease.fenced():
            # Read under the fence's lock: a pause or removal that came first counts.
            server = _SERVER.first(self._lease.server_id)
            if server is None or not server.enabled or server.paused or server.address != address:
                return None
            if not may_start(server, QueueSettings.current(), timezone.now()):
                return None
            if behind is not None and not Attempt.objects.open().filter(token=behind.token):
                return None  # cancelled this moment: with company it could not be stopped
            attempt = transitions.claim(
                candidate.id, server_alias=self._alias, lane=self._lease.token
            )
        return None if attempt is None else self._send(attempt, server, behind)

    def send(self, attempt: Attempt, before: Run) -> Run | None:
        """Send the next round of a job, which was claimed after `before`; None as `start`."""
        return self._send(attempt, Server.objects.get(pk=self._lease.server_id), before)

    def _send(self, attempt: Attempt, server: Server, before: Run | None) -> Run | None:
        """Send a claimed attempt; `before` is what the server makes or made last, if known."""
        run = Run(attempt)
        dispatcher = dispatcher_for(server)
        try:
            request, measures = self._prepare(server, attempt, dispatcher)
        except BackendError as error:
            self._settler.error(run, error)
            return None
        run.checkpoint, run.uses_model = request.checkpoint, request.uses_model
        self._expect(run, server, before)
        with self._lease.fenced():
            marked = transitions.mark_submitted(run.token, lane=self._lease.token)
            if marked and (measures or run.expected_seconds is not None or attempt.images):
                Attempt.objects.filter(token=run.token).update(
                    measures=list(measures),
                    expected_seconds=run.expected_seconds,
                    images=attempt.images,
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
        if run.attempt.adoptions > _ADOPTIONS:
            run.unreadable = True
        if run.is_unwanted:
            return False
        server = Server.objects.get(pk=self._lease.server_id)
        dispatcher = dispatcher_for(server)
        sent = run.attempt.images  # the job may have come to another lane class since
        try:
            request, _ = self._prepare(server, run.attempt, dispatcher)
        except BackendError as error:
            log.warning("attempt %s can't be resumed: %s", run.token, error.message)
            run.unreadable = True
            return False
        run.attempt.images = sent
        run.checkpoint, run.uses_model = request.checkpoint, request.uses_model
        run.expected_seconds = run.attempt.expected_seconds
        run.resume(dispatcher, request, self._finished)
        return True

    def _prepare(
        self, server: Server, attempt: Attempt, dispatcher: Dispatcher
    ) -> tuple[Request, Sequence[str]]:
        """Return the request, and in words what it does otherwise than asked for.

        Of a background job it is one round, where it can be cut; of a job that has rounds behind
        it and is in the background no more, all the rest. The attempt says how many pictures.
        """
        job, inventory = attempt.job, self.inventory(server)
        try:
            params, words = relieved(job, restore(with_outputs(job.generation_params)), inventory)
            whole = job.lane_class != LaneClass.BACKGROUND
            part = dispatcher.part(job.kind, params, job.images_made, whole=whole)
            if part is not None and (job.images_made or part.images < job.images_wanted):
                params, attempt.images = part.params, part.images
            elif job.images_made:  # all of them would be made, and stored beside those that are
                raise RuntimeError("a job that was cut can't be cut any more")
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
    def _expect(run: Run, server: Server, before: Run | None) -> None:
        if not run.uses_model:
            run.expected_seconds = standing.expected_seconds(
                server.pk, run.upscaler, run.job.kind, run.units, loads=False
            )
            return
        # What will be loaded when it begins: that of the run before it, where there is one.
        loaded = (before.checkpoint if before else "") or server.loaded_checkpoint
        name = run.checkpoint or loaded
        run.loads_model = bool(run.checkpoint) and run.checkpoint != loaded
        run.expected_seconds = standing.expected_seconds(
            server.pk, name, run.job.kind, run.units, loads=run.loads_model
        )
        if run.later_images:
            later = run.units * run.later_images / run.images
            run.later_seconds = standing.expected_seconds(
                server.pk, name, run.job.kind, later, loads=False
            )
