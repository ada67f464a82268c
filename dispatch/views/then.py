"""What comes after a job: the next one, started from its picture, made already or not."""

from dataclasses import replace
from uuid import UUID

from apikeys.actors import Actor
from dispatch.forms import DEFAULTS, Typed
from dispatch.start_form import Start
from gallery.models import Image
from jobs import services
from jobs.choices import Kind, Status
from jobs.models import Job
from mobilesd.errors import NotFound

__all__ = ["id_of", "img2img_after", "start_after"]

_TO_COME = (Status.PENDING, Status.PROCESSING)


def id_of(text: str) -> UUID:
    """Return the id in an address; raise NotFound."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("There is no such job or picture.") from None


def start_after(job_id: str, actor: Actor) -> tuple[Job, Start]:
    """Return a job, and its first picture: the one that it made, or is going to make.

    Raises NotFound for no job, and for one that has no picture and won't have any.
    """
    job = services.find(id_of(job_id), actor)
    if job.status in _TO_COME:
        return job, Start(source=job)
    first = Image.objects.visible_to(actor).results().filter(job=job).order_by("index").first()
    if first is None:
        raise NotFound(
            "This job has no picture to start from.",
            error="image_not_found",
            hint="Retry the job, or start from another picture.",
        )
    return job, Start(image=first)


def img2img_after(job_id: str, actor: Actor) -> Typed:
    """Return what to type to go on from a job's picture, with its own parameters as far as known.

    Without the others of its parameters, such as hires fix: they were for the first step.
    """
    job, start = start_after(job_id, actor)
    if job.kind == Kind.UPSCALE:
        return Typed(values={**DEFAULTS, "prompt": job.prompt}, start=start)
    typed = Typed.of_job(job, same_seed=False)
    values = {**typed.values, "count": DEFAULTS["count"], "denoising": DEFAULTS["denoising"]}
    return replace(typed, values=values, start=start, extras_of=None, extras={})
