"""What the apps around ask of the gallery."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.urls import reverse

from apikeys.actors import Actor
from gallery.files import read_image
from gallery.models import Image
from jobs.models import Job
from jobs.ports import Result
from mobilesd.errors import InvalidInput

__all__ = ["picture_bytes", "results"]

_MIME = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}


def results(jobs: Sequence[Job]) -> Mapping[UUID, Result]:
    """Return the pictures of these jobs, in one query."""
    by_job: dict[UUID, list[Image]] = defaultdict(list)
    for image in Image.objects.results().filter(job__in=[job.pk for job in jobs]).order_by("index"):
        if image.job_id is not None:
            by_job[image.job_id].append(image)
    return {
        job_id: Result(
            image_ids=[str(image.pk) for image in images],
            file_names=[image.filename for image in images],
            urls=[reverse("image-file", args=[image.pk]) for image in images],
            thumbnail_urls=[reverse("image-thumbnail", args=[image.pk]) for image in images],
        )
        for job_id, images in by_job.items()
    }


def picture_bytes(reference: Mapping[str, Any], actor: Actor) -> tuple[bytes, str]:
    """Return an earlier picture that the actor may see (port `picture_bytes`)."""
    visible = Image.objects.visible_to(actor)
    try:
        if "image_id" in reference:
            image = visible.filter(pk=str(reference["image_id"])).first()
        else:
            index = reference.get("image", 0)
            of_job = visible.results().filter(job=UUID(str(reference.get("job"))), index=index)
            image = of_job.first()
    except (ValidationError, ValueError, TypeError):
        image = None
    if image is None:
        raise InvalidInput(
            "There is no such picture.",
            hint="Name a picture of yours by its image_id, or by job and image number.",
        )
    return read_image(image), _MIME[image.format]
