"""`GET /api/v2/events`: the live events for programs, as server-sent events (design §9)."""

import asyncio
import logging
from typing import get_args
from uuid import UUID

from django.db import DatabaseError
from django.http import HttpResponse
from rest_framework.request import Request

from apikeys.actors import Actor
from apikeys.rights import Credential
from jobs import events, services
from jobs.live.replay import Interest
from jobs.live.rounds import rounds
from jobs.live.subscription import Ended, Since, Subscription
from mobilesd.errors import Unavailable, bad_field
from mobilesd.http.holding import Held, can_hold, hold
from mobilesd.http.views import AnyAccept, ApiView

__all__ = ["MAX_STREAMS", "MAX_STREAMS_EACH", "EventsV2"]

logger = logging.getLogger(__name__)

MAX_STREAMS = 2000  # sockets count as well; a stream is about 25 kB
# Of one owner, with all keys and pages: else one leaked key could take the places of everybody.
MAX_STREAMS_EACH = 600
HEARTBEAT_SECONDS = 15.0  # shorter than the patience of proxies, which is a minute or half of one
RETRY_MILLISECONDS = 2000
HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would keep events back until it has some kB of them
}
KINDS = frozenset((*get_args(events.DurableKind), *get_args(events.LiveKind)))


class EventsV2(ApiView):
    """Follow what happens, as server-sent events.

    First `hello`, then what was missed after `after` or `Last-Event-ID`, then events as they
    happen. After `reset` there is no way to catch up: read again what you show. `job` and `types`
    narrow it down.
    """

    required_scopes = {"GET": "jobs:read"}
    content_negotiation_class = AnyAccept  # a stream whatever Accept says; errors are JSON

    def get(self, request: Request) -> HttpResponse:
        actor = Actor.of_request(request)
        credential, since = Credential.of_request(request), _since(request)
        interest = Interest(_kinds(request), _job(request, actor))
        if request.method == "HEAD":
            return HttpResponse(headers=HEADERS)
        own = rounds.count_of(actor)
        if own >= MAX_STREAMS_EACH or len(rounds) >= MAX_STREAMS or not can_hold(request):
            raise Unavailable(
                "Too many programs and pages follow the events already.",
                error="server_busy",
                retry_after=10,
            )

        async def follow(held: Held) -> None:
            await _follow(held, Subscription(actor, credential, since, interest))

        hold(request, follow)
        return HttpResponse(headers=HEADERS)


def _since(request: Request) -> Since:
    """Return what the client knows; a browser that comes back names it in `Last-Event-ID`."""
    mark = request.headers.get("Last-Event-ID", "")
    if mark:
        return Since.of_mark(mark) if ":" in mark else Since.of_texts(mark, None)
    query = request.query_params
    since = Since.of_texts(query.get("after"), query.get("epoch"))
    if not since.known:
        raise bad_field("after", "must be the id of an event.", "Leave it out to begin now.")
    return since


def _kinds(request: Request) -> frozenset[str]:
    asked = frozenset(
        kind for text in request.query_params.getlist("types") for kind in text.split(",") if kind
    )
    if unknown := asked - KINDS:
        raise bad_field(
            "types",
            f"must name kinds of events, not {min(unknown)[:60]!r}.",
            f"There are: {', '.join(sorted(KINDS))}.",
        )
    return asked


def _job(request: Request, actor: Actor) -> UUID | None:
    text = request.query_params.get("job")
    if text is None:
        return None
    try:
        job_id = UUID(text)
    except ValueError:
        raise bad_field("job", "must be the id of a job.") from None
    return services.find(job_id, actor).pk


async def _follow(held: Held, subscription: Subscription) -> None:
    """Send until the client is gone or may not listen any more."""
    await held.begin(200, HEADERS)
    sending = asyncio.current_task()
    assert sending is not None
    left = asyncio.create_task(held.left())
    left.add_done_callback(lambda done: done.cancelled() or sending.cancel())
    try:
        await _send(held, subscription)
        await held.end()
    except asyncio.CancelledError:
        if not left.done():  # the server stops
            raise
    except DatabaseError:
        # Without an end the client would wait for ever; so it comes again, and misses nothing.
        logger.exception("an event stream ends: the database can't be read")
        await held.end()
    finally:
        left.cancel()


async def _send(held: Held, subscription: Subscription) -> None:
    try:
        async with subscription:
            await held.write(f"retry: {RETRY_MILLISECONDS}\n\n".encode())
            while True:
                message = await subscription.next(HEARTBEAT_SECONDS)
                await held.write(message.as_sse(subscription.epoch) if message else b":\n\n")
    except Ended:
        return
