"""From the queue to the backend: choose, claim, prepare, mark, send (design §6)."""

import logging
import queue
import time
from dataclasses import replace

from dispatch.candidates import candidates_for, server_states
from dispatch.dispatchers.base import BackendError, Dispatcher, ErrorClass, Order, Request
from dispatch.dispatchers.registry import dispatcher_for
from dispatch.inventory import ServerInventory, load
from dispatch.lanes.outcomes import Settler
from dispatch.lanes.run import Run
from dispatch.lease import Lease
from dispatch.models import Server, Timing
from dispatch.scheduling import Candidate, choose
from jobs import transitions
from jobs.inputs import restore
from jobs.models import Attempt, Job

__all__ = ["Claimer"]

log = logging.getLogger(__name__)


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

    def next_candidate(self, *, loaded: str = "") -> Candidate | None:
        """Return the job that this server should take next, or None.

        `loaded`: the checkpoint that will be loaded by then, while a run is still going.
        """
        server = Server.objects.filter(pk=self._lease.server_id).first()
        if server is None or not server.enabled or server.paused or not server.is_healthy:
            return None
        candidates = candidates_for(server, loaded or server.loaded_checkpoint)
        if not candidates:
            return None
        rivals = Server.objects.filter(enabled=True, app_type=server.app_type)
        own, *others = server_states([server, *rivals.exclude(pk=server.pk)])
        if loaded:
            own = replace(own, loaded=loaded)
        return choose(own, candidates, others).candidate

    def start(
        self, candidate: Candidate, address: tuple[str, str, str], behind: Run | None
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
            request = self._prepare(server, attempt.job, dispatcher)
        except BackendError as error:
            self._settler.error(run, error)
            return None
        run.checkpoint = request.checkpoint
        self._expect(run, server, behind)
        with self._lease.fenced():
            marked = transitions.mark_submitted(run.token, lane=self._lease.token)
            if not marked:  # cancelled meanwhile, and never sent: nothing to clean up
                transitions.clear(run.token)
        if not marked:
            return None
        run.send(dispatcher, request, self._finished)
        return run

    def _prepare(self, server: Server, job: Job, dispatcher: Dispatcher) -> Request:
        inventory = self.inventory(server)
        try:
            params = restore(job.generation_params)
            order = Order(kind=job.kind, params=params, checkpoint=job.checkpoint)
            return dispatcher.prepare(order, inventory)
        except BackendError:
            raise
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
        learned = Timing.objects.filter(server=server, checkpoint=name, runs__gt=0).first()
        if learned is not None:
            load = learned.load_seconds if run.loads_model else 0.0
            run.expected_seconds = learned.unit_seconds * run.units + load
