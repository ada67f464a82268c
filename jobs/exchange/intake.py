"""Taking jobs in that were ordered elsewhere: all of them, or none.

A job keeps its id, so that the same file a second time, or a job that comes back home, is known.
Where that id is somebody else's, the job gets another one that follows from both: as known the
next time.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from apikeys.actors import Actor
from jobs import events, inputs, journal, transitions, wording
from jobs.checksums import JOB, of_row
from jobs.choices import Status
from jobs.exchange.bindings import Bound, check_no_circle, referred
from jobs.models import Batch, Job, JobDependency, OnFailure, hold_queue
from jobs.models.job import position_now
from jobs.params import normalise
from jobs.ports import ports
from jobs.readiness import note_blocked
from jobs.services.bulk import POSITION_STEP
from jobs.services.checks import check_open, check_rest, checked_app_type
from jobs.services.orders import Order
from jobs.services.submit import new_job
from jobs.usage import check_quota
from mobilesd.errors import Conflict, InvalidInput
from mobilesd.rows import Rows
from mobilesd.sqlite import write_turn

__all__ = ["Incoming", "Intake", "Past", "Taken", "other_id"]

_SPACE = UUID("5b3f2c1e-6d8e-4f66-9a55-9d5a0c4f7c11")  # of ids that follow from others
_MANY = 500  # ids in one statement
MAX_WARNINGS = 200


def other_id(*parts: object) -> UUID:
    """Return the id that always follows from these."""
    return uuid.uuid5(_SPACE, "\n".join(map(str, parts)))


@dataclass(frozen=True)
class Past:
    """How a job ended that is taken in as history."""

    status: str
    created_at: datetime
    finished_at: datetime | None = None
    server_alias: str = ""
    error_message: str = ""


@dataclass(frozen=True)
class Incoming:
    """One job of a file; `where` names its place there, for sentences about it."""

    where: str
    origin: UUID
    order: Order
    depends_on: Sequence[tuple[UUID, str]] = ()
    batch: UUID | None = None
    held: bool = False
    past: Past | None = None


@dataclass
class Taken:
    """What became of a file: new jobs in order, ids that were here, and what to know."""

    made: list[Job] = field(default_factory=list)
    already_here: list[UUID] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def warn(self, sentence: str) -> None:
        """Keep a warning, up to a number that a person still reads."""
        if len(self.warnings) < MAX_WARNINGS and sentence not in self.warnings:
            self.warnings.append(sentence)


class Intake:
    """Takes in one file for an actor; whoever calls `take` gets all of it or an error.

    `lenient`: a job that can't be taken is left out and named in `refused`.
    """

    def __init__(self, actor: Actor, *, lenient: bool = False) -> None:
        self._actor = actor
        self._lenient = lenient
        self._known: inputs.Known | None = None
        self._files: dict[str, inputs.TakenFile] = {}
        self._depends: list[tuple[Job, Mapping[UUID, str]]] = []
        self._of_batch: dict[UUID, list[Job]] = {}
        self._ids: dict[UUID, UUID] = {}  # of the file -> here
        self._making: dict[UUID, Job] = {}  # of the file -> the new job
        self._later: dict[UUID, Incoming] = {}  # they start from pictures of others
        self._number: dict[UUID, int] = {}  # of the file -> its place there
        self.taken = Taken()

    def take(
        self,
        incoming: Iterable[Incoming],
        batches: Mapping[UUID, Batch] | None = None,
        *,
        dry_run: bool = False,
    ) -> Taken:
        """Check all jobs, then insert them in one transaction at the end of the queue.

        `batches` are unsaved rows by the id that the file gives them. Raises InvalidInput that
        names the job, Conflict (the same file by two at once), Problem (app type, quota),
        Unavailable (closed, disk full).
        """
        check_open()
        for some in _parts(incoming):
            self._prepare(some)
        self._prepare_later()
        self._check_circles()
        if dry_run or not self.taken.made:
            return self.taken
        jobs = self.taken.made
        new_batches = self._choose_batches(batches or {})
        for job in jobs:
            job.checksum = of_row(job, JOB)
        rows = Rows(jobs)
        try:
            with write_turn(), transaction.atomic():
                check_quota(self._actor, sum(job.status == Status.PENDING for job in jobs))
                hold_queue()
                Batch.objects.bulk_create(new_batches)
                for batch in new_batches:
                    journal.batch(batch)
                self._insert(rows)
        except IntegrityError:
            raise Conflict(
                "Some of these jobs were taken in by somebody else at the same moment.",
                hint="Import the file again: what is here already is left out.",
            ) from None
        return self.taken

    # --- Before the transaction -----------------------------------------------------------

    def _prepare(self, some: Sequence[Incoming]) -> None:
        free, here = self._places(some)
        for one in some:
            if one.origin in self._ids:
                raise InvalidInput(
                    f"{one.where} has the id of another job in the file.",
                    fields={f"{one.where}.id": ["is there twice."]},
                )
            self._number[one.origin] = len(self._number)
            if one.origin in here:
                self._ids[one.origin] = here[one.origin]
                self.taken.already_here.append(one.origin)
                continue
            self._ids[one.origin] = free[one.origin]
            if referred(one.order.generation_params):
                self._later[one.origin] = one
            else:
                self._prepare_one(one)

    def _prepare_later(self) -> None:
        """Go through the jobs that start from others' pictures: those others come first."""
        while self._later:
            ready = [
                one
                for one in self._later.values()
                if not referred(one.order.generation_params) & self._later.keys()
            ]
            for one in ready or self._later.values():
                if not ready:
                    check_no_circle(
                        {
                            origin: list(referred(later.order.generation_params))
                            for origin, later in self._later.items()
                        },
                        lambda origin: self._later[origin].where,
                    )
                self._prepare_one(one)
                del self._later[one.origin]
        # Prepared out of turn, but in the queue where the file has them.
        origin_of = {job.pk: origin for origin, job in self._making.items()}
        self.taken.made.sort(key=lambda job: self._number[origin_of[job.pk]])

    def _prepare_one(self, one: Incoming) -> None:
        try:
            job = self._job(one, self._ids[one.origin])
        except InvalidInput as problem:
            if not self._lenient:
                raise _at(one.where, problem) from None
            self.taken.refused.append(f"{one.where} can't be taken: {problem.message}")
            return
        self.taken.made.append(job)
        self._making[one.origin] = job
        implied = referred(one.order.generation_params) & self._making.keys()
        needs = dict.fromkeys(implied, str(OnFailure.CANCEL)) | dict(one.depends_on)
        if needs:
            self._depends.append((job, needs))
        if one.batch is not None:
            self._of_batch.setdefault(one.batch, []).append(job)
            job.held = one.held

    def _check_circles(self) -> None:
        here = {job.pk: [self._ids.get(p, p) for p in needs] for job, needs in self._depends}
        check_no_circle(here)

    def _places(self, some: Sequence[Incoming]) -> tuple[dict[UUID, UUID], dict[UUID, UUID]]:
        """Return the ids that are to be made, and those that are here, by those of the file."""
        mine = {one.origin: other_id(one.origin, self._actor.scope) for one in some}
        rows = Job.objects.filter(pk__in=[*mine, *mine.values()])
        found = {row.pk: row for row in rows.only("pk", "owner_id", "api_key_id")}
        free, here = {}, {}
        for origin, other in mine.items():
            row = found.get(origin)
            if row is not None and self._actor.may_see(row.owner_id, row.api_key_id):
                here[origin] = origin
            elif other in found:
                here[origin] = other
            else:
                free[origin] = origin if row is None else other
        return free, here

    def _job(self, one: Incoming, job_id: UUID) -> Job:
        order = self._reachable(one)
        app_type = checked_app_type(order, self._actor)
        if one.past is None:
            check_rest(order)
        wanted = self._with_own_ids(order.generation_params)
        normalised = normalise(wanted, app_type=app_type)
        bound = Bound(normalised.params, self._making)
        given = bound.rest()
        taken = inputs.take(given, self._actor, known=self._known)
        if taken.files:
            self._known = inputs.Known(given, taken.params)
        # The bytes are on the disk: thousands of pictures must not stay in memory until then.
        store = inputs.input_store()
        for file in taken.files:
            self._files[file.sha256] = replace(file, content=partial(store.read, file.sha256))
        lacking: Sequence[str] = ()
        if one.past is None:
            alias = order.target_server_alias
            lacking = ports.servers.submission_warnings(given, app_type, alias)
        warnings = [*order.warnings, *normalised.warnings, *lacking]
        for sentence in order.warnings:
            self.taken.warn(f"{one.where}: {sentence}")
        params = bound.joined(taken.params)
        job = new_job(order, self._actor, app_type, normalised, params, warnings)
        job.pk = job_id
        if one.past is not None:
            _remember(job, one.past)
        return job

    def _with_own_ids(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Name the jobs that were here already by the ids that they have here."""
        here = {str(o): str(self._ids[o]) for o in referred(params) & self._ids.keys()}
        here = {o: own for o, own in here.items() if UUID(o) not in self._making and o != own}
        if not here:
            return params

        def own(value: Any) -> Any:
            known = isinstance(value, Mapping) and here.get(str(value.get("job")).lower())
            return {**value, "job": known} if known else value

        found = {**params}
        if isinstance(found.get("init_images"), list):
            found["init_images"] = [own(value) for value in found["init_images"]]
        if "mask" in found:
            found["mask"] = own(found["mask"])
        return found

    def _reachable(self, one: Incoming) -> Order:
        """Return the order, for any server if this installation does not have the one it names."""
        order = one.order
        alias = order.target_server_alias
        if not alias:
            return order
        app_type = ports.servers.app_type_of(alias)
        if app_type is not None and order.app_type in ("", app_type):
            return order
        if one.past is not None:
            return replace(order, target_server_alias="")
        sentence = f"There is no such server here as {alias[:64]!r}: any server may take the job."
        return replace(order, target_server_alias="", warnings=(*order.warnings, sentence))

    def _choose_batches(self, batches: Mapping[UUID, Batch]) -> list[Batch]:
        """Give the jobs their batches, and return those that are to be inserted."""
        new = []
        for origin, jobs in self._of_batch.items():
            batch, is_new = self._batch(origin, batches.get(origin) or Batch())
            if is_new:
                batch.total, batch.created_at = len(jobs), timezone.now()
                new.append(batch)
            for job in jobs:
                job.batch = batch
                job.held = job.held and batch.nodded_at is None
        return new

    def _batch(self, origin: UUID, wanted: Batch) -> tuple[Batch, bool]:
        for batch_id in (origin, other_id(origin, self._actor.scope)):
            there = Batch.objects.filter(pk=batch_id).first()
            if there is None:
                break
            if self._actor.may_see(there.owner_id, there.api_key_id):
                return there, False
        wanted.pk = batch_id
        wanted.owner_id, wanted.api_key_id = self._actor.user_id, self._actor.key_prefix
        return wanted, True

    # --- Inside the transaction -----------------------------------------------------------

    def _insert(self, rows: Rows) -> None:
        jobs = self.taken.made
        now, position = timezone.now(), position_now()
        # What waits stands behind all that is committed, one after the other.
        rows.set("position", range(position, position + len(jobs) * POSITION_STEP, POSITION_STEP))
        moments = [now + timedelta(microseconds=number) for number in range(len(jobs))]
        waits = [job.status == Status.PENDING for job in jobs]
        own = [job.created_at for job in jobs]
        made = [moments[n] if waits[n] else own[n] for n in range(len(jobs))]
        rows.set("created_at", made)
        rows.insert()
        self._save_dependencies()
        if self._files:
            inputs.attach_all(jobs, self._files.values())
        events.emit_for_jobs(
            "job.created",
            [(job, events.JobCreated(job=str(job.pk), status=job.status)) for job in jobs],
        )
        wording.add(jobs)
        waiting = [job for job in jobs if job.status == Status.PENDING]
        transitions.announce_all(waiting)

    def _save_dependencies(self) -> None:
        wanted = {self._ids.get(p, p) for _, parents in self._depends for p in parents}
        there: set[UUID] = set()
        for some in _parts(wanted):
            visible = Job.objects.visible_to(self._actor).filter(pk__in=some)
            there |= set(visible.values_list("pk", flat=True))
        found = []
        for job, parents in self._depends:
            for parent, on_failure in parents.items():
                own = self._ids.get(parent, parent)
                if own in there and own != job.pk:
                    found.append(JobDependency(job=job, parent_id=own, on_failure=on_failure))
                else:
                    self.taken.warn(f"{job.pk} waited for the job {parent}, which is not here.")
        JobDependency.objects.bulk_create(found, batch_size=250)
        note_blocked(list({row.job_id for row in found}))
        journal.needs(found)


def _remember(job: Job, past: Past) -> None:
    job.status = past.status
    job.created_at = job.started_at = past.created_at
    job.finished_at = past.finished_at or past.created_at
    job.server_alias = past.server_alias
    if past.status == Status.FAILED:
        job.error_code = "imported"
        job.error_message = past.error_message or "It failed where it was imported from."


def _at(where: str, problem: InvalidInput) -> InvalidInput:
    return InvalidInput(
        f"{where} can't be taken: {problem.message}",
        error=problem.error,
        fields={f"{where}.{name}": texts for name, texts in problem.fields.items()},
        hint=f"{problem.hint} Nothing of the file was taken.".strip(),
        extra={"where": where},
    )


def _parts(items: Iterable[Any]) -> Iterable[list[Any]]:
    some: list[Any] = []
    for item in items:
        some.append(item)
        if len(some) == _MANY:
            yield some
            some = []
    if some:
        yield some
