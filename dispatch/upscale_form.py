"""The form that orders a larger picture: what was typed, as an order; errors at their fields."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest

from apikeys.actors import Actor
from dispatch.start_form import Start, job_of, read_id
from jobs.choices import Kind
from jobs.models import Job
from jobs.services import Order
from jobs.upscaling import DEFAULT_FACTOR
from mobilesd.errors import Problem

__all__ = ["LABELS", "UpscaleForm", "errors_by_field"]

LABELS = {
    "init": "The picture",
    "upscaler": "The upscaler",
    "upscale_by": "The factor",
    "server": "The server",
}
# The order's own fields -> those of the form.
_FIELD_OF = {
    "generation_params.init_images": "init",
    "generation_params.upscaler": "upscaler",
    "generation_params.upscale_by": "upscale_by",
    "target_server_alias": "server",
}


@dataclass
class UpscaleForm:
    """What is typed, as text. The prompt comes along with the picture, to find it by."""

    start: Start = field(default_factory=Start)
    prompt: str = ""
    upscaler: str = ""
    upscale_by: str = str(DEFAULT_FACTOR)
    server: str = ""

    @classmethod
    def of_job(cls, job: Job) -> "UpscaleForm":
        """Return what to type to get this upscale again."""
        params = job.generation_params
        return cls(
            start=Start(job=job.pk),
            prompt=job.prompt,
            upscaler=str(params.get("upscaler", "")),
            upscale_by=f"{params.get('upscale_by', DEFAULT_FACTOR):g}",
            server=job.target_server_alias,
        )

    @classmethod
    def read(cls, request: HttpRequest, actor: Actor) -> "UpscaleForm":
        """Return what a form says."""
        post = request.POST
        start = Start.read(request, actor)
        earlier = job_of(read_id(post, "init_job"), actor)
        return cls(
            start=start,
            prompt="" if start.file else prompt_of(start, earlier),
            upscaler=post.get("upscaler", "").strip(),
            upscale_by=post.get("upscale_by", "").strip(),
            server=post.get("server", ""),
        )

    def order(self, actor: Actor, once: str) -> Order:
        """Return the order; raise InvalidInput for a picture that is not there any more.

        `once`: what a doubled tap repeats, and a new page does not.
        """
        params: dict[str, Any] = {
            "kind": Kind.UPSCALE.value,
            "init_images": list(self.start.pictures(actor)),
            "upscaler": self.upscaler,
            "upscale_by": self.upscale_by or DEFAULT_FACTOR,
        }
        if self.prompt:
            params["positive_prompt"] = self.prompt
        if not params["init_images"]:
            del params["init_images"]
        digest = hashlib.sha256(repr((params, self.server)).encode("utf-8", "replace"))
        return Order(
            generation_params=params,
            target_server_alias=self.server,
            source_info="MobileSD page",
            idempotency_key=f"page:{once[:64]}:{digest.hexdigest()[:32]}" if once else "",
        )

    def changed_params(self, actor: Actor) -> dict[str, Any]:
        """Return the parameters to change of a waiting job; its picture only for another one."""
        params: dict[str, Any] = {
            "upscaler": self.upscaler,
            "upscale_by": self.upscale_by or DEFAULT_FACTOR,
        }
        if self.start.file is not None:
            params["init_images"] = list(self.start.pictures(actor))
        return params


def prompt_of(start: Start, earlier: Job | None) -> str:
    """Return the prompt that the picture to start from was made by, or is going to be."""
    if start.image is not None:
        return str(start.image.parameters.get("positive_prompt", ""))
    source = start.source or earlier
    return source.prompt if source is not None else ""


def errors_by_field(problem: Problem) -> dict[str, str]:
    """Return the sentences of a refusal by the form's field; "" for those of no single field."""
    errors: dict[str, str] = {}
    for path, sentences in problem.fields.items():
        name = next((own for start, own in _FIELD_OF.items() if path.startswith(start)), "")
        errors[name] = " ".join(_in_words(sentence, path, name) for sentence in sentences)
    if not errors:
        errors[""] = problem.message
    if problem.hint:
        errors[""] = f"{errors.get('', '')} {problem.hint}".strip()
    return errors


def _in_words(sentence: str, path: str, name: str) -> str:
    """Let a sentence begin with the field's label instead of the parameter's name."""
    starts: Mapping[str, None] = dict.fromkeys(
        [path, path.removeprefix("generation_params."), path.split(".")[-1], "init_images"]
    )
    for start in starts if name else ():
        if sentence.startswith(f"{start} "):
            sentence = f"{LABELS[name]}{sentence.removeprefix(start)}"
    return sentence.replace("upscale_by", "it") if name == "upscale_by" else sentence
