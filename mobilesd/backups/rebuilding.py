"""Completing a database that is too old: from the journal, and from the pictures on disk."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

from django.db import connection, models, transaction
from django.utils import timezone

from apikeys.models import ApiKey
from gallery.files import image_store
from gallery.metadata import png_texts
from gallery.models import Image
from gallery.pictures import inspect
from jobs import events, inputs, journal, wording
from jobs.checksums import IMAGE, of_row
from jobs.choices import FINAL, Outcome, Status
from jobs.infotext import parse
from jobs.models import Attempt, Batch, Epoch, Idempotency, Job, JobDependency, JobProgress
from jobs.readiness import note_blocked

__all__ = ["Counts", "complete"]

log = logging.getLogger(__name__)

_AT_ONCE = 200

_Thing = TypeVar("_Thing")


def _batched(things: Iterable[_Thing]) -> Iterator[list[_Thing]]:
    left = iter(things)
    while some := list(islice(left, _AT_ONCE)):
        yield some


@dataclass
class Counts:
    """What came back."""

    jobs_again: int = 0
    jobs_changed: int = 0
    pictures_again: int = 0
    pictures_without_job: int = 0
    jobs_lost: list[str] = field(default_factory=list)
    pictures_lost: int = 0
    unreadable_lines: int = 0
    to_run: int = 0


def complete(told: journal.Told) -> Counts:
    """Bring the database in use up to what the journal tells and the pictures show.

    Jobs are told apart by their id: one that is there is changed only by what is newer, and one
    with a stored picture is completed, never run again. May be run twice.
    """
    counts = Counts(unreadable_lines=told.unreadable)
    with journal.silent():
        _batches(told)
        made = _jobs(told, counts)
        _keys(told)
        _needs(told)
        _images(told, counts)
        _states(told, counts, made)
        _pictures_on_disk(counts)
        _new_life(told)
    counts.to_run = Job.objects.filter(status=Status.PENDING, deleted_at__isnull=True).count()
    return counts


# --- Rows of the journal ------------------------------------------------------------------


@lru_cache
def _columns(model: type[models.Model]) -> Mapping[str, Any]:
    return {column.attname: column for column in model._meta.concrete_fields}


def _values(model: type[models.Model], told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record's values as Python has them; columns of other versions are left out."""
    found = {}
    for name, value in told.items():
        column = _columns(model).get(name)
        if column is None or (value is None and not column.null):
            continue
        if value is None or isinstance(column, models.JSONField):
            found[name] = value
        else:
            found[name] = getattr(column, "target_field", column).to_python(value)
    return found


class _Owners:
    """Who is in this database: a row may name somebody who came after the backup."""

    def __init__(self) -> None:
        from django.contrib.auth import get_user_model

        self.users = set(get_user_model()._default_manager.values_list("pk", flat=True))
        self.keys = set(ApiKey.objects.values_list("prefix", flat=True))
        self.batches = set(Batch.objects.values_list("pk", flat=True))

    def known(self, values: dict[str, Any]) -> dict[str, Any]:
        for name, there in (
            ("owner_id", self.users),
            ("api_key_id", self.keys),
            ("batch_id", self.batches),
        ):
            if values.get(name) is not None and values[name] not in there:
                values[name] = None
        return values


def _batches(told: journal.Told) -> None:
    owners = _Owners()
    rows = [Batch(**owners.known(_values(Batch, found))) for found in told.batches.values()]
    Batch.objects.bulk_create(rows, ignore_conflicts=True, batch_size=_AT_ONCE)


def _jobs(told: journal.Told, counts: Counts) -> set[UUID]:
    """Insert the jobs that are missing; return their ids."""
    owners, made = _Owners(), set()
    there = set(Job.objects.values_list("pk", flat=True))
    missing = {
        job_id: found
        for job_id, found in told.jobs.items()
        if UUID(job_id) not in there and job_id not in told.gone and not found.get("deleted_at")
    }
    for some in _batched(missing.items()):
        rows = []
        for job_id, found in some:
            if "generation_params" not in found or "app_type" not in found:
                counts.jobs_lost.append(job_id)  # the line of its submission is unreadable
                continue
            rows.append(Job(**owners.known(_values(Job, found))))
        with transaction.atomic():
            _insert(rows)
        made |= {row.pk for row in rows}
    counts.jobs_again = len(made)
    return made


def _insert(rows: list[Job]) -> None:
    Job.objects.bulk_create(rows)
    for row in rows:
        inputs.reattach(row.pk, row.generation_params, ())
    if rows:
        wording.add(rows)
        events.emit_for_jobs(
            "job.created",
            [(row, events.JobCreated(job=str(row.pk), status=row.status)) for row in rows],
        )


def _keys(told: journal.Told) -> None:
    batches = set(Batch.objects.values_list("pk", flat=True))
    jobs = set(Job.objects.values_list("pk", flat=True))
    rows = []
    for found in told.keys:
        row = Idempotency(**{**_values(Idempotency, found), "id": None})
        row.job_id = row.job_id if row.job_id in jobs else None
        row.batch_id = row.batch_id if row.batch_id in batches else None
        rows.append(row)
    Idempotency.objects.bulk_create(rows, ignore_conflicts=True, batch_size=_AT_ONCE)


def _needs(told: journal.Told) -> None:
    jobs = set(Job.objects.values_list("pk", flat=True))
    rows = [JobDependency(**{**_values(JobDependency, n), "id": None}) for n in told.needs]
    known = [row for row in rows if row.job_id in jobs and row.parent_id in jobs]
    JobDependency.objects.bulk_create(known, ignore_conflicts=True, batch_size=_AT_ONCE)
    note_blocked(list({row.job_id for row in known}))


def _images(told: journal.Told, counts: Counts) -> None:
    there = {(str(token), index) for token, index in Image.objects.values_list("attempt", "index")}
    jobs = set(Job.objects.values_list("pk", flat=True))
    rows = []
    for place, found in told.images.items():
        if place in there:
            continue
        row = Image(**_values(Image, found))
        if not image_store().path(row.sha256).exists():
            counts.pictures_lost += 1
            continue
        row.job_id = row.job_id if row.job_id in jobs else None
        rows.append(row)
    Image.objects.bulk_create(rows, batch_size=_AT_ONCE)
    counts.pictures_again = len(rows)


# --- How jobs ended -----------------------------------------------------------------------


def _states(told: journal.Told, counts: Counts, made: set[UUID]) -> None:
    """Change the jobs that went on after the backup, and complete those that have pictures."""
    for some in _batched(told.jobs.items()):
        rows = Job.objects.in_bulk([UUID(job_id) for job_id, _ in some])
        for job_id, found in some:
            row = rows.get(UUID(job_id))
            if row is not None and row.pk not in made and row.status != Status.COMPLETED:
                counts.jobs_changed += _update(row, _values(Job, found))
    with_pictures = Image.objects.results().filter(job__isnull=False).values("job")
    for row in Job.objects.filter(pk__in=with_pictures).exclude(status=Status.COMPLETED):
        if row.pk in made or str(row.pk) in told.jobs:
            _completed(row)


def _update(row: Job, values: dict[str, Any]) -> bool:
    newer = values.get("updated_at")
    if newer is None or newer <= row.updated_at:
        return False
    for name in ("id", "owner_id", "api_key_id", "batch_id"):
        values.pop(name, None)
    if values.get("status") == Status.PENDING and row.status in FINAL:
        values["server_alias"] = ""  # it was queued again
    elif values.get("status") not in FINAL:
        values.pop("status", None)  # what runs is found again by its lane
    with transaction.atomic():
        Job.objects.filter(pk=row.pk).update(**values)
        row.refresh_from_db()
        _settle(row)
        wording.change(row)
    return True


def _completed(row: Job) -> None:
    with transaction.atomic():
        now = timezone.now()
        Job.objects.filter(pk=row.pk).update(
            status=Status.COMPLETED,
            finished_at=row.finished_at or now,
            updated_at=now,
            error_code="",
            error_message="",
            error_hint="",
        )
        row.refresh_from_db()
        _settle(row)


def _settle(row: Job) -> None:
    """End the open attempt of a job that has ended; its lane sees whether the backend is rid."""
    if row.status in FINAL:
        outcome = {
            Status.COMPLETED: Outcome.COMPLETED,
            Status.CANCELLED: Outcome.CANCELLED,
        }.get(Status(row.status), Outcome.ERROR)
        Attempt.objects.open().filter(job=row).update(ended_at=timezone.now(), outcome=outcome)
        JobProgress.objects.filter(job=row).delete()
    events.emit_for_job(
        "job.status",
        row,
        events.JobStatus(job=str(row.pk), status=row.status, text="After a recovery."),
    )


# --- Pictures that no row knows -----------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    path: Path
    infotext: str
    prompt: str
    seed: str


def _pictures_on_disk(counts: Counts) -> None:
    """Give the pictures that no row names to the jobs that they belong to, by what they tell."""
    known = set(Image.objects.values_list("sha256", flat=True))
    lost = [found for found in _files() if found.path.name not in known]
    by_order: dict[tuple[str, str], list[_Found]] = defaultdict(list)
    for found in lost:
        by_order[found.prompt, found.seed].append(found)
    given: set[Path] = set()
    for row in Job.objects.exclude(status__in=[Status.COMPLETED, Status.CANCELLED]).iterator():
        own = _pictures_of(row, by_order, given)
        if own:
            with transaction.atomic():
                _adopt(row, own)
            _completed(row)
            given |= {found.path for found in own}
            counts.pictures_again += len(own)
    rest = [found for found in lost if found.path not in given]
    for some in _batched(rest):
        rows = [row for row in (_row(found, None, uuid4(), 0) for found in some) if row]
        Image.objects.bulk_create(rows)
        counts.pictures_without_job += len(rows)


def _files() -> Iterator[_Found]:
    for path in sorted(image_store().root.glob("??/" + "?" * 64)):
        text = ""
        try:
            text = png_texts(path).by_keyword.get("parameters", "")
            info = parse(text)
        except (OSError, ValueError):
            yield _Found(path, text, "", "")
            continue
        seed = next((value for name, value in info.fields if name.casefold() == "seed"), "")
        yield _Found(path, text, info.prompt.strip(), str(seed))


def _pictures_of(
    row: Job, by_order: Mapping[tuple[str, str], list[_Found]], given: Iterable[Path]
) -> list[_Found]:
    """Return all pictures of a job, one a seed; none if one of them is missing."""
    seed = row.generation_params.get("seed")
    if not isinstance(seed, int) or not row.prompt:
        return []
    own: list[_Found] = []
    for number in range(row.images_wanted):
        fitting = by_order.get((row.prompt.strip(), str(seed + number)), [])
        free = [found for found in fitting if found.path not in given]
        if not free:
            return []
        own.append(max(free, key=lambda found: found.path.stat().st_mtime))
    return own


def _adopt(row: Job, own: list[_Found]) -> None:
    attempt = Attempt.objects.open().filter(job=row).first()
    token = attempt.token if attempt else uuid4()
    rows = [_row(found, row, token, index) for index, found in enumerate(own)]
    Image.objects.bulk_create([made for made in rows if made])


def _row(found: _Found, row: Job | None, attempt: UUID, index: int) -> Image | None:
    try:
        content = found.path.read_bytes()
        info = inspect(content)
    except (OSError, ValueError) as error:
        log.warning("recovery: %s is no picture: %s", found.path.name, error)
        return None
    made = Image(
        sha256=found.path.name,
        format=info.format,
        width=info.width,
        height=info.height,
        bytes=len(content),
        attempt=attempt,
        index=index,
        job=row,
        owner_id=row.owner_id if row else None,
        api_key_prefix=(row.api_key_id or "") if row else "",
        server_alias=row.server_alias if row else "",
        app_type=row.app_type if row else "",
        infotext=found.infotext,
        parameters=dict(row.generation_params) if row else {},
        checkpoint=row.checkpoint if row else "",
        seed=found.seed[:20],
        created_at=datetime.fromtimestamp(found.path.stat().st_mtime, UTC),
    )
    made.checksum = of_row(made, IMAGE)
    return made


# --- The rest -----------------------------------------------------------------------------


def _new_life(told: journal.Told) -> None:
    """Give the event ids a new life, and go on behind all that were ever given out."""
    from django_q.models import OrmQ

    OrmQ.objects.all().delete()  # kicks of another time
    Epoch.objects.update_or_create(pk=1, defaults={"value": uuid4()})
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM sqlite_sequence WHERE name = 'jobs_event'")
        if cursor.fetchone():
            cursor.execute(
                "UPDATE sqlite_sequence SET seq = max(seq, %s) WHERE name = 'jobs_event'",
                [told.seen],
            )
        else:
            cursor.execute(
                "INSERT INTO sqlite_sequence (name, seq) VALUES ('jobs_event', %s)", [told.seen]
            )
