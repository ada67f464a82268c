"""`wait=` of a job's status: the answer comes when the job has changed, but no later than asked.

The relay's events of the job wake one look at it for all who wait for it, and no thread or
database connection is held meanwhile.
"""

import asyncio
import contextlib
import logging
import re
from collections import Counter
from collections.abc import Mapping
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from django.http import HttpResponse

from apikeys.actors import Actor
from apikeys.endings import NO_ANSWER, note_at_end
from jobs.api.serializers import emit_job
from jobs.live.messages import Message
from jobs.live.relay import job_group, relay
from jobs.models import Job
from mobilesd.errors import CATALOGUE, NotFound, Problem, Unavailable, bad_field
from mobilesd.http.codec import JSONRenderer
from mobilesd.http.conditional import asks_for_changes, etag_of
from mobilesd.http.files import VOLATILE
from mobilesd.http.holding import Held, can_hold, hold
from mobilesd.http.problems import envelope, to_problem

__all__ = [
    "MAX_WAITERS",
    "MAX_WAITERS_EACH",
    "etag_of_job",
    "v2_body",
    "wait_for_change",
    "wait_seconds",
]

logger = logging.getLogger(__name__)

MAX_SECONDS = 30
MAX_WAITERS = 1000
MAX_WAITERS_EACH = 300  # of one owner: else one leaked key could take the places of everybody
PROGRESS_SECONDS = 1.0  # a running job's progress is stored no more often
JOIN_SECONDS = 5.0
GONE = "gone"
ANYTHING = ""  # the ETag of no job

_SECONDS = re.compile(r"\d{1,2}(\.\d{1,3})?")
# These run with the clock: a job whose estimate is 0.1 s nearer has not changed.
_CLOCKWORK = ("estimated_time_remaining", "estimated_start_time")
_renderer = JSONRenderer()


def etag_of_job(emitted: dict[str, Any]) -> str:
    """Return the ETag of a job as emitted."""
    return etag_of({name: value for name, value in emitted.items() if name not in _CLOCKWORK})


def v2_body(emitted: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of v2 with this job."""
    return {"success": True, "job": emitted}


def wait_seconds(request: Any) -> float:
    """Return how long the client wants to wait at most; raise InvalidInput."""
    text = request.query_params.get("wait", "0")
    if not (text.isascii() and _SECONDS.fullmatch(text) and float(text) <= MAX_SECONDS):
        raise bad_field("wait", f"must be a number of seconds from 0 to {MAX_SECONDS}.")
    return float(text) if can_hold(request) and request.method == "GET" else 0.0


@dataclass(frozen=True)
class _Seen:
    """A job as it was at one moment; without a body it was gone."""

    etag: str
    body: bytes = b""


@dataclass(eq=False)
class _Waiter:
    """Somebody who has the job as of `etag`, and wants another one."""

    etag: str
    answer: "asyncio.Future[_Seen]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def tell(self, outcome: _Seen | Exception) -> None:
        """Answer, unless its client has gone meanwhile."""
        if self.answer.done():
            return
        if isinstance(outcome, Exception):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


def _look_at(job_id: UUID) -> _Seen:
    job = Job.objects.listed().filter(pk=job_id).first()
    if job is None:
        return _Seen(GONE)
    emitted = emit_job(job)
    return _Seen(etag_of_job(emitted), _renderer.render(v2_body(emitted)))


class _Watch:
    """Looks at one job for all who wait for it; a listener of the relay."""

    def __init__(self, job_id: UUID) -> None:
        self.waiters: set[_Waiter] = set()
        self._job_id = job_id
        self._look = asyncio.Event()
        self._soon: asyncio.TimerHandle | None = None
        self._looked_at = 0.0
        self._task = asyncio.create_task(self._go())

    def take(self, message: Message) -> None:
        """Take an event of the job; progress comes more often than it is stored."""
        if message.position is not None:
            self.look()
        elif self._soon is None:
            loop = asyncio.get_running_loop()
            self._soon = loop.call_at(self._looked_at + PROGRESS_SECONDS, self.look)

    def look(self) -> None:
        """Look at the job now, for all who wait by then."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self._look.set()

    def stop(self) -> None:
        relay.leave(self)
        self._task.cancel()
        if self._soon is not None:
            self._soon.cancel()

    async def _go(self) -> None:
        # A relay that can't read its database must not keep an answer back for ever.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(JOIN_SECONDS):
                await relay.join(self, [job_group(self._job_id.hex)])
        while True:
            await self._look.wait()
            self._look.clear()
            self._looked_at = asyncio.get_running_loop().time()
            # Who comes while it is looking has asked for another look: this one may be older than
            # what they have.
            asked = list(self.waiters)
            try:
                seen = await database_sync_to_async(_look_at)(self._job_id)
            except Exception as error:
                for waiter in asked:
                    waiter.tell(error)
            else:
                for waiter in asked:
                    if waiter.etag != seen.etag:
                        waiter.tell(seen)


class _Watches:
    """The jobs that somebody waits for, in this process."""

    def __init__(self) -> None:
        self.waiters = 0
        self.waiters_of: Counter[str] = Counter()  # by Actor.scope
        self._by_job: dict[UUID, _Watch] = {}

    async def see(self, job_id: UUID, etag: str, seconds: float, who: str) -> _Seen:
        """Return the job as soon as it is not that of `etag`, else as it is after these seconds."""
        watch = self._by_job.get(job_id)
        if watch is None:
            watch = self._by_job[job_id] = _Watch(job_id)
        waiter = _Waiter(etag)
        watch.waiters.add(waiter)
        self.waiters += 1
        self.waiters_of[who] += 1
        try:
            watch.look()  # it may have changed since the view looked
            await asyncio.wait({waiter.answer}, timeout=seconds)
            if not waiter.answer.done():
                waiter.etag = ANYTHING
                watch.look()
            return await waiter.answer
        finally:
            self.waiters -= 1
            self.waiters_of -= Counter([who])  # forgets who has none left
            watch.waiters.discard(waiter)
            if not watch.waiters:
                watch.stop()
                del self._by_job[job_id]


_watches = _Watches()


def wait_for_change(request: Any, job_id: UUID, *, etag: str, seconds: float) -> HttpResponse:
    """Leave the answer open until the job is not that of `etag`, for these seconds at most.

    Then it is 304 for a client that has it already, else 200. Raises Unavailable.
    """
    who = Actor.of_request(request).scope
    if _watches.waiters_of[who] >= MAX_WAITERS_EACH or _watches.waiters >= MAX_WAITERS:
        raise Unavailable("Too many programs wait for jobs.", error="server_busy", retry_after=5)
    has_it = asks_for_changes(request)
    context = copy_context()  # knows the id of the request, which an error names
    ending = note_at_end(request)

    async def answer(held: Held) -> None:
        told = _Told(NO_ANSWER)
        left = asyncio.create_task(held.left())
        seeing = asyncio.create_task(_watches.see(job_id, etag, seconds, who))
        try:
            await asyncio.wait({left, seeing}, return_when=asyncio.FIRST_COMPLETED)
            if seeing.done():
                told = await _answer(held, seeing, etag if has_it else ANYTHING, context)
        finally:
            left.cancel()
            seeing.cancel()
            ending.note(told.status, told.bytes, told.error)
            await asyncio.gather(left, seeing, return_exceptions=True)

    hold(request, answer)
    return HttpResponse()


@dataclass(frozen=True)
class _Told:
    """What was answered, for the access log."""

    status: int
    bytes: int = 0
    error: str = ""


async def _answer(held: Held, seeing: "asyncio.Task[_Seen]", known: str, context: Context) -> _Told:
    try:
        seen = seeing.result()
        if seen.etag == GONE:
            raise NotFound("The job was deleted meanwhile.", error="job_not_found")
    except Exception as error:
        problem = to_problem(error)
        if problem is None:
            logger.exception("fault while somebody waited for a job")
            problem = Problem(CATALOGUE["internal_error"].meaning, error="internal_error")
        body = context.run(_error_body, problem)
        await _send(held, problem.status, {}, body)
        return _Told(problem.status, len(body), problem.error)
    headers = {"ETag": seen.etag, "Cache-Control": VOLATILE}
    if seen.etag == known:
        await held.begin(304, {**headers, "Content-Type": None})
        await held.end()
        return _Told(304)
    await _send(held, 200, headers, seen.body)
    return _Told(200, len(seen.body))


def _error_body(problem: Problem) -> bytes:
    return _renderer.render(envelope(problem))


async def _send(held: Held, status: int, headers: Mapping[str, str], body: bytes) -> None:
    length = str(len(body))
    await held.begin(
        status, {**headers, "Content-Type": "application/json", "Content-Length": length}
    )
    await held.end(body)
