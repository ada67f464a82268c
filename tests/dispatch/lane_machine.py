"""The lane protocol as a state machine over real lanes: any fault, at any time, in any order.

Lanes are processes that are killed and frozen, the backends are fakes on real sockets that are
killed and started again, the database is a real file. What holds after every step and at the end
is what the protocol's model checker proved of its model (protocol §1 and §4).
"""

import contextlib
import json
import signal
import socket
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from django.db import DatabaseError, connection, transaction
from django.db.models import Count
from django_q.models import OrmQ
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dispatch.lease import Sighting
from dispatch.models import Server
from dispatch.sweep import Sweep
from gallery.models import Image
from jobs import again, transitions
from jobs.choices import FINAL, Outcome, Status
from jobs.models import Attempt, Event, Job, LiveEvent
from tests.dispatch import lane_audit
from tests.dispatch.lane_faults import BUDGET, CRASH_AT, FREEZE_AT, JUMPS, WASTE, Backend
from tests.dispatch.lane_harness import queue
from tests.dispatch.lane_processes import Cluster, LaneProcess

__all__ = ["JOBS", "LaneProtocol"]

JOBS = 5
SERVERS = ("a", "b")

# When a fault strikes: at once, in the middle of a picture, or with another one behind it.
MOMENTS = st.sampled_from(["now", "in a picture", "with one handed over"])
WHERE = st.integers(0, len(SERVERS) - 1)
# Taken modulo: a machine may have fewer places.
STEP = st.integers(0, 999)


def _spend(name: str):
    return precondition(lambda self: self.spent[name] < self.budget.get(name, 0))


class LaneProtocol(RuleBasedStateMachine):
    """Two servers, up to five jobs, and everything that can go wrong with them.

    Which rules may come next depends on nothing but the rules before: real time must not make
    two runs of the same example differ. A rule that finds nothing to hurt does nothing.
    """

    cluster: ClassVar[Cluster]
    log: ClassVar[Path]
    offences: ClassVar[list[str]] = []  # all that lanes took without their lease
    # A machine that looks for one kind of fault has less of the others.
    budget: ClassVar[Mapping[str, int]] = BUDGET
    freeze_at: ClassVar[Sequence[str]] = FREEZE_AT
    crash_at: ClassVar[Sequence[str]] = CRASH_AT
    waste: ClassVar[Mapping[str, int]] = WASTE
    dropped_at: ClassVar[Mapping[str, Any]] = {}  # which requests' answers get lost

    def __init__(self) -> None:
        super().__init__()
        self.spent: Counter[str] = Counter()
        self.jobs: list[Job] = []
        self.ended: dict[object, str] = {}
        self.halts: list[dict[str, object]] = []
        self.frozen: list[LaneProcess] = []
        self.sweep = Sweep()
        self.log_from = self.log.stat().st_size if self.log.exists() else 0
        self.cluster.clock.set(0.0)
        lane_audit.forget()
        self.backends = [self.backend(alias) for alias in SERVERS]
        self.foreign: list[threading.Thread] = []

    def backend(self, alias: str) -> Backend:
        """Start a backend of the kind that this machine is about."""
        return Backend(alias)

    # --- what people do ---------------------------------------------------------------------

    @initialize(count=st.integers(1, 3))
    def first_jobs(self, count: int) -> None:
        self._submit(count)

    @precondition(lambda self: len(self.jobs) < JOBS)
    @rule()
    def submit(self) -> None:
        self._submit(1)

    @precondition(lambda self: len(self.jobs) < JOBS)
    @rule(pictures=st.integers(2, 4))
    def submit_in_rounds(self, pictures: int) -> None:
        """One that gives way after each of its pictures."""
        self._submit(
            1, params={"n_iter": pictures}, images_wanted=pictures, lane_class="background"
        )

    def _submit(self, count: int, **fields: Any) -> None:
        with transaction.atomic():
            jobs = queue(count, **fields)
            for job in jobs:
                transitions.announce_waiting(job)
        self.jobs += jobs
        self._tick()

    @_spend("cancel")
    @rule(which=st.integers(0, JOBS - 1), moment=MOMENTS)
    def cancel(self, which: int, moment: str) -> None:
        self.spent["cancel"] += 1
        self._await(moment)
        with transaction.atomic():
            transitions.cancel(self._job(which).pk)

    @_spend("retry")
    @rule(which=st.integers(0, JOBS - 1))
    def retry(self, which: int) -> None:
        """Also of a job whose old run is still at the backend: it has to wait for that."""
        self.spent["retry"] += 1
        self._retry(self._job(which))

    @_spend("cancel")
    @_spend("retry")
    @rule(which=st.integers(0, JOBS - 1), moment=MOMENTS)
    def cancel_and_retry(self, which: int, moment: str) -> None:
        """Before any lane had the time to clean up."""
        self.spent["cancel"] += 1
        self.spent["retry"] += 1
        self._await(moment)
        with transaction.atomic():
            transitions.cancel(self._job(which).pk)
        self._retry(self._job(which))

    def _retry(self, job: Job) -> None:
        with transaction.atomic():
            if again.retry(job.pk):
                self.ended.pop(job.pk, None)  # the one way out of a final state

    def _job(self, which: int) -> Job:
        return self.jobs[which % len(self.jobs)]

    @_spend("cancel")
    @_spend("crash")
    @rule(which=st.integers(0, JOBS - 1), where=WHERE, moment=MOMENTS)
    def cancel_and_crash(self, which: int, where: int, moment: str) -> None:
        """The lane has no time to clean up after the cancel."""
        self.spent["cancel"] += 1
        self.spent["crash"] += 1
        self._await(moment)
        lane = self._holder(where)
        with transaction.atomic():
            transitions.cancel(self._job(which).pk)
        if lane is not None:
            lane.kill()

    @_spend("foreign")
    @rule(where=WHERE)
    def foreign_run(self, where: int) -> None:
        self.spent["foreign"] += 1
        name = f"foreign-{self.spent['foreign']}"
        body = {"prompt": "theirs", "steps": 4, "width": 64, "height": 64, "force_task_id": name}
        thread = threading.Thread(target=self._post, args=(where, "txt2img", body), daemon=True)
        thread.start()
        self.foreign.append(thread)

    @_spend("interrupt")
    @rule(where=WHERE, moment=MOMENTS)
    def foreign_interrupt(self, where: int, moment: str) -> None:
        self.spent["interrupt"] += 1
        self._await(moment)
        self._post(where, "interrupt", {})

    def _post(self, where: int, name: str, body: dict[str, object]) -> None:
        request = urllib.request.Request(
            f"{self.backends[where].fake.url}/sdapi/v1/{name}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with contextlib.suppress(OSError):
            urllib.request.urlopen(request, timeout=20).read()

    # --- what goes wrong --------------------------------------------------------------------

    @_spend("crash")
    @rule(where=WHERE, moment=MOMENTS)
    def crash_lane(self, where: int, moment: str) -> None:
        self.spent["crash"] += 1
        self._await(moment)
        lane = self._holder(where)
        if lane is not None:
            lane.kill()
        self._tick()

    @_spend("crash")
    @rule(step=STEP, skip=st.integers(0, 2))
    def crash_next_lane_at(self, step: int, skip: int) -> None:
        self.spent["crash"] += 1
        place = self.crash_at[step % len(self.crash_at)]
        self.halts.append({"halt_at": place, "how": signal.SIGKILL, "skip": skip})

    @_spend("expire")
    @rule(where=WHERE, moment=MOMENTS)
    def freeze_and_take_over(self, where: int, moment: str) -> None:
        """A lane stands still for so long that another takes its lease, and wakes up later."""
        self.spent["expire"] += 1
        self._await(moment)
        lane = self._holder(where)
        if lane is not None:
            self._freeze(lane)
            self.frozen.append(lane)
            self._take_over(lane.server_id)

    @_spend("expire")
    @rule(step=STEP, skip=st.integers(0, 2))
    def freeze_next_lane_at(self, step: int, skip: int) -> None:
        """As above, at an exact place; it is taken over in a later step."""
        self.spent["expire"] += 1
        place = self.freeze_at[step % len(self.freeze_at)]
        self.halts.append({"halt_at": place, "how": signal.SIGSTOP, "skip": skip})

    @_spend("expire")
    @rule(where=WHERE, moment=MOMENTS)
    def take_over_from_a_living_lane(self, where: int, moment: str) -> None:
        self.spent["expire"] += 1
        self._await(moment)
        self._take_over(self.backends[where].server.pk)

    @rule()
    def thaw(self) -> None:
        for lane in self.frozen:
            lane.thaw()
        self.frozen = []

    @_spend("clock")
    @rule(seconds=st.sampled_from(JUMPS), moment=MOMENTS)
    def shift_clock(self, seconds: float, moment: str) -> None:
        """Somebody sets the clock of this machine; `up` sees that, as the lanes do."""
        self.spent["clock"] += 1
        self._await(moment)
        self.cluster.clock.set(self.cluster.clock.seconds + seconds)
        self.sweep.woke()

    @_spend("backend")
    @rule(where=WHERE, moment=MOMENTS)
    def crash_backend(self, where: int, moment: str) -> None:
        self.spent["backend"] += 1
        self._await(moment)
        self.backends[where].restart()

    @_spend("fail")
    @rule(where=WHERE)
    def fail_a_run(self, where: int) -> None:
        self.spent["fail"] += 1
        self.backends[where].fake.faults.add("http_500", after_steps=2)

    @_spend("drop")
    @rule(where=WHERE)
    def drop_an_answer(self, where: int) -> None:
        self.spent["drop"] += 1
        self.backends[where].fake.faults.add("drop_after", **self.dropped_at)

    @_spend("cut")
    @rule(where=WHERE, moment=MOMENTS)
    def cut_connections(self, where: int, moment: str) -> None:
        """The network breaks under all requests; the backend goes on with its work."""
        self.spent["cut"] += 1
        self._await(moment)
        for connection_ in list(self.backends[where].fake._connections):
            with contextlib.suppress(OSError):
                connection_.shutdown(socket.SHUT_RDWR)

    @rule(tenths=st.integers(1, 4))
    def wait(self, tenths: int) -> None:
        end = time.monotonic() + tenths / 10
        while time.monotonic() < end:
            self._tick()
            time.sleep(0.03)

    # --- the machinery around ---------------------------------------------------------------

    def _await(self, moment: str) -> None:
        """Let time pass until the moment has come, or does not seem to come."""
        end = time.monotonic() + 0.7
        while not self._has_come(moment) and time.monotonic() < end:
            self._tick()
            time.sleep(0.01)

    def _has_come(self, moment: str) -> bool:
        if moment == "with one handed over":
            return any(len(backend.there()) >= 2 for backend in self.backends)
        return moment == "now" or any(b.there() and b.samples for b in self.backends)

    def _tick(self) -> None:
        """Do what `up` and the clusters do: sweep, and run what was enqueued."""
        self.sweep.run()
        for row in OrmQ.objects.all():
            if row.key == "dispatch":
                halt = self.halts.pop() if self.halts else {}
                self.cluster.work_off(**halt)
            else:
                self.cluster.work_off()
        self._take_over_from_frozen()
        self.nothing_is_given_up_while_it_is_at_the_backend()

    def _take_over_from_frozen(self) -> None:
        for lane in self.cluster.lanes:
            if lane.frozen and lane not in self.frozen:
                if self._locks_the_database():
                    lane.thaw()  # everything would wait for it: see `_freeze`
                else:
                    self.frozen.append(lane)
                    self._take_over(lane.server_id)

    def _holder(self, where: int) -> LaneProcess | None:
        """Return the lane that owns this server, or else the one that owns another."""
        pids = dict(Server.objects.values_list("pk", "lane_pid"))
        wanted = [self.backends[where].server.pk, *pids]
        for pid in (pids[pk] for pk in wanted):
            for lane in self.cluster.lanes:
                if lane.alive and lane.pid == pid:
                    return lane
        return None

    def _take_over(self, server_id: int) -> None:
        row = Server.objects.get(pk=server_id)
        if row.lane_token is not None and row.heartbeat_at is not None:
            self.cluster.start(server_id, Sighting(row.lane_token, row.heartbeat_at))

    def _freeze(self, lane: LaneProcess) -> None:
        """Stop a lane where it does not stop the whole database with it."""
        for _ in range(50):
            lane.freeze()
            if not self._locks_the_database():
                return
            lane.thaw()
            time.sleep(0.01)

    def _locks_the_database(self) -> bool:
        sqlite = connection.vendor == "sqlite"
        with connection.cursor() as cursor:
            if sqlite:
                cursor.execute("PRAGMA busy_timeout=100")
            try:
                with transaction.atomic():  # on SQLite this takes the one write lock
                    if not sqlite:
                        cursor.execute("SET LOCAL lock_timeout = '100ms'")
                        cursor.execute("SELECT 1 FROM dispatch_server FOR UPDATE")
            except DatabaseError:
                return True
            finally:
                if sqlite:
                    cursor.execute("PRAGMA busy_timeout=20000")
        return False

    # --- what must hold ---------------------------------------------------------------------

    @invariant()
    def every_job_is_in_one_state_of_its_life(self) -> None:
        with transaction.atomic():  # a lane may store a round in between
            jobs = list(Job.objects.all())
            places = [*Image.objects.order_by("index").values_list("job", "index")]
        for job in jobs:
            assert self.ended.get(job.pk, job.status) == job.status, "a final state changed"
            if job.status in FINAL:
                self.ended[job.pk] = job.status
            made = job.images_wanted if job.status == Status.COMPLETED else job.images_made
            there = [index for job_id, index in places if job_id == job.pk]
            assert there == list(range(made)), (job.status, job.images_made, there)
        for attempt in Attempt.objects.open().select_related("job"):
            assert attempt.job.status == Status.PROCESSING
        twice = Attempt.objects.filter(outcome=Outcome.COMPLETED).values("job")
        assert not twice.annotate(times=Count("pk")).filter(times__gt=1)

    @invariant()
    def no_token_is_sent_twice(self) -> None:
        tokens = Counter(run.token for run in self._runs())
        assert max(tokens.values(), default=0) <= 1, tokens

    @invariant()
    def no_lane_takes_a_job_without_its_lease(self) -> None:
        taken = lane_audit.without_lease()
        self.offences.extend(taken)
        assert not taken, taken

    @invariant()
    def a_job_has_no_second_attempt_before_the_first_is_cleared(self) -> None:
        uncleared = Attempt.objects.filter(cleared_at__isnull=True).values("job")
        assert not uncleared.annotate(times=Count("pk")).filter(times__gt=1), self._describe()

    def _runs(self) -> list[Any]:
        return [run for backend in self.backends for run in backend.fake.log.runs()]

    @invariant()
    def nothing_is_given_up_while_it_is_at_the_backend(self) -> None:
        """Else a second run of the job may stand beside the first, or a third in the queue.

        Only a frozen lane can break this: it may send once after it was taken over (protocol §2).
        """
        if self.spent["expire"]:
            return
        cleared = Attempt.objects.filter(cleared_at__isnull=False)
        given_up = {str(token) for token in cleared.values_list("token", flat=True)}
        for backend in self.backends:
            there = backend.there()
            assert not given_up.intersection(run.token for run in there), there
            assert sum(not str(run.token).startswith("foreign") for run in there) <= 2, there

    def teardown(self) -> None:
        try:
            self.thaw()
            self.halts = []
            self._settle()
            self._check_end()
        finally:
            for lane in self.cluster.lanes:
                lane.kill()
            for backend in self.backends:
                backend.fake.stop()
            for thread in self.foreign:
                thread.join(5)
            for model in (OrmQ, Image, Event, LiveEvent, Job, Server):
                model.objects.all().delete()

    def _settle(self) -> None:
        """Let everything come to its end, without further faults."""
        end = time.monotonic() + 30
        while not self._is_settled():
            assert time.monotonic() < end, self._describe()
            self._tick()
            self.thaw()
            time.sleep(0.05)

    def _is_settled(self) -> bool:
        return (
            not Job.objects.exclude(status__in=FINAL).exists()
            and not Attempt.objects.filter(cleared_at__isnull=True).exists()
            and not any(backend.fake.engine.state.job for backend in self.backends)
        )

    def _check_end(self) -> None:
        self.every_job_is_in_one_state_of_its_life()
        self.no_token_is_sent_twice()
        self.no_lane_takes_a_job_without_its_lease()
        for job in Job.objects.all():
            # No fault here is the job's own often enough to fail it.
            assert job.status in (Status.COMPLETED, Status.CANCELLED), self._describe()
        allowed = sum(self.waste.get(name, 0) * times for name, times in self.spent.items())
        wasted = self._wasted()
        assert len(wasted) <= allowed, (allowed, wasted, self._describe())
        with self.log.open() as stream:
            stream.seek(self.log_from)
            text = stream.read()
        assert "Traceback" not in text, text

    def _wasted(self) -> list[object]:
        kept = (Outcome.COMPLETED, Outcome.ROUND, Outcome.CANCELLED)
        outcomes = {str(a.token): a.outcome for a in Attempt.objects.all()}
        return [
            (run.token, outcomes[run.token])
            for run in self._runs()
            if run.token in outcomes
            and run.started_at is not None
            and "http_500" not in run.faults
            and outcomes[run.token] not in kept
        ]

    def _describe(self) -> str:
        lines = [f"spent {dict(self.spent)}"]
        lines += [f"job {j.pk} {j.status} {j.error_code} {j.retry_at}" for j in Job.objects.all()]
        lines += [
            f"attempt {a.token} of {a.job_id} sent={a.submitted_at} {a.outcome} "
            f"ended={a.ended_at} cleared={a.cleared_at} lane={a.lane}"
            for a in Attempt.objects.order_by("created_at")
        ]
        lines += [str(run) for run in self._runs()]
        lines += [str(server) for server in Server.objects.values()]
        return "\n".join(lines)
