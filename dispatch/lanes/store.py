"""Storing an answer: files first, then pictures and completion in one transaction (rule 11).

Between the two the journal is told whose files these are.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from dispatch.dispatchers.base import Answer, BackendError, ErrorClass, Picture
from gallery.files import image_store
from gallery.models import Image
from jobs import events, journal, transitions
from jobs.checksums import IMAGE, of_row
from jobs.models import Attempt, Job
from jobs.params.loras import loras_in_prompt
from jobs.pictures import PictureInfo, inspect
from mobilesd.storage import StoredFile

__all__ = ["StoredAnswer", "complete", "keep_rejected", "write_files"]


class _AlreadyEnded(Exception):
    """The attempt was closed meanwhile; its pictures are left to the collector."""


@dataclass(frozen=True)
class StoredAnswer:
    """An answer whose files are on disk."""

    answer: Answer
    files: Sequence[tuple[StoredFile, PictureInfo]]


def write_files(answer: Answer) -> StoredAnswer:
    """Write the pictures' files; raises BackendError for bytes that are no picture, OSError."""
    store = image_store()
    files = []
    for picture in answer.pictures:
        try:
            info = inspect(picture.data)
        except ValueError as error:
            raise BackendError(
                ErrorClass.TRANSIENT,
                "bad_image",
                "The server sent something that is no picture.",
                "The job is tried again.",
            ) from error
        files.append((store.put(picture.data), info))
    return StoredAnswer(answer, files)


def _pairs(stored: StoredAnswer) -> list[tuple[Picture, tuple[StoredFile, PictureInfo]]]:
    return list(zip(stored.answer.pictures, stored.files, strict=True))


def _keep_files(stored: StoredAnswer) -> None:
    """Make sure that the files stay; call it inside the storing transaction, before any event.

    Looked at again under the write lock: a lane that was frozen between file and transaction may
    find one collected (rule 22). In one order, so that two lanes never wait crosswise.
    """
    store = image_store()
    for picture, (file, _) in sorted(_pairs(stored), key=lambda pair: pair[1][0].sha256):
        store.keep(file.sha256, file.bytes, partial(bytes, picture.data))


def _rows(attempt: Attempt, stored: StoredAnswer, *, rejected: bool = False) -> list[Image]:
    """Return the rows of the pictures, not saved yet."""
    job = attempt.job
    now = timezone.now()
    images = []
    for index, (picture, (file, info)) in enumerate(_pairs(stored)):
        images.append(
            Image(
                sha256=file.sha256,
                format=info.format,
                width=info.width,
                height=info.height,
                bytes=file.bytes,
                attempt=attempt.token,
                index=index,
                job=job,
                owner_id=job.owner_id,
                api_key_prefix=job.api_key_id or "",
                server_alias=attempt.server_alias,
                app_type=job.app_type,
                infotext=picture.infotext,
                parameters={
                    k: v for k, v in job.generation_params.items() if k != "alwayson_scripts"
                },
                checkpoint=stored.answer.checkpoint or job.checkpoint,
                loras=loras_in_prompt(job.prompt),
                seed="" if picture.seed is None else str(picture.seed),
                warnings=list(stored.answer.warnings),
                rejected=rejected,
                created_at=now,
            )
        )
    for image in images:
        image.checksum = of_row(image, IMAGE)
    return images


def complete(token: UUID, stored: StoredAnswer) -> Job | None:
    """Complete the job with its pictures, by the open attempt's token: never half, never twice.

    Returns None if the attempt has ended meanwhile (cancelled, or another lane gave it up).
    """
    attempt = Attempt.objects.open().select_related("job").filter(token=token).first()
    if attempt is None:
        return None
    images = _rows(attempt, stored)
    # Before the commit, and on disk: whose a file is must be known as soon as it could count.
    journal.result(token, attempt.job, images)
    with contextlib.suppress(_AlreadyEnded), transaction.atomic():
        # Before the event of the completion: a submission with the same picture locks its file
        # before its event.
        _keep_files(stored)
        job = transitions.complete(
            attempt.token,
            generation_info=stored.answer.generation_info,
            warnings=list(stored.answer.warnings),
        )
        if job is None:
            raise _AlreadyEnded
        _insert(job, images)
        return job
    return None


def _insert(job: Job, images: Sequence[Image]) -> None:
    """Insert the rows with their events; call it inside the storing transaction."""
    for image in Image.objects.bulk_create(images):
        events.emit_for_job(
            "image.created",
            job,
            {"job": str(job.pk), "image": str(image.pk), "index": image.index},
        )


def keep_rejected(attempt: Attempt, stored: StoredAnswer) -> None:
    """Keep pictures that are not what was asked for, to look at; call it in the transaction."""
    _keep_files(stored)
    images = Image.objects.bulk_create(_rows(attempt, stored, rejected=True))
    journal.add([{"image": journal.record_of(image)} for image in images])
