"""The loop of a lane: it owns its server by the lease, and alone claims, sends and interrupts."""

import logging
import queue
import time
from collections.abc import Callable

from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, connection

from dispatch import standing, wake, yielding
from dispatch.candidates import candidates_for
from dispatch.dispatchers.base import (
    Answer,
    BackendError,
    Dispatcher,
    LostAnswer,
    NeverReached,
    Presence,
)
from dispatch.dispatchers.registry import dispatcher_for
from dispatch.health import refresh
from dispatch.lanes import store
from dispatch.lanes.claims import GIVES_WAY, Claimer
from dispatch.lanes.doze import Glance, Watcher
from dispatch.lanes.drain import store_late_answers
from dispatch.lanes.learning import learn
from dispatch.lanes.outcomes import Settler
from dispatch.lanes.pace import Pace
from dispatch.lanes.policy import stall_seconds
from dispatch.lanes.recovery import adopt_all
from dispatch.lanes.reporting import Reporter
from dispatch.lanes.run import Run, about_run
from dispatch.lease import Lease, LeaseLost, live_count
from dispatch.models import Health, Interrupt, Server
from dispatch.stopping import drain_requested, stop_requested
from dispatch.wakefulness import Wakefulness
from jobs.models import Attempt, Job

__all__ = ["Lane"]

log = logging.getLogger(__name__)


class Lane:
    """Drives one server until there is nothing to do, the budget is over, or it must stop."""

    def __init__(self, lease: Lease, pace: Pace) -> None:
        self._lease = lease
        self._pace = pace
        self._server = Server.objects.get(pk=lease.server_id)
        self._finished: queue.SimpleQueue[Run] = queue.SimpleQueue()
        self._settler = Settler(lease, self._server.alias)
        self._claimer = Claimer(lease, self._server.alias, self._settler, self._finished)
        self._reporter = Reporter(lease)
        self._watcher = Watcher(lease.server_id)
        self._backend: Dispatcher = dispatcher_for(self._server)
        self._address = self._server.address
        self._runs: list[Run] = []  # in the order in which they were sent
        self._recovered = False
        self._task_ids = True
        self._wakefulness = Wakefulness(pace.awake)
        self._leftovers: frozenset[str] = frozenset()
        now = time.monotonic()
        self._ends_at = now + pace.budget
        self._idle_since = now
        self._polled_at = self._orphans_at = self._stop_looked_at = 0.0
        self._seen_seq: int | None = None
        self._choose_at = self._yield_at = 0.0
        self._stopping = self._draining = False

    def live(self) -> None:
        """Run the lane to its end; the lease is released or lost when this returns."""
        self._lease.start_heartbeat()
        try:
            while self._carry_on():
                pass
        except LeaseLost:
            log.warning("lane of %s lost its lease", self._server.alias)
            store_late_answers(self._runs, self._finished, self._backend)
        except Exception:
            # Whatever broke here: the pictures in flight are worth waiting for, and the next
            # lane must not have to wait until this lease looks stale.
            log.exception("lane of %s", self._server.alias)
            store_late_answers(self._runs, self._finished, self._backend)
            self._release_if_ours()
            raise
        finally:
            for run in self._runs:
                run.abandon()
            self._lease.stop_heartbeat()
            self._backend.close()

    def _carry_on(self) -> bool:
        """Take one turn; a database that is busy, full or gone for a moment only delays it."""
        try:
            if not self._recovered:
                self._recover()
            return self._turn()
        except (OperationalError, InterfaceError) as error:
            log.warning("lane of %s: %s", self._server.alias, error)
        connection.close_if_unusable_or_obsolete()
        self._watcher.forget()
        self._recovered = False  # a claim may have failed half-way
        self._lease.lost.wait(self._pace.breath)
        return not stop_requested()

    def _recover(self) -> None:
        followed = {run.token for run in self._runs}
        self._runs += adopt_all(self._lease, self._server.alias, self._settler, followed=followed)
        self._greet()
        self._recovered = True

    def _release_if_ours(self) -> None:
        try:
            with self._lease.fenced():
                self._lease.release()
        except (LeaseLost, Error) as error:
            log.warning("lease of %s: %s", self._server.alias, type(error).__name__)

    def _greet(self) -> None:
        """Look at the backend before the first claim: is it up, has it ids, what lies around?"""
        probe = self._backend.probe()
        self._task_ids = probe.has_task_ids
        if probe.health == Health.HEALTHY:
            self._leftovers = self._backend.leftovers()
        with self._lease.fenced():
            standing.note_companion(self._lease.server_id, probe)
            aside = Server.objects.filter(pk=self._lease.server_id, health=Health.ASIDE).exists()
            if not aside:
                standing.set_health(self._lease.server_id, probe.health, probe.text)
        if probe.health == Health.HEALTHY:
            refresh(self._server, self._backend)
        self._watcher.forget()

    # --- one turn ---------------------------------------------------------------------------

    def _turn(self) -> bool:
        """Do what is to be done now; return False when the lane has ended."""
        self._await_something()
        if self._lease.lost.is_set():
            raise LeaseLost
        if self._told_to_stop():
            self._leave_at_once()
            return False
        glance = self._watcher.look()
        if glance is None:
            raise LeaseLost  # the server was deleted
        self._notice_cancels(glance)
        self._follow(glance)
        if self._may_claim(glance) and self._start_next(glance):
            return True
        return bool(self._runs) or not self._end_if_idle(glance)

    def _notice_sleep(self) -> None:
        """Begin to wait anew after a suspend: what passed meanwhile is nobody's fault.

        Somebody may have taken the server; the fence of each write tells, and here at once.
        """
        jump = self._wakefulness.look()
        if jump is None:
            return
        log.warning("lane of %s: %s", self._server.alias, jump.words)
        if not self._lease.renew():
            raise LeaseLost
        for run in self._runs:
            run.woke()
        self._idle_since = time.monotonic()
        self._choose_at = 0.0
        self._watcher.forget()

    def _await_something(self) -> None:
        """Wait for an answer, at most until the next look is due."""
        if self._runs:
            calm = len(self._runs) > 1 or any(run.orphan for run in self._runs)
            wait = self._pace.poll_calm if calm else self._pace.poll
        else:
            wait = self._pace.doze
        try:
            run = self._finished.get(timeout=wait)
        except queue.Empty:
            self._notice_sleep()
            return
        self._notice_sleep()
        try:
            self._settle(run)
        except (OperationalError, InterfaceError):
            self._finished.put(run)  # its answer is settled again in a later turn
            raise

    def _told_to_stop(self) -> bool:
        now = time.monotonic()
        if now - self._stop_looked_at >= self._pace.stop_check:
            self._stop_looked_at = now
            self._stopping = stop_requested()
            self._draining = self._draining or drain_requested()
        return self._stopping

    def _leave_at_once(self) -> None:
        """Leave the attempts open for the next lane, which adopts them (design §2, quick stop)."""
        with self._lease.fenced():
            self._lease.release()

    # --- what runs --------------------------------------------------------------------------

    def _notice_cancels(self, glance: Glance) -> None:
        """Find out which runs were cancelled, when the row says that something changed."""
        if self._seen_seq == glance.wake_seq:
            return
        self._seen_seq = glance.wake_seq
        self._choose_at = 0.0
        for run in self._runs:
            if not run.closed:
                run.closed = Attempt.objects.filter(
                    token=run.token, ended_at__isnull=False
                ).exists()

    def _follow(self, glance: Glance) -> None:
        now = time.monotonic()
        for run in self._runs:
            run.cancel_if_unwanted(self._backend, self._pace)
        orphans = [run for run in self._runs if run.orphan]
        if orphans and now - self._orphans_at >= self._pace.look:
            self._orphans_at = now
            for run in orphans:
                self._look_for(run)
        head = next((run for run in self._runs if not run.orphan), None)
        if head is None or now - self._polled_at < self._pace.poll * 0.9:
            return
        self._polled_at = now
        self._poll(head, glance)

    @about_run
    def _poll(self, run: Run, glance: Glance) -> None:
        preview = self._reporter.wants_preview(glance.watched_until) and not run.closed
        task_ids = self._asks_by_token(run)
        progress = self._backend.progress(run.token, preview=preview, task_ids=task_ids)
        if progress is not None:
            run.moved(progress)
        if run.closed:
            self._stop_cancelled(run, glance)
        elif run.progress.active:
            self._reporter.report(run, glance.watched_until)
        self._notice_sleep()
        # An upscale does not move at all, and its upscaler may be loaded or even fetched first.
        expected = run.expected_seconds if run.uses_model else None
        patience = stall_seconds(expected, longest=self._pace.stall, floor=self._pace.stall_floor)
        if time.monotonic() - run.last_moved >= patience and not run.stalled:
            run.stalled = True
            self._reporter.stalled(run)
            run.abandon()
            run.become_orphan(
                LostAnswer(
                    "The picture stopped moving on the server.",
                    code="stalled",
                    hint="Look at the server's console; restart it if it hangs.",
                )
            )

    def _asks_by_token(self, run: Run) -> bool:
        """Tell whether the backend can be asked for this run by its token."""
        return self._task_ids and self._backend.knows_by_token(run.job.kind)

    def _stop_cancelled(self, run: Run, glance: Glance) -> None:
        """Interrupt a cancelled run, if it is surely the one that would be hit (rule 15)."""
        if (
            run.interrupted_by_us
            or run.cancelled_there is not False  # exactly, or it will be in a moment
            or glance.interrupt != Interrupt.CAREFUL
            or not self._asks_by_token(run)
            or len(self._runs) != 1
            or not self._backend.alone(run.token, self._leftovers)
        ):
            return
        if not self._lease.renew():
            raise LeaseLost
        run.interrupted_by_us = True
        self._backend.interrupt()

    @about_run
    def _look_for(self, run: Run) -> None:
        presence = self._backend.presence(run.token, task_ids=self._asks_by_token(run))
        if presence is Presence.RESUMABLE and self._claimer.resume(run):
            return
        if run.is_gone(presence, self._pace):
            self._settler.gone(run)
            self._drop(run)
            self._backend.forget(run.token)
            self._greet()

    @about_run
    def _settle(self, run: Run) -> None:
        """Act on the answer of a run, whatever it is."""
        result, ended = run.result, time.monotonic()
        taken, following = False, None
        if run not in self._runs or (run.orphan and not isinstance(result, Answer)):
            return  # given up before; an answer that came all the same is worth storing
        if isinstance(result, LostAnswer):
            run.become_orphan(result)
            return
        # Also of a cancelled run: what its error says of the server holds for the next one.
        if isinstance(result, BackendError):
            self._settler.error(run, result)
        elif isinstance(result, NeverReached):
            waking = self._wakefulness.woke_within(self._pace.waking)
            self._settler.never_reached(run, result, waking=waking)
        elif run.closed:
            self._settler.clear(run)
        elif isinstance(result, Answer):
            taken, following = self._take_answer(run, result)
        # Only now: a database that fails above leaves the run where its answer is tried again.
        self._drop(run)
        self._watcher.forget()
        self._choose_at = 0.0
        if following is not None:  # before all else: the GPU waits
            self._go_on(following, run)
        self._backend.forget(run.token)
        if taken and isinstance(result, Answer):
            learn(self._lease, run, result, ended)

    def _take_answer(self, run: Run, answer: Answer) -> tuple[bool, Attempt | None]:
        """Store the pictures; return whether they were taken, and the next round's attempt."""
        if run.is_half_baked(answer, self._backend, alone=len(self._runs) == 1):
            self._settler.interrupted(run)
            return False, None
        return self._settler.answer(run, answer, self._after_round())

    def _after_round(self) -> Callable[[Job], store.Next] | None:
        """Return what decides whether a job goes on with its next round at once; None: it waits."""
        if len(self._runs) > 1:  # what was handed over goes first
            return lambda _: lambda _: GIVES_WAY
        glance = self._watcher.look()
        if (
            glance is None
            or not self._may_begin(glance)
            or glance.address != self._address
            or glance.poisoned_by
            # Others may want the GPU at each picture's end: the next one is begun as any other.
            or glance.yield_below_mb is not None
        ):
            return None
        return self._claimer.next_round

    def _go_on(self, attempt: Attempt, before: Run) -> None:
        """Send the next round of the job whose round has just been stored."""
        run = self._claimer.send(attempt, before)
        if run is not None:
            self._runs.append(run)
            self._polled_at = time.monotonic()

    def _drop(self, run: Run) -> None:
        self._runs.remove(run)
        self._reporter.finished(run)
        self._idle_since = time.monotonic()
        following = next((r for r in self._runs if not r.orphan), None)
        if following is not None and following.active_since is None:
            following.handed_over = False
            following.active_since = following.last_moved = time.monotonic()

    # --- what comes next --------------------------------------------------------------------

    def _may_begin(self, glance: Glance) -> bool:
        """Tell whether this lane and its server begin anything new."""
        if self._draining or time.monotonic() >= self._ends_at:
            return False
        return glance.enabled and not glance.paused and glance.health == Health.HEALTHY

    def _may_claim(self, glance: Glance) -> bool:
        if time.monotonic() < self._choose_at or not self._may_begin(glance):
            return False
        if self._runs and glance.address != self._address:
            return False  # what runs at the old address is followed there first
        if any(run.orphan or run.interrupted_by_us for run in self._runs):
            return False
        if glance.poisoned_by:
            return not self._runs  # no hand-over to a server that may be broken (rule 19)
        if not self._runs:
            return True
        if glance.yield_below_mb is not None:
            return False  # at each picture's end it is somebody else's turn, if they want it
        return len(self._runs) == 1 and self._runs[0].near_its_end(self._pace)

    def _start_next(self, glance: Glance) -> bool:
        if not self._runs and glance.address != self._address:
            self._connect_anew()
        if glance.yields_since is not None and self._gives_way(glance):
            return False
        loaded = self._runs[-1].checkpoint if self._runs else ""
        candidate = self._claimer.next_candidate(
            loaded=loaded, behind=self._runs[-1] if self._runs else None
        )
        if candidate is None:
            # Asked again when something changes, or when a time may have come.
            self._choose_at = time.monotonic() + self._pace.recheck
            return False
        if glance.yields_since is None and self._gives_way(glance):
            return False
        if glance.poisoned_by and not self._heal(glance, candidate.checkpoint):
            return False
        behind = self._runs[-1] if self._runs else None
        run = self._claimer.start(candidate, self._address, behind)
        self._watcher.forget()
        if run is None:
            return False
        run.handed_over = behind is not None
        self._runs.append(run)
        self._polled_at = time.monotonic()
        return True

    def _gives_way(self, glance: Glance) -> bool:
        """Look whether others need the GPU now (only where the server's owner wants that)."""
        if glance.yield_below_mb is None:
            return False
        reason = yielding.reason_to_yield(
            glance.yield_below_mb, self._backend.memory(), self._backend.foreign_work()
        )
        with self._lease.fenced():
            yielding.note(self._lease.server_id, reason)
        self._watcher.forget()
        if reason:
            self._choose_at = time.monotonic() + self._pace.yield_look
        return bool(reason)

    def _heal(self, glance: Glance, preferred: str) -> bool:
        """Mend a poisoned server by a tiny job with another checkpoint, or set it aside."""
        inventory = self._claimer.inventory(self._server)
        bad = {glance.poisoned_by, glance.loaded_checkpoint}
        names = [known.name for known in inventory.checkpoints] if inventory else []
        good = [name for name in names if name not in bad]
        good.sort(key=lambda name: name != preferred)
        if not self._lease.renew():
            raise LeaseLost
        healed = next((name for name in good[:3] if self._backend.heal(name)), "")
        with self._lease.fenced():
            if healed:
                standing.note_success(self._lease.server_id, healed)
            else:
                standing.set_health(
                    self._lease.server_id,
                    Health.ASIDE,
                    "A failed model load broke it. Restart the server.",
                )
                Server.objects.filter(pk=self._lease.server_id).update(poisoned_by="")
        self._watcher.forget()
        return bool(healed)

    def _connect_anew(self) -> None:
        self._backend.close()
        self._server = Server.objects.get(pk=self._lease.server_id)
        self._address = self._server.address
        self._backend = dispatcher_for(self._server)
        self._greet()

    # --- the end ----------------------------------------------------------------------------

    def _end_if_idle(self, glance: Glance) -> bool:
        """Release the lease if nothing keeps the lane; return whether it was released.

        "Nothing to do" is looked at again in the releasing transaction: a job submitted in
        between has seen the lease and sent no kick (rule 21).
        """
        now = time.monotonic()
        over = self._draining or now >= self._ends_at
        able = glance.enabled and not glance.paused and glance.health == Health.HEALTHY
        lingers = able and now - self._idle_since < self._pace.linger
        kept_out = self._kept_out() if lingers and not over else []
        if not over and lingers and not kept_out:
            return False
        with self._lease.fenced():
            if over:
                self._lease.release()
                if not self._draining:
                    wake.kick(self._lease.server_id)
                return True
            if Attempt.objects.uncleared(self._server.alias).exists():
                self._recovered = False
                return False
            if self._claimer.next_candidate() is not None:
                self._watcher.forget()
                self._choose_at = 0.0
                return False
            self._lease.release()
            for server in kept_out:
                wake.kick(server.pk)
        return True

    def _kept_out(self) -> list[Server]:
        """Return the servers that this idle lane keeps from working (design §2)."""
        now = time.monotonic()
        if now < self._yield_at:
            return []
        self._yield_at = now + self._pace.recheck
        if live_count() < settings.LANES:
            return []
        waiting = Server.objects.filter(enabled=True, paused=False, lane_token__isnull=True)
        return [server for server in waiting if self._has_work(server)]

    @staticmethod
    def _has_work(server: Server) -> bool:
        return server.is_healthy and bool(candidates_for(server, ""))
