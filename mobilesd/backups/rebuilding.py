"""Completing a database that is too old: from the journal, and from the pictures on disk."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID, uuid4

from django.contrib.auth import get_user_model
from django.db import connection, models, transaction
from django.utils import timezone

from apikeys.models import ApiKey
from gallery.files import image_store
from gallery.models import Image
from jobs import events, inputs, journal, wording
from jobs.checksums import JOB, of_row
from jobs.choices import FINAL, Outcome, Status
from jobs.models import Attempt, Batch, Epoch, Idempotency, Job, JobDependency, JobProgress
from jobs.readiness import note_blocked
from mobilesd.backups import orphans

__all__ = ["Counts", "complete"]

_AT_ONCE = 200

_Thing = TypeVar("_Thing")


def _batched(things: Iterable[_Thing]) -> Iterator[list[_Thing]]:
    left = iter(things)
    while some := list(islice(left, _AT_ONCE)):
        yield some


@dataclass
class Counts:
    """What came back, and what did not; jobs by their ids."""

    jobs_again: int = 0
    jobs_changed: int = 0
    pictures_again: int = 0
    pictures_without_job: int = 0
    jobs_lost: list[str] = field(default_factory=list)
    jobs_without_owner: list[str] = field(default_factory=list)
    jobs_without_pictures: list[str] = field(default_factory=list)
    pictures_lost: int = 0
    pictures_unseen: int = 0
    damaged_lines: int = 0
    to_run: int = 0

    def lost(self, jobs: Sequence[UUID | None]) -> None:
        """Count pictures without a file, by their jobs."""
        self.pictures_lost += len(jobs)
        named = {str(job) for job in jobs if job}
        self.jobs_without_pictures = sorted(named.union(self.jobs_without_pictures))


def complete(told: journal.Told) -> Counts:
    """Bring the database in use up to what the journal tells and the pictures show.

    `told` has only what this database may lack. A job with all its pictures is completed, never run
    again; of a job in rounds, those that were made are not made again. May be run twice.
    """
    counts = Counts(damaged_lines=told.damaged)
    with journal.silent():
        _batches(told)
        made = _jobs(told, counts)
        _keys(told)
        _needs(told)
        _states(told, counts, made)
        _delete_pictures(told.images_gone)
        _images(told, counts)
        accounted = _results(told, counts)
        _pictures_on_disk(told, counts, accounted)
        _rows_without_files(counts)
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
        self.users = set(get_user_model()._default_manager.values_list("pk", flat=True))
        self.keys = set(ApiKey.objects.values_list("prefix", flat=True))
        self.batches = set(Batch.objects.values_list("pk", flat=True))

    def known(self, values: dict[str, Any]) -> dict[str, Any]:
        """Leave out whom this database does not know."""
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
        if UUID(job_id) not in there and not found.get("deleted_at")
    }
    for some in _batched(missing.items()):
        rows = []
        for job_id, found in some:
            if "generation_params" not in found or "app_type" not in found:
                counts.jobs_lost.append(job_id)  # the line of its submission is unreadable
                continue
            row = Job(**owners.known(_values(Job, found)))
            row.images_made = 0  # counted as its pictures come back
            rows.append(row)
            if (row.owner_id, row.api_key_id) != (found.get("owner_id"), found.get("api_key_id")):
                counts.jobs_without_owner.append(job_id)
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
    for (job_id, parent_id), found in told.needs.items():
        if found is None:
            JobDependency.objects.filter(job=UUID(job_id), parent=UUID(parent_id)).delete()
    there = [found for found in told.needs.values() if found is not None]
    rows = [JobDependency(**{**_values(JobDependency, found), "id": None}) for found in there]
    JobDependency.objects.bulk_create(
        [row for row in rows if row.job_id in jobs and row.parent_id in jobs],
        update_conflicts=True,
        unique_fields=["job", "parent"],
        update_fields=["on_failure"],
        batch_size=_AT_ONCE,
    )
    changed = {UUID(job_id) for job_id, _ in told.needs}
    note_blocked(list(changed & jobs))


# --- How jobs ended -----------------------------------------------------------------------


def _states(told: journal.Told, counts: Counts, made: Collection[UUID]) -> None:
    """Change the jobs that went on after the backup."""
    for some in _batched(told.jobs.items()):
        rows = Job.objects.in_bulk([UUID(job_id) for job_id, _ in some])
        for job_id, found in some:
            row = rows.get(UUID(job_id))
            if row is not None and row.pk not in made:
                _update(row, _values(Job, found))
                counts.jobs_changed += 1


def _update(row: Job, values: dict[str, Any]) -> None:
    # How many pictures its rounds made is counted as these come back.
    for name in ("id", "owner_id", "api_key_id", "batch_id", "images_made"):
        values.pop(name, None)
    if values.get("status") == Status.PENDING and row.status in FINAL:
        values["server_alias"] = ""  # it was queued again
    elif values.get("status") not in FINAL:
        values.pop("status", None)  # what runs is found again by its lane
    with transaction.atomic():
        Job.objects.filter(pk=row.pk).update(**values)
        row.refresh_from_db()
        if "generation_params" in values:  # other inputs, which the collector must leave
            inputs.reattach(row.pk, row.generation_params, ())
        _settle(row)
        wording.change(row)


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


# --- Pictures -----------------------------------------------------------------------------


def _images(told: journal.Told, counts: Counts) -> None:
    """Insert pictures that were told after their commit."""
    there = {(str(token), index) for token, index in Image.objects.values_list("attempt", "index")}
    missing = [found for place, found in told.images.items() if place not in there]
    _insert_pictures(missing, told, counts)


def _delete_pictures(ids: Iterable[Any]) -> None:
    for some in _batched(ids):
        Image.objects.filter(pk__in=some).delete()


def _insert_pictures(
    found: Iterable[Mapping[str, Any]], told: journal.Told, counts: Counts
) -> None:
    users = set(get_user_model()._default_manager.values_list("pk", flat=True))
    for some in _batched(found):
        rows = [Image(**_values(Image, one)) for one in some if one["id"] not in told.images_gone]
        jobs = Job.objects.in_bulk([row.job_id for row in rows if row.job_id])
        for row in rows:
            row.job = jobs.get(row.job_id) if row.job_id else None
            # The next user would be given the number of one who is not known any more.
            row.owner_id = row.owner_id if row.owner_id in users else None
        lost = [row for row in rows if not image_store().path(row.sha256).exists()]
        Image.objects.bulk_create([row for row in rows if row not in lost])
        counts.pictures_again += len(rows) - len(lost)
        counts.lost([row.job_id for row in lost])


def _results(told: journal.Told, counts: Counts) -> set[str]:
    """Store the results that count; return the names of the files that any result tells of.

    A result was told before its commit. It counts if its attempt completed the job, or if the job
    is neither ended nor asks for anything else: then it is completed by it, and not run again.
    """
    accounted = {image["sha256"] for found in told.results.values() for image in found["images"]}
    stored = set(Image.objects.values_list("attempt", flat=True))
    lacking = {
        token: found
        for token, found in told.results.items()
        if UUID(token) not in stored and found["images"]
    }
    for token, found in lacking.items():
        if _is_part(found):
            _take_part(token, found, told, counts)
    for token, found in reversed(lacking.items()):  # the newest of a job first
        images = found["images"]
        if _is_part(found):
            continue
        end = told.jobs.get(found["job"], {})
        if (end.get("status"), end.get("attempt")) == (Status.COMPLETED, token):
            _insert_pictures(images, told, counts)
        elif (row := _waiting(found)) is not None and _all_there(images):
            with transaction.atomic():
                _insert_pictures(images, told, counts)
                _completed(row)
    return accounted


def _first(result: Mapping[str, Any]) -> int:
    return int(result["images"][0].get("index", 0))


def _is_part(result: Mapping[str, Any]) -> bool:
    """Tell whether a result is that of a round, the last one as well."""
    return "round_info" in result or _first(result) > 0


def _take_part(token: str, found: Mapping[str, Any], told: journal.Told, counts: Counts) -> None:
    """Store the pictures of a round if they count, and count them.

    Of a job that has ended: those that it had by then. Of one that has not: those that go on where
    its pictures end, as they are not made again then.
    """
    images, first = found["images"], _first(found)
    row = Job.objects.filter(pk=found["job"]).first()
    if row is None or first < row.images_made or of_row(row, JOB) != found["asked"]:
        return
    end, made = told.jobs.get(found["job"], {}), first + len(images)
    last = "round_info" not in found
    if row.status in FINAL:
        completed = (end.get("status"), end.get("attempt")) == (Status.COMPLETED, token)
        if not (completed if last else made <= end.get("images_made", 0)):
            return
    elif row.deleted_at is not None or first != row.images_made or not _all_there(images):
        return
    with transaction.atomic():
        _insert_pictures(images, told, counts)
        if not last:
            Job.objects.filter(pk=row.pk).update(images_made=made)
        if row.status in FINAL:
            return
        if last:
            _completed(row)
        else:
            Job.objects.filter(pk=row.pk).update(generation_info=found["round_info"])
            _end_round(row)


def _end_round(row: Job) -> None:
    """End the attempt that was open at the backup, as the job's next picture is another one now.

    Else a backend that keeps answers would give the picture once more, and it would be stored in
    the next one's place. Not cleared: a lane has to see that the backend is rid of it.
    """
    ended = Attempt.objects.open().filter(job=row)
    if ended.update(ended_at=timezone.now(), outcome=Outcome.ROUND):
        Job.objects.filter(pk=row.pk).update(status=Status.PENDING, server_alias="")
        JobProgress.objects.filter(job=row).delete()
        row.refresh_from_db()
        _settle(row)


def _waiting(result: Mapping[str, Any]) -> Job | None:
    """Return the job of a result if it still waits for exactly this one."""
    rows = Job.objects.listed().filter(pk=result["job"], images_made=0)
    row = rows.exclude(status__in=FINAL).first()
    return row if row is not None and of_row(row, JOB) == result["asked"] else None


def _all_there(images: Iterable[Mapping[str, Any]]) -> bool:
    return all(image_store().path(image["sha256"]).exists() for image in images)


def _pictures_on_disk(told: journal.Told, counts: Counts, accounted: Collection[str]) -> None:
    """Give the files that neither a row nor the journal tells of to the jobs that they show.

    What the journal tells of and did not count is left to the collector, as it always is.
    """
    known = set(Image.objects.values_list("sha256", flat=True))
    found = list(orphans.find(known.union(accounted)))
    waiting = Job.objects.listed().filter(images_made=0).exclude(status__in=FINAL)
    ended = [job_id for job_id, end in told.jobs.items() if end.get("status") == Status.COMPLETED]
    bare = [
        row
        for some in _batched(ended)
        for row in Job.objects.listed().filter(pk__in=some, images__isnull=True)
    ]
    matched = orphans.match(found, [*waiting.iterator(), *bare])
    for row, own in matched:
        with transaction.atomic():
            attempt = Attempt.objects.open().filter(job=row).first()
            token = attempt.token if attempt else uuid4()
            rows = [orphans.row_of(one, row, token, index) for index, one in enumerate(own)]
            if None in rows:
                continue
            Image.objects.bulk_create([made for made in rows if made])
            if row.status != Status.COMPLETED:
                _completed(row)
        counts.pictures_again += len(own)
    taken = {one.path for _, own in matched for one in own}
    for some in _batched(one for one in found if one.path not in taken):
        rows = [orphans.row_of(one, None, uuid4(), 0) for one in some]
        made = Image.objects.bulk_create([row for row in rows if row])
        counts.pictures_without_job += len(made)


def _rows_without_files(counts: Counts) -> None:
    """Leave out the rows whose file is gone, unless all are: then their disk is not there."""
    rows = Image.objects.values_list("pk", "sha256", "job").iterator()
    gone = [(pk, job) for pk, sha256, job in rows if not image_store().path(sha256).exists()]
    if len(gone) == Image.objects.count():
        counts.pictures_unseen = len(gone)
        return
    _delete_pictures(pk for pk, _ in gone)
    counts.lost([job for _, job in gone])


# --- The rest -----------------------------------------------------------------------------


def _new_life(told: journal.Told) -> None:
    """Give the event ids a new life, and go on behind all that were ever given out."""
    from django_q.models import OrmQ

    OrmQ.objects.all().delete()  # kicks of another time
    Epoch.objects.update_or_create(pk=1, defaults={"value": uuid4()})
    _go_on_behind("jobs_event", told.seen)
    # Else the next user would get the number, and so the jobs, of one who came after the backup.
    owners = [found.get("owner_id") or 0 for found in told.jobs.values()]
    _go_on_behind(get_user_model()._meta.db_table, max(owners, default=0))


def _go_on_behind(table: str, number: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, %s) WHERE name = %s", [number, table]
        )
        cursor.execute(
            "INSERT INTO sqlite_sequence (name, seq) SELECT %s, %s"
            " WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = %s)",
            [table, number, table],
        )
