"""One attempt at the backend, as its lane sees it."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import wraps
from typing import Any
from uuid import UUID

from django.utils import timezone

from dispatch.dispatchers.base import (
    Answer,
    BackendError,
    Dispatcher,
    LostAnswer,
    NeverReached,
    Presence,
    Progress,
    Request,
)
from dispatch.lanes.pace import Pace
from dispatch.work_units import work_units
from jobs.models import Attempt, Job
from mobilesd.logs import bind

__all__ = ["Result", "Run", "about_run"]

log = logging.getLogger(__name__)

Result = Answer | BackendError | NeverReached | LostAnswer

# So often an answer that is kept there may turn out to be unreadable.
_READS = 2


class Run:
    """An attempt in flight, or one that a lane must see gone ("orphan", protocol rule 17).

    `closed`: the attempt has ended in the database already (cancelled); what is left is to see
    it gone at the backend and note that.
    """

    def __init__(self, attempt: Attempt, *, orphan: bool = False, adopted: bool = False) -> None:
        self.attempt = attempt
        self.orphan = orphan
        self.adopted = adopted
        self.closed = attempt.ended_at is not None
        self.lost: LostAnswer | None = None
        self.stalled = False
        self.tainted = False
        self.slept = False  # this machine stood still while it was under way
        self.interrupted_by_us = False
        self.cancelled_there: bool | None = None  # by its token; False: it can't be
        self._cancel_at = 0.0
        self.unreadable = False  # nobody could read its answer, however often it is fetched
        self._misread = 0  # how often that was tried in vain
        self.handed_over = False  # and its turn has not come, as far as anybody knows
        self.result: Result | None = None
        self.since = time.monotonic()
        # What an earlier lane saw stays: the row tells the first moments.
        self.active_since = _ago(attempt.began_at) if adopted else None
        self.sampling_since = _ago(attempt.first_step_at) if adopted else None
        self.last_moved = self.since
        self.progress = Progress()
        self.checkpoint = ""
        self.uses_model = True
        self.expected_seconds: float | None = None
        self.later_seconds: float | None = None  # expected of the job's later rounds
        self.loads_model = False
        self._gone_since: float | None = None
        self._known_until = self.since
        self._dispatcher: Dispatcher | None = None

    @property
    def token(self) -> UUID:
        return self.attempt.token

    @property
    def job(self) -> Job:
        return self.attempt.job

    @property
    def images(self) -> int:
        """Return how many pictures it makes: all that the job lacks, or those of a round."""
        whole = int(self.job.images_wanted) - int(self.job.images_made)
        return whole if self.attempt.images is None else int(self.attempt.images)

    @property
    def later_images(self) -> int:
        """Return how many pictures later rounds of its job will make."""
        return int(self.job.images_wanted) - int(self.job.images_made) - self.images

    @property
    def is_unwanted(self) -> bool:
        """Tell whether nobody would take its answer any more."""
        return self.closed or self.stalled or self.unreadable

    @property
    def units(self) -> float:
        """Return the size of what it makes, in steps on a megapixel."""
        whole = work_units(self.job.generation_params, self.job.kind)
        return whole * self.images / int(self.job.images_wanted)

    @property
    def upscaler(self) -> str:
        """Return by what an upscale is made, which decides how long it takes."""
        return str(self.job.generation_params.get("upscaler", ""))

    def about(self) -> AbstractContextManager[None]:
        """Name this run in all lines that are logged inside, those of the backend calls as well."""
        return bind(
            request_id=self.job.request_id,
            job=self.attempt.job_id,
            attempt=self.token,
            server=self.attempt.server_alias,
        )

    def send(
        self, dispatcher: Dispatcher, request: Request, finished: "queue.SimpleQueue[Run]"
    ) -> None:
        """Send the request from a thread of its own; the run comes back through `finished`."""
        self._await(dispatcher, lambda: dispatcher.run(request, self.token), finished)

    def resume(
        self, dispatcher: Dispatcher, request: Request, finished: "queue.SimpleQueue[Run]"
    ) -> None:
        """Wait for the answer of what was sent before, as `send` does; it is no orphan any more."""
        self.orphan, self.lost, self.result = False, None, None
        self._await(dispatcher, lambda: dispatcher.resume(request, self.token), finished)

    def _await(
        self,
        dispatcher: Dispatcher,
        answer: Callable[[], Answer],
        finished: "queue.SimpleQueue[Run]",
    ) -> None:
        self._dispatcher = dispatcher
        self.since = self.last_moved = self._known_until = time.monotonic()

        def work() -> None:
            try:
                with self.about():
                    self.result = answer()
            except (BackendError, NeverReached, LostAnswer) as error:
                self.result = error
            except Exception:
                # Whatever broke in our own code, the request may be with the backend.
                log.exception("attempt %s", self.token)
                self.result = LostAnswer("Reading the answer failed.", code="internal_error")
            finished.put(self)

        threading.Thread(target=work, name=f"run-{self.token}", daemon=True).start()

    def abandon(self) -> None:
        """Stop waiting for the answer; the backend goes on with the work."""
        if self._dispatcher is not None:
            self._dispatcher.close()

    def cancel_if_unwanted(self, backend: Dispatcher, pace: Pace) -> None:
        """End what nobody wants, running or waiting, where the backend can do that exactly.

        The lease needs no look: it is over, whoever owns the server.
        """
        now = time.monotonic()
        if self.is_unwanted and not self.cancelled_there and now >= self._cancel_at:
            self._cancel_at = now + pace.look
            self.cancelled_there = backend.cancel(self.token)

    def become_orphan(self, lost: LostAnswer) -> None:
        """Wait until the backend is rid of it, since its answer can't come any more (rule 9).

        An answer that came and can't be read may be fetched once more, where it is kept: else one
        that is bad for good would be fetched for ever, and the server would do nothing else.
        """
        self.orphan = True
        self.lost = lost
        self._misread += bool(lost.code)
        self.unreadable = self.unreadable or self._misread >= _READS
        self.since = self._known_until = time.monotonic()
        self._gone_since = None

    def woke(self) -> None:
        """Begin all waiting anew: the time that passed while this machine slept counts nothing."""
        self.slept = True
        self.last_moved = self.since = self._known_until = time.monotonic()
        self._gone_since = None

    def moved(self, progress: Progress) -> None:
        """Note what the backend said of this run."""
        now = time.monotonic()
        before = self.progress
        if progress.active:
            self.handed_over = False
            self.active_since = self.active_since or now
        if progress.sampling and progress.active and self.sampling_since is None:
            self.sampling_since = now
        if progress.waiting or (progress.fraction, progress.text) != (before.fraction, before.text):
            self.last_moved = now  # one that waits behind others can't move
        if progress.active and progress.interrupted and not self.interrupted_by_us:
            self.tainted = True
        self.progress = progress

    def is_half_baked(self, answer: Answer, backend: Dispatcher, *, alone: bool) -> bool:
        """Tell whether somebody else's click ended this run early (protocol §2, best effort).

        `alone`: no other run of ours can be the one that `backend` still speaks of.
        """
        # An interrupted run answers 200 and fewer pictures (contracts/forge.md, "Interrupt").
        short = len(answer.pictures) < self.images
        if answer.interrupted is not None:
            self.tainted = answer.interrupted or short
        elif not self.interrupted_by_us and (short or (alone and backend.was_interrupted())):
            self.tainted = True
        return self.tainted

    def is_gone(self, presence: Presence, pace: Pace) -> bool:
        """Tell whether the backend is surely rid of it, after one more look.

        Gone is: two looks apart both say so, a former lane had its grace, or the backend gave no
        answer for longer than anybody would wait.
        """
        now = time.monotonic()
        if presence is Presence.GONE:
            self._known_until = now
            if self._gone_since is None:
                self._gone_since = now
            wait = max(pace.gone_gap, pace.grace if self.adopted else 0.0)
            return now - self._gone_since >= wait
        self._gone_since = None
        if presence in (Presence.HERE, Presence.RESUMABLE):
            self._known_until = now
            # "Upscale 1.0" of a failed call never looks idle: a limit even here (rule 18).
            return now - self.since >= pace.patience * 6
        return now - self._known_until >= pace.patience

    def phases(self) -> dict[str, datetime]:
        """Return what its row should say of when the backend began and made the first step."""
        moments = {"began_at": self.active_since, "first_step_at": self.sampling_since}
        now, clock = timezone.now(), time.monotonic()
        return {
            name: now - timedelta(seconds=clock - moment)
            for name, moment in moments.items()
            if moment is not None
        }

    def remaining(self) -> float | None:
        """Return the expected seconds to the end: the backend's own figure, else the learned."""
        if self.progress.eta is not None:
            return self.progress.eta
        if self.expected_seconds is not None and self.active_since is not None:
            return max(0.0, self.expected_seconds - (time.monotonic() - self.active_since))
        return None

    def done_of_job(self) -> float:
        """Return how far the job is, 0 to 1, with the rounds before this one."""
        made = int(self.job.images_made) + self.progress.fraction * self.images
        return min(made / int(self.job.images_wanted), 1.0)

    def remaining_of_job(self) -> float | None:
        """Return the expected seconds to the end of the job, its later rounds with it."""
        left = self.remaining()
        if left is None or not self.later_images:
            return left
        if self.later_seconds is not None:
            return left + self.later_seconds
        done = self.progress.fraction
        return left + left / (1 - done) * self.later_images / self.images if done < 1 else None

    def in_words(self) -> str:
        """Return what the backend says of it, and of a round which pictures these are."""
        text = self.progress.text
        if self.attempt.images is None:
            return text
        first, last = int(self.job.images_made) + 1, int(self.job.images_made) + self.images
        which = f"Picture {first}" if first == last else f"Pictures {first} to {last}"
        return f"{which} of {self.job.images_wanted}" + (f" · {text}" if text else "")

    def near_its_end(self, pace: Pace) -> bool:
        """Tell whether the next job may be handed over (rules 19 and 20)."""
        if self.orphan or self.closed or self.tainted or self.result is not None:
            return False
        if not self.progress.active or not self.progress.sampling or self.sampling_since is None:
            return False
        left = self.remaining()
        if left is None:
            return time.monotonic() - self.sampling_since >= pace.blind_lead
        return left <= pace.prefetch_lead


def _ago(moment: datetime | None) -> float | None:
    """Return a moment of the past on the monotonic clock."""
    if moment is None:
        return None
    return time.monotonic() - (timezone.now() - moment).total_seconds()


def about_run(method: Callable[..., None]) -> Callable[..., None]:
    """Let a lane's method, whose first argument is a run, log about that run."""

    @wraps(method)
    def named(self: Any, run: Run, *arguments: Any) -> None:
        with run.about():
            method(self, run, *arguments)

    return named
