"""What an answer, an error or a loss leads to (design §5 and §6, protocol §3).

Positive results are fenced by the attempt's token, negative ones by the lease (rule 11).
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from django.utils import timezone

from dispatch import standing
from dispatch.candidates import able_elsewhere
from dispatch.dispatchers.base import Answer, BackendError, ErrorClass, LostAnswer, NeverReached
from dispatch.lanes import memory, store
from dispatch.lanes.policy import RULES, Then, backoff_seconds
from dispatch.lanes.run import Run
from dispatch.lease import Lease
from dispatch.models import Server
from jobs import transitions
from jobs.choices import Outcome
from jobs.models import Attempt, Job
from jobs.transitions import Trouble

__all__ = ["Settler"]

log = logging.getLogger(__name__)

# As many attempts that ended this way one after another, and the job is to blame (design §5).
IN_A_ROW = 5
# After a suspend the network needs a while.
_WAKING_SECONDS = 5

_TOO_OFTEN = {
    Outcome.LOST: Trouble(
        "crashes_us",
        "MobileSD ended five times in a row while it worked on this job.",
        "Look at the log of MobileSD for what the job does to it.",
    ),
    Outcome.BACKEND_DIED: Trouble(
        "backend_dies",
        "The server died or dropped the connection five times in a row on this job.",
        "Try a smaller picture, and look at the server's console.",
    ),
    Outcome.INTERRUPTED: Trouble(
        "interrupted_often",
        "Somebody interrupted this job on the server five times in a row.",
        "Ask who else uses the server, then retry the job.",
    ),
}


def _trouble(error: BackendError) -> Trouble:
    return Trouble(error.code, error.message, error.hint, error.error_class)


def _lost_trouble(lost: LostAnswer) -> Trouble:
    stalled = lost.code == Outcome.STALLED
    error_class = ErrorClass.STALLED if stalled else ErrorClass.TRANSIENT
    return Trouble(lost.code, lost.message, lost.hint, error_class)


class Settler:
    """Writes the ends of one lane's attempts."""

    def __init__(self, lease: Lease, alias: str) -> None:
        self._lease = lease
        self._alias = alias

    def answer(
        self, run: Run, answer: Answer, look: Callable[[Job], store.Next] | None = None
    ) -> tuple[bool, Attempt | None]:
        """Store the pictures; return whether they were taken, and the next round's attempt.

        After a round that is not the last, `look` looks at the queue and decides whether its job
        goes on, in the transaction that gives the job back to it; without, the job waits.
        """
        try:
            stored = store.write_files(answer, run.attempt.images)
            if answer.rejected is not None:
                self._reject(run, stored, answer.rejected)
                return False, None
            after_round = store.AfterRound(self._lease.fenced, look) if look else None
            kept = store.complete(run.token, stored, after_round)
        except BackendError as error:
            self.error(run, error)
            return False, None
        except OSError as error:
            self._not_stored(run, error)
            return False, None
        if kept is None:
            self.clear(run)
            return False, None
        return True, kept[1]

    def _not_stored(self, run: Run, error: OSError) -> None:
        """Try again later: our own disk is full or broken, and the server is not to blame."""
        trouble = Trouble(
            "storage_failed",
            f"The picture could not be saved: {error.strerror or type(error).__name__}.",
            "Make room on MobileSD's disk, and check that its data folder can be written to.",
            ErrorClass.OURS,
        )
        log.error("attempt %s: %s", run.token, error)
        with self._lease.fenced():
            attempt = transitions.end_attempt(
                run.token, outcome=Outcome.ERROR, lane=self._lease.token, trouble=trouble
            )
            if attempt is None:
                transitions.clear(run.token)
            else:
                self._again(attempt, trouble)

    def _reject(self, run: Run, stored: store.StoredAnswer, error: BackendError) -> None:
        with self._lease.fenced():
            attempt = transitions.end_attempt(
                run.token, outcome=Outcome.REJECTED, lane=self._lease.token, trouble=_trouble(error)
            )
            if attempt is None:
                transitions.clear(run.token)
                return
            store.keep_rejected(attempt, stored)
            self._elsewhere(attempt, error)

    def interrupted(self, run: Run) -> None:
        """Make the picture again: somebody else's click ended it half-baked."""
        self._back_uncounted(run, Outcome.INTERRUPTED, "Somebody interrupted it on the server.")

    def error(self, run: Run, error: BackendError) -> None:
        """Act on an error that the backend answered, by its class."""
        with self._lease.fenced():
            attempt = transitions.end_attempt(
                run.token, outcome=Outcome.ERROR, lane=self._lease.token, trouble=_trouble(error)
            )
            if error.poisons:
                Server.objects.filter(pk=self._lease.server_id, poisoned_by="").update(
                    poisoned_by=run.checkpoint or run.job.checkpoint or "?"
                )
            if attempt is None:
                transitions.clear(run.token)
            else:
                self._act(attempt, error)

    def _act(self, attempt: Attempt, error: BackendError) -> None:
        rule = RULES[error.error_class]
        if rule.then is Then.FAIL:
            transitions.fail(attempt, _trouble(error))
        elif rule.then is Then.AT_ONCE:
            transitions.requeue(attempt, trouble=_trouble(error), counted=rule.counts)
        elif rule.then is Then.ELSEWHERE:
            self._elsewhere(attempt, error)
        elif rule.then is Then.LADDER:
            self._with_less_memory(attempt, error)
        else:
            self._again(attempt, _trouble(error))
        if rule.blames_server:
            standing.note_failure(self._lease.server_id)

    def never_reached(self, run: Run, error: NeverReached, *, waking: bool = False) -> None:
        """Queue the job again, uncounted: the request surely did not get there.

        `waking`: this machine slept until a moment ago, and its network may not be back yet; the
        server is not to blame.
        """
        with self._lease.fenced():
            attempt = transitions.end_attempt(
                run.token,
                outcome=Outcome.NEVER_REACHED,
                lane=self._lease.token,
                trouble=Trouble(
                    Outcome.NEVER_REACHED.value,
                    error.message,
                    "The job waits until the server answers again, or goes to another one.",
                ),
            )
            if attempt is None:
                transitions.clear(run.token)
            else:
                transitions.requeue(attempt, retry_at=_soon() if waking else None)
            if not waking:
                standing.set_health(self._lease.server_id, error.health, error.message)

    def unsent(self, attempt: Attempt) -> None:
        """Queue the job of an attempt that was never sent; its owner is gone (rule 8)."""
        with self._lease.fenced():
            ended = transitions.end_attempt(attempt.token, outcome=Outcome.LOST)
            if ended is not None:
                self._back(ended, Outcome.LOST)

    def gone(self, run: Run) -> None:
        """Close an attempt that the backend is surely rid of, without its answer."""
        if run.closed:
            self.clear(run)
            return
        lost = run.lost
        if lost is not None and lost.code:
            self._gone_with_trouble(run, _lost_trouble(lost))
        elif run.handed_over:
            # Whatever ended the server or us, it was not this one, and it takes no blame for it:
            # else the job behind one that kills would fail with it.
            self._back_uncounted(
                run, Outcome.NEVER_REACHED, "The connection broke before its turn came."
            )
        elif run.slept:
            self._back_uncounted(run, Outcome.LOST, "It broke off while this machine slept.")
        elif run.adopted:
            self._back_uncounted(run, Outcome.LOST, "Its answer was lost when MobileSD ended.")
        else:
            text = lost.message if lost else "The connection to the server broke."
            self._back_uncounted(run, Outcome.BACKEND_DIED, text)

    def _gone_with_trouble(self, run: Run, trouble: Trouble) -> None:
        outcome = Outcome.STALLED if trouble.code == "stalled" else Outcome.ERROR
        with self._lease.fenced():
            attempt = transitions.end_attempt(
                run.token, outcome=outcome, lane=self._lease.token, trouble=trouble
            )
            if attempt is None:
                transitions.clear(run.token)
                return
            self._again(attempt, trouble)
            standing.note_failure(self._lease.server_id)

    def clear(self, run: Run) -> None:
        """Note that the backend is rid of an attempt that ended before (cancelled)."""
        with self._lease.fenced():
            transitions.clear(run.token)

    def _back_uncounted(self, run: Run, outcome: Outcome, text: str) -> None:
        with self._lease.fenced():
            attempt = transitions.end_attempt(
                run.token,
                outcome=outcome,
                lane=self._lease.token,
                trouble=Trouble(outcome.value, text, "The job is made again."),
            )
            if attempt is None:
                transitions.clear(run.token)
                return
            self._back(attempt, outcome)
            if outcome == Outcome.BACKEND_DIED:
                standing.note_failure(self._lease.server_id)

    @staticmethod
    def _back(attempt: Attempt, outcome: Outcome) -> None:
        last = Attempt.objects.all().last_outcomes(attempt.job_id, IN_A_ROW)
        if len(last) == IN_A_ROW and set(last) == {outcome.value}:
            transitions.fail(attempt, _TOO_OFTEN[outcome], counted=False)
        else:
            transitions.requeue(attempt)

    def _elsewhere(self, attempt: Attempt, error: BackendError) -> None:
        job = attempt.job
        if not job.target_server_alias and able_elsewhere(job, [self._alias]):
            transitions.requeue(
                attempt, trouble=_trouble(error), counted=True, avoid_server=self._alias
            )
        else:
            transitions.fail(attempt, _trouble(error))

    def _with_less_memory(self, attempt: Attempt, error: BackendError) -> None:
        """Take the next step down the ladder, or the job to a bigger server, or fail it."""
        job = attempt.job
        step = memory.next_step(job, self._alias)
        if step is not None:
            transitions.requeue(attempt, trouble=_trouble(error), memory_step=step[0])
            return
        smaller = memory.not_bigger(job, self._alias)
        if smaller is not None:
            transitions.requeue(attempt, trouble=_trouble(error), avoid_server=smaller)
            return
        tried = " It was tried with less memory before." if job.memory_step else ""
        transitions.fail(attempt, replace(_trouble(error), message=f"{error.message}{tried}"))

    @staticmethod
    def _again(attempt: Attempt, trouble: Trouble) -> None:
        made = attempt.job.attempts_made + 1
        if made >= attempt.job.max_attempts:
            transitions.fail(attempt, trouble)
        else:
            transitions.requeue(attempt, trouble=trouble, retry_at=_retry_at(made), counted=True)


def _retry_at(made: int) -> datetime:
    """Return when to try again: 5 s, 20 s, 80 s …, spread so that not all come back at once."""
    return timezone.now() + timedelta(seconds=backoff_seconds(made))


def _soon() -> datetime:
    return timezone.now() + timedelta(seconds=_WAKING_SECONDS)
