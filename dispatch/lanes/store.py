"""Storing an answer: files first, then pictures and completion in one transaction (rule 11).

Between the two the journal is told whose files these are. The pictures of a round are stored in
the same way: instead of completing the job, the transaction lets its next round be made.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from dispatch.dispatchers.base import Answer, BackendError, ErrorClass, Picture
from dispatch.dispatchers.registry import dispatcher_class
from gallery.files import image_store
from gallery.models import Image
from jobs import events, journal, transitions
from jobs.checksums import IMAGE, of_row
from jobs.models import Attempt, Job
from jobs.params.loras import loras_in_prompt
from jobs.pictures import PictureInfo, inspect
from mobilesd.storage import StoredFile

__all__ = ["AfterRound", "Next", "StoredAnswer", "complete", "keep_rejected", "write_files"]


class _AlreadyEnded(Exception):
    """The attempt was closed meanwhile; its pictures are left to the collector."""


@dataclass(frozen=True)
class StoredAnswer:
    """An answer whose files are on disk."""

    answer: Answer
    files: Sequence[tuple[StoredFile, PictureInfo]]


# What happens with a job after a round: claims the next one, or says why it waits.
Next = Callable[[Job], Attempt | str]


@dataclass(frozen=True)
class AfterRound:
    """Who may go on with a job: `look` runs first in a transaction of `fence`, and decides."""

    fence: Callable[[], AbstractContextManager[None]]
    look: Callable[[Job], Next]


def write_files(answer: Answer, at_most: int | None = None) -> StoredAnswer:
    """Write the pictures' files; raises BackendError for bytes that are no picture, OSError.

    `at_most`: of a round no more are taken, as the next one would make the others once more.
    """
    store = image_store()
    answer = replace(answer, pictures=answer.pictures[:at_most])
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
    for index, (picture, (file, info)) in enumerate(_pairs(stored), job.images_made):
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


def complete(
    token: UUID, stored: StoredAnswer, after_round: AfterRound | None = None
) -> tuple[Job, Attempt | None] | None:
    """Complete the job with its pictures, by the open attempt's token: never half, never twice.

    After a round that is not the last the job is in the queue again, unless `after_round` claims
    its next one. Returns the job with that attempt; None if the attempt has ended meanwhile
    (cancelled, or another lane gave it up).
    """
    attempt = Attempt.objects.open().select_related("job").filter(token=token).first()
    if attempt is None:
        return None
    job = attempt.job
    images = _rows(attempt, stored)
    more = attempt.images is not None and job.images_made + attempt.images < job.images_wanted
    info = _whole_info(job, stored.answer)
    # Before the commit, and on disk: whose a file is must be known as soon as it could count.
    journal.result(token, job, images, round_info=info if more else None)
    ahead = after_round if more else None
    with contextlib.suppress(_AlreadyEnded), ahead.fence() if ahead else transaction.atomic():
        then = ahead.look(job) if ahead else None
        # Before the event of the completion: a submission with the same picture locks its file
        # before its event.
        _keep_files(stored)
        warnings = list(stored.answer.warnings)
        if more:
            return _next_round(token, info, warnings, images, then)
        done = transitions.complete(token, generation_info=info, warnings=warnings)
        if done is None:
            raise _AlreadyEnded
        _insert(done, images)
        return done, None
    return None


def _whole_info(job: Job, answer: Answer) -> Mapping[str, Any]:
    """Return the generation_info of all pictures so far."""
    if not job.images_made:
        return answer.generation_info
    return dispatcher_class(job.app_type).merged(job.generation_info or {}, answer.generation_info)


def _next_round(
    token: UUID,
    info: Mapping[str, Any],
    warnings: list[str],
    images: Sequence[Image],
    then: Next | None,
) -> tuple[Job, Attempt | None]:
    job = transitions.take_round(token, images=len(images), generation_info=info, warnings=warnings)
    if job is None:
        raise _AlreadyEnded
    following = then(job) if then is not None else ""
    claimed = following if isinstance(following, Attempt) else None
    if not isinstance(following, Attempt):
        transitions.give_way(job, token, following)
    # Only now: their events come after the claim's lock of the owner's turn, as in all claims.
    _insert(job, images)
    return job, claimed


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
