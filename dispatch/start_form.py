"""The picture that a form starts from: what was chosen, as values of `init_images`."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest

from apikeys.actors import Actor
from gallery.models import Image
from jobs import inputs
from jobs.models import Job
from mobilesd.errors import InvalidInput, bad_field

__all__ = ["Start", "job_of", "read_id"]

MAX_FILE_BYTES = 40 * 1024 * 1024
_WHERE = "generation_params.init_images"


def read_id(post: Mapping[str, Any], name: str) -> UUID | None:
    """Return the id in a hidden field, or None for an empty one and for what is no id."""
    try:
        return UUID(post.get(name, ""))
    except ValueError:
        return None


def job_of(job_id: UUID | None, actor: Actor) -> Job | None:
    """Return a job that the actor may see, or None."""
    if job_id is None:
        return None
    return Job.objects.visible_to(actor).listed().filter(pk=job_id).first()


@dataclass(frozen=True)
class Start:
    """At most one of these; `lost` is a choice that is not there any more.

    `job` is an earlier job that started from the picture, `source` one that has yet to make it.
    """

    file: "UploadedFile[Any] | None" = None
    image: Image | None = None
    source: Job | None = None
    job: UUID | None = None
    lost: bool = False

    @classmethod
    def read(cls, request: HttpRequest, actor: Actor) -> "Start":
        """Return what a form says."""
        post = request.POST
        if (file := request.FILES.get("init_file")) is not None:
            return cls(file=file)
        if (image_id := read_id(post, "init_image")) is not None:
            image = Image.objects.visible_to(actor).filter(pk=image_id).first()
            return cls(image=image, lost=image is None)
        if (source_id := read_id(post, "init_source")) is not None:
            source = job_of(source_id, actor)
            return cls(source=source, lost=source is None)
        job = job_of(read_id(post, "init_job"), actor)
        return cls(job=job.pk if job is not None else None)

    def __bool__(self) -> bool:
        return self.lost or any((self.file, self.image, self.source, self.job))

    def pictures(self, actor: Actor) -> Iterator[Any]:
        """Yield what stands for the picture in `init_images`; raise InvalidInput."""
        if self.lost:
            raise bad_field(_WHERE, "is not there any more.", "Choose another one.")
        if self.file is not None:
            if (self.file.size or 0) > MAX_FILE_BYTES:
                megabytes = MAX_FILE_BYTES // 1_048_576
                sentence = f"init_images has more than {megabytes} MB. Make it smaller."
                raise InvalidInput(sentence, fields={_WHERE: [sentence]})
            yield base64.b64encode(self.file.read()).decode("ascii")
        elif self.image is not None:
            yield {"image_id": str(self.image.pk)}
        elif self.source is not None:
            yield {"job": str(self.source.pk), "image": 0}
        elif (job := job_of(self.job, actor)) is not None:
            kept = {"init_images": job.generation_params.get("init_images", [])}
            yield from inputs.restore(kept)["init_images"]
