"""The form on the New page: what was typed, as an order; and an order's errors, at their fields.

It checks next to nothing itself: `jobs.params` and `jobs.inputs` do, for pages and API alike.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest

from apikeys.actors import Actor
from gallery.models import Image
from jobs import inputs
from jobs.models import Job, Preset
from jobs.services import Order, presets
from mobilesd.errors import InvalidInput, Problem

__all__ = ["DEFAULTS", "FIELDS", "LABELS", "PictureForm", "Typed", "errors_by_field"]

MAX_FILE_BYTES = 40 * 1024 * 1024

# Name in the form -> name in the parameters.
FIELDS = {
    "prompt": "positive_prompt",
    "negative": "negative_prompt",
    "checkpoint": "checkpoint_name",
    "width": "width",
    "height": "height",
    "steps": "steps",
    "cfg": "cfg_scale",
    "sampler": "sampler_name",
    "scheduler": "scheduler",
    "seed": "seed",
    "count": "n_iter",
    "denoising": "denoising_strength",
}
LABELS = {
    "prompt": "The prompt",
    "negative": "The negative prompt",
    "checkpoint": "The checkpoint",
    "loras": "The LoRA list",
    "width": "The width",
    "height": "The height",
    "steps": "Steps",
    "cfg": "CFG scale",
    "sampler": "The sampler",
    "scheduler": "The scheduler",
    "seed": "The seed",
    "count": "The number of pictures",
    "denoising": "Denoising",
    "server": "The server",
    "init": "The picture to start from",
    "priority": "The priority",
    "not_before": "The earliest start",
    "deadline": "The deadline",
}
DEFAULTS = {
    "width": "832",
    "height": "1216",
    "steps": "24",
    "cfg": "6",
    "count": "1",
    "denoising": "0.6",
}
_FIELD_OF = {
    **{name: field_name for field_name, name in FIELDS.items()},
    "batch_size": "count",
    "loras": "loras",
    "init_images": "init",
}
# What the form decides, so that an earlier job must not bring it along.
_DECIDED = {*_FIELD_OF, "subseed", "model_hash"} - {"batch_size"}


@dataclass
class Typed:
    """The values of the form, as text; `extras` are the other parameters of an earlier job."""

    values: dict[str, str] = field(default_factory=lambda: dict(DEFAULTS))
    loras: list[tuple[str, str]] = field(default_factory=list)
    server: str = ""
    init_image: Image | None = None
    init_job: UUID | None = None
    extras_of: UUID | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    preset: UUID | None = None
    # What the preset says; the rest stays as the browser remembers it.
    fixed: Sequence[str] = ()

    @classmethod
    def of_job(cls, job: Job, *, same_seed: bool = True) -> "Typed":
        """Return what to type to get this job again."""
        params = job.generation_params
        values = {name: _text(params.get(known)) for name, known in FIELDS.items()}
        values["count"] = values["count"] or "1"
        values["denoising"] = values["denoising"] or DEFAULTS["denoising"]
        if not same_seed:
            values["seed"] = ""
        return cls(
            values=values,
            loras=_loras(params),
            server=job.target_server_alias,
            init_job=job.pk if params.get("init_images") else None,
            extras_of=job.pk,
            extras=_extras(params),
        )

    @classmethod
    def of_preset(cls, preset: Preset) -> "Typed":
        """Return what a preset says, and of the rest the first values."""
        params = preset.generation_params
        named = [name for name, known in FIELDS.items() if known in params]
        return cls(
            values={**DEFAULTS, **{name: _text(params[FIELDS[name]]) for name in named}},
            loras=_loras(params),
            extras=_extras(params),
            preset=preset.pk,
            fixed=[*named, *(["loras"] if "loras" in params else [])],
        )


def _loras(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    loras = params.get("loras")
    return [
        (str(entry.get("name", "")), _text(entry.get("weight", 1)))
        for entry in (loras if isinstance(loras, list) else [])
        if isinstance(entry, Mapping)
    ]


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _extras(params: Mapping[str, Any]) -> dict[str, Any]:
    # In one order, whatever the database makes of it (PostgreSQL sorts by length).
    return {name: params[name] for name in sorted(params) if name not in _DECIDED}


class PictureForm:
    """One filled-in form; `errors` are sentences by field, "" for those of no single field."""

    def __init__(self, request: HttpRequest) -> None:
        self._actor = Actor.of_user(request.user)
        self._post = request.POST
        self._file: UploadedFile[Any] | None = request.FILES.get("init_file")
        self.errors: dict[str, str] = {}
        self.typed = Typed(
            values={name: self._post.get(name, "").strip() for name in FIELDS},
            loras=self._read_loras(),
            server=self._post.get("server", ""),
            init_image=self._read_init_image(),
            init_job=self._read_id("init_job"),
        )
        self._take_extras()

    def _read_id(self, name: str) -> UUID | None:
        try:
            return UUID(self._post.get(name, ""))
        except ValueError:
            return None

    def _read_loras(self) -> list[tuple[str, str]]:
        names, weights = self._post.getlist("lora_name"), self._post.getlist("lora_weight")
        return [(name, weight.strip() or "1") for name, weight in zip(names, weights, strict=False)]

    def _read_init_image(self) -> Image | None:
        image_id = self._read_id("init_image")
        if image_id is None:
            return None
        return Image.objects.visible_to(self._actor).filter(pk=image_id).first()

    def _job(self, job_id: UUID | None) -> Job | None:
        if job_id is None:
            return None
        return Job.objects.visible_to(self._actor).listed().filter(pk=job_id).first()

    def _take_extras(self) -> None:
        if not self._post.get("keep_extras"):
            return
        if (job := self._job(self._read_id("extras_of"))) is not None:
            self.typed.extras_of = job.pk
            self.typed.extras = _extras(job.generation_params)
        elif (preset_id := self._read_id("preset")) is not None:
            preset = presets.visible(self._actor).filter(pk=preset_id).first()
            if preset is not None:
                self.typed.preset = preset.pk
                self.typed.extras = _extras(preset.generation_params)

    def preset_params(self) -> dict[str, Any]:
        """Return the parameters to save as a preset: without a picture, and what belongs to one."""
        params = dict(self.typed.extras) if self.typed.extras else {}
        params |= {FIELDS[name]: value for name, value in self.typed.values.items() if value}
        if self.typed.loras:
            params["loras"] = [{"name": n, "weight": weight} for n, weight in self.typed.loras]
        if not self._starts_from_picture():
            params.pop("denoising_strength", None)
        # Pictures that an earlier job had beside the one to start from (a mask, a ControlNet's).
        return {k: v for k, v in params.items() if k != "mask" and not inputs.holds_file(v)}

    def _starts_from_picture(self) -> bool:
        typed = self.typed
        return any((self._file, typed.init_image, typed.init_job))

    def order(self) -> Order:
        """Return the order; raise InvalidInput for what only the form can know."""
        params = self._params()
        if not params.get("positive_prompt") and "init_images" not in params:
            where = "generation_params.positive_prompt"
            raise InvalidInput(
                "Say in the prompt what the picture should show.",
                fields={where: ["Say what the picture should show."]},
            )
        return Order(
            generation_params=params,
            target_server_alias=self.typed.server,
            source_info="MobileSD page",
            idempotency_key=self._key(params),
        )

    def _params(self) -> dict[str, Any]:
        typed = self.typed
        params: dict[str, Any] = inputs.restore(typed.extras) if typed.extras else {}
        params |= {FIELDS[name]: value for name, value in typed.values.items() if value}
        params.setdefault("seed", -1)
        if typed.loras:
            params["loras"] = [{"name": name, "weight": weight} for name, weight in typed.loras]
        init_images = list(self._init_images())
        if init_images:
            params["init_images"] = init_images
        else:
            params.pop("denoising_strength", None)
        return params

    def _init_images(self) -> Iterator[Any]:
        if self._file is not None:
            if (self._file.size or 0) > MAX_FILE_BYTES:
                megabytes = MAX_FILE_BYTES // 1_048_576
                sentence = f"init_images has more than {megabytes} MB. Make it smaller."
                raise InvalidInput(sentence, fields={"generation_params.init_images": [sentence]})
            yield base64.b64encode(self._file.read()).decode("ascii")
        elif self.typed.init_image is not None:
            yield {"image_id": str(self.typed.init_image.pk)}
        elif (job := self._job(self.typed.init_job)) is not None:
            kept = {"init_images": job.generation_params.get("init_images", [])}
            yield from inputs.restore(kept)["init_images"]

    def _key(self, params: Mapping[str, Any]) -> str:
        """Return a key that a doubled tap repeats, and a changed form or a new page does not."""
        once = self._post.get("once", "")[:64]
        if not once:
            return ""
        digest = hashlib.sha256(repr((params, self.typed.server)).encode("utf-8", "replace"))
        return f"page:{once}:{digest.hexdigest()[:32]}"

    def take_errors(self, problem: Problem) -> None:
        """Put the sentences of a refusal to their fields."""
        self.errors |= errors_by_field(problem)


def errors_by_field(problem: Problem) -> dict[str, str]:
    """Return the sentences of a refusal by the form's field; "" for those of no single field."""
    errors: dict[str, str] = {}
    for path, sentences in problem.fields.items():
        names = path.removeprefix("generation_params.")
        name = _FIELD_OF.get(names.partition(".")[0], "")
        if path == "target_server_alias":
            name = "server"
        elif path in LABELS:
            name = path
        text = " ".join(_in_words(sentence, path, name) for sentence in sentences)
        errors[name] = f"{errors.get(name, '')} {text}".strip()
    if not errors:
        errors[""] = problem.message
    if problem.hint:
        errors[""] = f"{errors.get('', '')} {problem.hint}".strip()
    return errors


def _in_words(sentence: str, path: str, name: str) -> str:
    """Let a sentence begin with the field's label instead of the parameter's name."""
    if not name:
        return sentence
    short = path.removeprefix("generation_params.")
    starts: Sequence[str] = (path, short, short.partition(".")[0])
    for start in starts:
        if sentence.startswith(f"{start} "):
            return f"{LABELS[name]} {sentence.removeprefix(start).lstrip()}"
    return sentence[:1].upper() + sentence[1:]
