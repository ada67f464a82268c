"""What became of a job, in words: the one source for its page and for the API. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import zip_longest
from typing import Any

from jobs.choices import FINAL, Outcome, Status
from jobs.models import Attempt, Event, Job
from jobs.moments import exact
from jobs.stalling import quiet_words

__all__ = ["Origin", "Step", "attempt_in_words", "event_in_words", "timeline"]

# Shorter than this nobody waited for anything: not worth a line.
_MOMENT = 1.0

_OUTCOME_TONES = {
    Outcome.COMPLETED: "good",
    Outcome.ROUND: "good",
    Outcome.CANCELLED: "",
    Outcome.INTERRUPTED: "warn",
}

# Where an error's class says more than its code: what kind of trouble it is, for everybody.
_CLASSES = {
    "permanent": "The job itself is to blame: another try would end the same way.",
    "transient": "A passing trouble: another try may help.",
    "elsewhere": "This server can't do it; another one may.",
    "oom": "Too little memory.",
    "out_of_memory": "Too little memory.",
    "poisoned": "The server was broken by an earlier model load; this job is not to blame.",
    "stalled": "It showed no progress for too long.",
    "ours": "MobileSD's own machine is to blame, not the server and not the job.",
}


@dataclass(frozen=True)
class Origin:
    """Who submitted a job, and from where; empty texts are not known."""

    owner: str = ""
    key: str = ""
    source: str = ""
    address: str = ""


@dataclass(frozen=True)
class Step:
    """One thing that happened. `after`: seconds since the step before; `tone`: good, bad, warn."""

    at: datetime
    text: str
    detail: str = ""
    hint: str = ""
    code: str = ""
    tone: str = ""
    attempt: int | None = None
    after: float | None = None
    said: str = ""  # an error's own message, so that it is not told twice

    @property
    def waited(self) -> float | None:
        """Return the seconds since the step before, if they are worth telling."""
        return self.after if self.after is not None and self.after >= _MOMENT else None


def timeline(
    job: Job, attempts: Sequence[Attempt], events: Sequence[Event], origin: Origin
) -> list[Step]:
    """Return all that happened, in its order, with the time that passed between."""
    known = {str(attempt.token): attempt for attempt in attempts}
    steps = [_submitted(job, origin)]
    steps += _of_attempts(job, attempts, _waited_after(events))
    steps += _of_events(job, events, known, pictures=_pictures(events))
    steps.sort(key=lambda step: step.at)  # stable: what happened at once stays in this order
    before: datetime | None = None
    told: list[Step] = []
    for step in steps:
        if told and step.detail and step.detail == told[-1].said:
            step = replace(step, detail="", hint="", code="")
        after = (step.at - before).total_seconds() if before else None
        told.append(replace(step, after=after))
        before = step.at
    return told


# --- The beginning ------------------------------------------------------------------------------


def _submitted(job: Job, origin: Origin) -> Step:
    who = f" by {origin.owner}" if origin.owner else ""
    key = f" with the key {origin.key}" if origin.key else ""
    source = f" through {origin.source}" if origin.source else ""
    address = f" from {origin.address}" if origin.address else ""
    return Step(
        job.created_at,
        f"Submitted{who}{key}{source}{address}.",
        " ".join(_conditions(job)),
    )


def _conditions(job: Job) -> Iterator[str]:
    if job.target_server_alias:
        yield f"For the server {job.target_server_alias} only."
    if job.not_before is not None:
        yield f"Not before {_when(job.not_before)}."
    if job.deadline is not None:
        yield f"To be begun before {_when(job.deadline)}."


# --- Attempts -----------------------------------------------------------------------------------


def _waited_after(events: Sequence[Event]) -> set[str]:
    """Return the attempts after which the job went back into the queue."""
    return {
        str(event.payload.get("attempt"))
        for event in events
        if event.kind == "job.status" and event.payload.get("status") == Status.PENDING
    }


def _of_attempts(job: Job, attempts: Sequence[Attempt], waited: set[str]) -> Iterator[Step]:
    """Yield what the attempts did; rounds that followed each other at once are told as one run."""
    made, goes_on = 0, False
    for attempt, following in zip_longest(attempts, attempts[1:]):
        if not goes_on:
            yield from _begins(attempt)
        goes_on = False
        if attempt.outcome == Outcome.ROUND and attempt.ended_at is not None:
            made += attempt.images or 0
            goes_on = following is not None and str(attempt.token) not in waited
            if goes_on and following.ended_at is not None:
                continue
            words = f"{made} of {job.images_wanted} pictures are made."
            yield Step(attempt.ended_at, words, tone="good", attempt=attempt.number)
        else:
            yield from _ends(attempt)


def _begins(attempt: Attempt) -> Iterator[Step]:
    number, server = attempt.number, attempt.server_alias
    expected = ""
    if attempt.expected_seconds is not None:
        expected = f"Expected to take {_span(attempt.expected_seconds)}."
    yield Step(attempt.created_at, f"Attempt {number}: {server} took it.", expected, attempt=number)
    for measure in attempt.measures:
        yield Step(attempt.created_at, f"Done differently: {measure}", tone="warn", attempt=number)
    if attempt.submitted_at is not None:
        yield Step(attempt.submitted_at, f"Sent to {server}.", attempt=number)
    if attempt.began_at is not None:
        yield _began(attempt, attempt.began_at)
    if attempt.first_step_at is not None:
        yield _first_step(attempt, attempt.first_step_at)


def _ends(attempt: Attempt) -> Iterator[Step]:
    if attempt.ended_at is not None and attempt.outcome != Outcome.CANCELLED:
        yield _ended(attempt, attempt.ended_at)
    rid = _rid_of_it_at(attempt)
    if rid is not None:
        yield Step(rid, f"{attempt.server_alias} is rid of it.", attempt=attempt.number)


def _began(attempt: Attempt, at: datetime) -> Step:
    waited = (at - attempt.submitted_at).total_seconds() if attempt.submitted_at else 0.0
    behind = f"Its turn came {_span(waited)} after it was sent." if waited > 2 * _MOMENT else ""
    return Step(at, f"{attempt.server_alias} began.", behind, attempt=attempt.number)


def _first_step(attempt: Attempt, at: datetime) -> Step:
    since = attempt.began_at or attempt.submitted_at
    took = (at - since).total_seconds() if since else 0.0
    loading = f"Loading the model and preparing took {_span(took)}." if took >= _MOMENT else ""
    return Step(at, "The first step is done.", loading, attempt=attempt.number)


def _ended(attempt: Attempt, at: datetime) -> Step:
    outcome = Outcome(attempt.outcome)
    kind = _CLASSES.get(attempt.error_class, "")
    return Step(
        at,
        f"Attempt {attempt.number}: {outcome.label}.",
        " ".join(part for part in (attempt.error_message, kind) if part),
        attempt.error_hint,
        attempt.error_code,
        _OUTCOME_TONES.get(outcome, "bad"),
        attempt.number,
        said=attempt.error_message,
    )


def _rid_of_it_at(attempt: Attempt) -> datetime | None:
    """Return when the backend was rid of an attempt that had ended for us before."""
    if attempt.cleared_at is None or attempt.ended_at is None or attempt.submitted_at is None:
        return None
    later = (attempt.cleared_at - attempt.ended_at).total_seconds()
    return attempt.cleared_at if later >= _MOMENT else None


def attempt_in_words(attempt: Attempt) -> str:
    """Return what came of an attempt, as a sentence."""
    if attempt.outcome:
        text = Outcome(attempt.outcome).label
        left = " The server may still be at it." if attempt.cleared_at is None else ""
        return f"{text}.{left}"
    return "Running." if attempt.submitted_at else "About to be sent."


# --- Events -------------------------------------------------------------------------------------


def _pictures(events: Sequence[Event]) -> int:
    return sum(event.kind == "image.created" for event in events)


def _of_events(
    job: Job, events: Sequence[Event], attempts: Mapping[str, Attempt], *, pictures: int
) -> Iterator[Step]:
    ended = False  # so far: who queues it again then is a person
    for event in events:
        payload = event.payload
        status = payload.get("status") if event.kind == "job.status" else None
        attempt_told = status == Status.PROCESSING and payload.get("attempt") in attempts
        if event.kind not in ("job.created", "image.created") and not attempt_told:
            yield _of_event(job, event, again=ended, pictures=pictures)
        if status:
            ended = status in FINAL


def _of_event(job: Job, event: Event, *, again: bool, pictures: int) -> Step:
    payload = event.payload
    status = payload.get("status") if event.kind == "job.status" else ""
    error: Mapping[str, Any] = payload.get("error") or {}
    text = event_in_words(event)
    detail = ""
    if status == Status.PENDING:
        by = f" by {payload['by']}" if payload.get("by") else ""
        text = f"Queued again{by}." if again else payload.get("text") or "Back in the queue."
        if not again and job.retry_at is not None and job.retry_at > event.at:
            detail = f"Tried again at {_when(job.retry_at)}."
    elif status == Status.COMPLETED and pictures:
        text = f"{text} {pictures} picture{'s' if pictures != 1 else ''} stored."
    elif status == Status.FAILED:
        text, detail = "Failed.", str(error.get("message", ""))
    tones: dict[str, str] = {
        Status.COMPLETED: "good",
        Status.FAILED: "bad",
        Status.CANCELLED: "warn",
    }
    return Step(
        event.at,
        text,
        detail,
        str(error.get("hint", "")) if status == Status.FAILED else "",
        str(error.get("code", "")) if status == Status.FAILED else "",
        "warn" if event.kind == "job.stalled" else tones.get(str(status), ""),
    )


def event_in_words(event: Event) -> str:
    """Return what happened, as a sentence."""
    payload: dict[str, Any] = event.payload
    by = f" by {payload['by']}" if payload.get("by") else ""
    if event.kind == "job.status":
        return _status_in_words(payload, by)
    if event.kind == "job.stalled":
        quiet = quiet_words(payload.get("seconds", 0))
        return f"Stalled on {payload.get('server_alias')}: no sign of progress for {quiet}."
    if event.kind == "job.changed":
        return f"Changed{by}: {', '.join(payload.get('fields', []))}."
    plain = {
        "job.created": f"Submitted{by}.",
        "job.deleted": f"Deleted{by}.",
        "image.created": "A picture is stored.",
    }
    return plain.get(event.kind, event.kind)


def _status_in_words(payload: dict[str, Any], by: str) -> str:
    status, server = payload.get("status", ""), payload.get("server_alias")
    error = payload.get("error") or {}
    why = f" {error['message']}" if error.get("message") else ""
    if status == Status.PROCESSING:
        return f"Started on {server}." if server else "Started."
    if status == Status.PENDING:
        why = why or (f" {payload['text']}" if payload.get("text") else "")
        return f"Back in the queue{by}.{why}"
    if status == Status.COMPLETED:
        return f"Completed on {server}." if server else "Completed."
    return f"{status.capitalize()}{by}.{why}"


# --- Times --------------------------------------------------------------------------------------


def _when(moment: datetime) -> str:
    return exact(moment, seconds=True)


def _span(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"
