"""What a client has missed: the rows after the last event that it knows (design §9)."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from apikeys.actors import Actor
from jobs import events
from jobs.live.messages import Message
from jobs.models import Event

__all__ = ["EVERYTHING", "Interest", "Missed", "Standing", "missed", "standing"]

MAX_ROWS = 500
MAX_SPAN = 20_000


@dataclass(frozen=True)
class Standing:
    """Where the event stream stands; a page that shows a snapshot names the id it was made at."""

    last_event_id: int
    epoch: str


@dataclass(frozen=True)
class Interest:
    """Which of the events that it may see a client wants; empty means all."""

    kinds: frozenset[str] = frozenset()
    job: UUID | None = None

    def includes(self, message: Message) -> bool:
        """Tell whether the client wants this one."""
        if self.kinds and message.kind not in self.kinds:
            return False
        return self.job is None or message.job == self.job.hex


EVERYTHING = Interest()


@dataclass(frozen=True)
class Missed:
    """The messages after an id, up to `last_event_id`; None when there is no way to catch up."""

    messages: Sequence[Message] | None
    last_event_id: int


def standing() -> Standing:
    """Return the newest event's id and the epoch; read it before what the page shows."""
    return Standing(Event.objects.last_id(), events.epoch())


def missed(actor: Actor, after: int, interest: Interest = EVERYTHING) -> Missed:
    """Return what this actor may see and wants after an id, oldest first.

    There is no way to catch up from an id that is beyond the newest, from one whose successors
    were pruned, or over more than MAX_ROWS rows: reading the snapshot again is cheaper then.
    """
    newest = Event.objects.last_id()
    if after == newest:
        return Missed([], newest)
    oldest = Event.objects.order_by("id").values_list("id", flat=True).first() or 0
    if after > newest or after < oldest - 1 or newest - after > MAX_SPAN:
        return Missed(None, newest)
    wanted = Event.objects.visible_to(actor).filter(id__gt=after, id__lte=newest)
    if interest.kinds:
        wanted = wanted.filter(kind__in=interest.kinds)
    if interest.job is not None:
        wanted = wanted.filter(job_id=interest.job)
    rows = list(
        wanted.order_by("id").values_list("id", "kind", "job_id", "payload")[: MAX_ROWS + 1]
    )
    if len(rows) > MAX_ROWS:
        return Missed(None, newest)
    return Missed(
        [
            Message.of_event(number, kind, "" if job is None else job.hex, payload)
            for number, kind, job, payload in rows
        ],
        newest,
    )
