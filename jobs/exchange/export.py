"""Writing waiting jobs as JSON, in one pass over the queue.

Two forms of the same records: one JSON document, and JSON lines for what is too large to be read
as a whole. A picture is written once, however many jobs start from it. Nothing tells whose the
jobs are.
"""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Prefetch
from django.utils import timezone

from apikeys.actors import Actor
from jobs import inputs, outputs
from jobs.choices import Status
from jobs.models import Batch, Job, JobDependency, JobInput
from jobs.querysets import QUEUE_ORDER, JobQuerySet
from mobilesd.errors import InvalidInput
from mobilesd.http.times import rfc3339

__all__ = ["FORMAT", "LINES", "VERSION", "Exported", "Exporter", "exported"]

FORMAT = "queue"
LINES = "queue-lines"
VERSION = 1
_CHUNK = 500


@dataclass(frozen=True)
class Exported:
    """A document of `jobs` waiting jobs; `left_out` says which could not be written, and why."""

    content: bytes
    jobs: int
    left_out: Sequence[Mapping[str, str]]


def exported(actor: Actor) -> Exported:
    """Return the waiting jobs of an actor as one document; raise InvalidInput if it is too large.

    Written as a whole: a slow reader must not hold a snapshot of the database.
    """
    exporter = Exporter(actor)
    parts: list[bytes] = []
    size = 0
    for part in exporter.document():
        parts.append(part.encode())
        size += len(parts[-1])
        if size > settings.MAX_BODY_BYTES:
            limit = settings.MAX_BODY_BYTES // 2**20
            raise InvalidInput(
                f"The waiting jobs and their pictures have more than {limit} MB.",
                error="payload_too_large",
                hint="Use `manage.py export_queue FILE`, which writes any size.",
            )
    return Exported(b"".join(parts), exporter.written, exporter.left_out)


class Exporter:
    """One export of the jobs that an actor sees; `running` takes those that run now as well.

    `left_out` says which jobs could not be written, and why; it is full once all is written.
    """

    def __init__(self, actor: Actor, *, running: bool = False) -> None:
        self._actor = actor
        self._running = running
        self._files: dict[str, None] = {}  # in the order in which jobs name them
        self._batches: dict[UUID, Batch] = {}
        self.written = 0
        self.left_out: list[dict[str, str]] = []

    def document(self) -> Iterator[str]:
        """Yield one JSON document, in parts."""
        yield json.dumps(self._header(FORMAT))[:-1]
        yield ',\n"jobs": ['
        yield from _listed(self._jobs())
        yield '],\n"batches": ['
        yield from _listed(_batch(row) for row in self._batches.values())
        yield '],\n"files": ['
        yield from _listed(map(_file, self._files))
        yield f'],\n"left_out": {json.dumps(self.left_out)}}}\n'

    def lines(self) -> Iterator[str]:
        """Yield JSON lines: what a job names comes before it."""
        yield json.dumps(self._header(LINES)) + "\n"
        told: set[UUID | str] = set()
        for job in self._jobs():
            new = [row for key, row in self._batches.items() if key not in told]
            files = [sha for sha in self._files if sha not in told]
            told.update([row.pk for row in new], files)
            records = chain(
                ({"batch": _batch(row)} for row in new),
                ({"file": _file(sha)} for sha in files),
                [{"job": job}],
            )
            yield from (json.dumps(record) + "\n" for record in records)
        yield json.dumps({"end": {"jobs": self.written, "left_out": self.left_out}}) + "\n"

    def _header(self, form: str) -> dict[str, Any]:
        return {"mobilesd": form, "version": VERSION, "exported_at": rfc3339(timezone.now())}

    def _queue(self) -> JobQuerySet:
        statuses = [Status.PENDING, *([Status.PROCESSING] if self._running else [])]
        rows = Job.objects.visible_to(self._actor).listed().filter(status__in=statuses)
        # What runs stands before what waits.
        order = ("-status", *QUEUE_ORDER) if self._running else QUEUE_ORDER
        return rows.order_by(*order).select_related("batch")

    def _jobs(self) -> Iterator[dict[str, Any]]:
        ids = set(self._queue().values_list("pk", flat=True))
        unmet = JobDependency.objects.unmet().order_by("pk")
        needs = Prefetch("needs", unmet)
        files = Prefetch("inputs", JobInput.objects.order_by("pk"))
        for job in self._queue().prefetch_related(needs, files).iterator(chunk_size=_CHUNK):
            if any(one not in ids for one in outputs.bound_jobs(job.generation_params)):
                try:
                    job.generation_params = outputs.with_outputs(job.generation_params)
                except (outputs.OutputMissing, FileNotFoundError):
                    why = "It starts from a picture of a job that is not written."
                    self.left_out.append({"id": str(job.pk), "why": why})
                    continue
            named = [row.sha256 for row in job.inputs.all()]
            if missing := _missing(named):
                why = f"Its picture {missing[:12]} is not on the disk any more."
                self.left_out.append({"id": str(job.pk), "why": why})
                continue
            self._files |= dict.fromkeys(named)
            if job.batch is not None:
                self._batches[job.batch.pk] = job.batch
            self.written += 1
            yield _job(job)


def _missing(hashes: Sequence[str]) -> str:
    store = inputs.input_store()
    return next((sha for sha in hashes if not store.path(sha).is_file()), "")


def _job(job: Job) -> dict[str, Any]:
    return {
        "id": str(job.pk),
        "app_type": job.app_type,
        "generation_params": job.generation_params,
        "priority": job.priority,
        "lane": job.lane_class,
        "target_server_alias": job.target_server_alias or None,
        "not_before": rfc3339(job.not_before),
        "deadline": rfc3339(job.deadline),
        "source_info": job.source_info,
        "batch": str(job.batch_id) if job.batch_id else None,
        "held": job.held,
        "depends_on": [
            {"job": str(row.parent_id), "on_failure": row.on_failure} for row in job.needs.all()
        ],
    }


def _batch(batch: Batch) -> dict[str, Any]:
    return {
        "id": str(batch.pk),
        "name": batch.name,
        "seed_variation": batch.seed_variation,
        "run_first": batch.run_first,
        "nodded": batch.nodded_at is not None,
    }


def _file(sha256: str) -> dict[str, Any]:
    content = inputs.input_store().read(sha256)
    return {"sha256": sha256, "base64": base64.b64encode(content).decode("ascii")}


def _listed(records: Iterator[dict[str, Any]]) -> Iterator[str]:
    for number, record in enumerate(records):
        yield (",\n" if number else "\n") + json.dumps(record)
