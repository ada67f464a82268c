"""When a job is to run, as forms have it: its priority and lane, times, and what it waits for."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from django.http import QueryDict
from django.utils import timezone as here

from apikeys.actors import Actor
from dispatch.start_form import read_id
from jobs.api.orders import read_needs
from jobs.choices import LaneClass, Status
from jobs.models import Job, OnFailure
from jobs.services import Need
from mobilesd.errors import bad_field

__all__ = [
    "LANES",
    "MOMENTS",
    "ON_FAILURE",
    "WHEN",
    "ShownNeed",
    "When",
    "needs_shown",
    "read_when",
]

MOMENTS = ("not_before", "deadline")
WHEN = ("priority", "lane", *MOMENTS)
LANES = {
    LaneClass.INTERACTIVE: "Interactive, when it is its turn",
    LaneClass.BACKGROUND: "Background, gives way to interactive jobs",
}
ON_FAILURE = {
    OnFailure.CANCEL: "If it fails, this fails too",
    OnFailure.RUN: "If it fails, run all the same",
}
_STATES = {
    Status.PENDING: "waiting",
    Status.PROCESSING: "running",
    Status.COMPLETED: "done",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
}


@dataclass(frozen=True)
class ShownNeed:
    """A job to wait for, as a row of the form."""

    job: str
    label: str
    state: str
    on_failure: str = OnFailure.CANCEL


class When:
    """What was typed; `fields` has it as fields of an order."""

    def __init__(self, post: QueryDict) -> None:
        self._post = post
        self.values = {name: post.get(name, "").strip() for name in WHEN}
        jobs, ways = post.getlist("need_job"), post.getlist("need_on_failure")
        self.needs = list(zip(jobs, ways, strict=False))

    @classmethod
    def of_job(cls, job: Job) -> "When":
        """Return the priority and lane of a job; its times and what it waited for are over."""
        post = QueryDict(mutable=True)
        post.update({"priority": str(job.priority), "lane": job.lane_class})
        return cls(post)

    @property
    def is_used(self) -> bool:
        """Tell whether anything was typed that a new form does not say."""
        plain = {"priority": "5", "lane": LaneClass.INTERACTIVE}
        typed = (text and text != plain.get(name) for name, text in self.values.items())
        return any(typed) or bool(self.needs)

    def fields(self) -> dict[str, Any]:
        """Return the fields that are not empty; raise InvalidInput that names the wrong one."""
        given = {name: read_when(self._post, name) for name, text in self.values.items() if text}
        return {**given, "depends_on": self.depends_on()} if self.needs else given

    def depends_on(self) -> tuple[Need, ...]:
        """Return what is waited for; raise InvalidInput."""
        return read_needs([{"job": job, "on_failure": way} for job, way in self.needs])


def read_when(post: QueryDict, name: str) -> Any:
    """Return one field of WHEN as an order has it; raise InvalidInput."""
    text = post.get(name, "").strip()
    if name == "priority":
        return _priority(text)
    return _moment(post, name) if name in MOMENTS else text


def _priority(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and len(text) < 4):
        raise bad_field("priority", "must be a number from 1 to 10.")
    return int(text)


def _moment(post: QueryDict, name: str) -> datetime | None:
    """Read a time of the wall; the page's script says how far that wall's zone is off UTC."""
    text = post.get(name, "").strip()
    if not text:
        return None
    try:
        typed = datetime.fromisoformat(text)
        offset = post.get(f"offset_{name}", "")
        # As browsers count: minutes to add to the local time to get UTC.
        zone = timezone(-timedelta(minutes=int(offset))) if offset else None
        typed = typed.replace(tzinfo=zone or here.get_current_timezone())
        return typed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise bad_field(name, "must be a date and a time.", "Leave it empty for none.") from None


def needs_shown(needs: Iterable[tuple[str, str]], actor: Actor) -> list[ShownNeed]:
    """Return the rows of these jobs and what is to happen when they fail, in their order."""
    wanted = [(read_id({"id": text}, "id"), way) for text, way in needs]
    ids = [job_id for job_id, _ in wanted if job_id is not None]
    found = {row.pk: row for row in Job.objects.visible_to(actor).listed().filter(pk__in=ids)}
    return [_shown(str(job_id), found.get(job_id), way) for job_id, way in wanted if job_id]


def _shown(job_id: str, job: Job | None, way: str) -> ShownNeed:
    if job is None:
        return ShownNeed(job_id, "A job that is not there any more", "", way)
    return ShownNeed(job_id, job.prompt or "No prompt", _STATES[Status(job.status)], way)
