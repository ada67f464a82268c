"""The form on the New page: what was typed, as an order; and an order's errors, at their fields.

It checks next to nothing itself: `jobs.params` and `jobs.inputs` do, for pages and API alike.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.http import HttpRequest, QueryDict

from apikeys.actors import Actor
from dispatch.start_form import Start, job_of, read_id
from dispatch.when_form import WHEN, When
from jobs import inputs
from jobs.models import Job, Preset
from jobs.services import Order, presets
from mobilesd.errors import InvalidInput, Problem

__all__ = [
    "DEFAULTS",
    "FIELDS",
    "LABELS",
    "PictureForm",
    "Typed",
    "errors_by_field",
    "read_loras",
]

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
    "lane": "The lane",
    "not_before": "The earliest start",
    "deadline": "The deadline",
    "needs": "The list of jobs to wait for",
    "quantity": "The number of jobs",
    "seed_variation": "How seeds differ",
    "folder": "The folder",
    "mode": "The lists",
    "run_first": "The number of jobs that run first",
    "batch_name": "The name",
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
# What an order has beside its parameters.
_FIELD_OF_ORDER = {
    "target_server_alias": "server",
    "depends_on": "needs",
    "bulk_quantity": "quantity",
    "checkpoints_in": "folder",
    "variations": "mode",
    **{name: name for name in (*WHEN, "seed_variation", "run_first", "batch_name")},
}
# What a hint says of the API, in words of the page.
_HINTS = {
    "mode": "Give each list as many values, or choose “every combination”.",
    "quantity": "Make them in several goes, or with fewer values.",
}
_HINTS_OF_ERRORS = {
    "dependency_failed": "Retry that job first, take it off the list, or let this one run all the"
    " same.",
}
# What the form decides, so that an earlier job must not bring it along.
_DECIDED = {*_FIELD_OF, "subseed", "model_hash"} - {"batch_size"}


@dataclass
class Typed:
    """The values of the form, as text; `extras` are the other parameters of an earlier job."""

    values: dict[str, str] = field(default_factory=lambda: dict(DEFAULTS))
    loras: list[tuple[str, str]] = field(default_factory=list)
    server: str = ""
    start: Start = field(default_factory=Start)
    when: When = field(default_factory=lambda: When(QueryDict()))
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
            start=Start(job=job.pk if params.get("init_images") else None),
            when=When.of_job(job),
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
        self.errors: dict[str, str] = {}
        self.typed = Typed(
            values={name: self._post.get(name, "").strip() for name in FIELDS},
            loras=read_loras(self._post),
            server=self._post.get("server", ""),
            start=Start.read(request, self._actor),
            when=When(self._post),
        )
        self._take_extras()

    def _take_extras(self) -> None:
        if not self._post.get("keep_extras"):
            return
        if (job := job_of(read_id(self._post, "extras_of"), self._actor)) is not None:
            self.typed.extras_of = job.pk
            self.typed.extras = _extras(job.generation_params)
        elif (preset_id := read_id(self._post, "preset")) is not None:
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
        if not self.typed.start:
            params.pop("denoising_strength", None)
        # Pictures that an earlier job had beside the one to start from (a mask, a ControlNet's).
        return {k: v for k, v in params.items() if k != "mask" and not inputs.holds_file(v)}

    def order(self) -> Order:
        """Return the order; raise InvalidInput for what only the form can know."""
        extras = inputs.restore(self.typed.extras) if self.typed.extras else {}
        params = self._with_typed(extras)
        if init_images := list(self.typed.start.pictures(self._actor)):
            params["init_images"] = init_images
        else:
            params.pop("denoising_strength", None)
        if not params.get("positive_prompt") and not init_images:
            where = "generation_params.positive_prompt"
            raise InvalidInput(
                "Say in the prompt what the picture should show.",
                fields={where: ["Say what the picture should show."]},
            )
        order = self._order(params)
        return replace(order, idempotency_key=self._key(order))

    def outline(self) -> Order:
        """Return the order without its pictures, and perhaps without a prompt: to be counted."""
        extras = {k: v for k, v in self.typed.extras.items() if not inputs.holds_file(v)}
        return self._order(self._with_typed({k: v for k, v in extras.items() if k != "mask"}))

    def _order(self, params: dict[str, Any]) -> Order:
        return Order(
            generation_params=params,
            target_server_alias=self.typed.server,
            source_info="MobileSD page",
            **self.typed.when.fields(),
        )

    def _with_typed(self, extras: Mapping[str, Any]) -> dict[str, Any]:
        typed = self.typed
        params = {**extras, "seed": -1}
        params |= {FIELDS[name]: value for name, value in typed.values.items() if value}
        if typed.loras:
            params["loras"] = [{"name": name, "weight": weight} for name, weight in typed.loras]
        return params

    def _key(self, order: Order) -> str:
        """Return a key that a doubled tap repeats, and a changed form or a new page does not."""
        once = self._post.get("once", "")[:64]
        if not once:
            return ""
        digest = hashlib.sha256(repr(order).encode("utf-8", "replace"))
        return f"page:{once}:{digest.hexdigest()[:32]}"

    def take_errors(self, problem: Problem) -> None:
        """Put the sentences of a refusal to their fields."""
        self.errors |= errors_by_field(problem)


def read_loras(post: QueryDict) -> list[tuple[str, str]]:
    """Return the LoRAs of a form with their weights, as text."""
    names, weights = post.getlist("lora_name"), post.getlist("lora_weight")
    return [(name, weight.strip() or "1") for name, weight in zip(names, weights, strict=False)]


def errors_by_field(problem: Problem, lists: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the sentences of a refusal by the form's field; "" for those of no single field.

    `lists` are the parameters that have lists of values, with the fields of these.
    """
    errors: dict[str, str] = {}
    for path, sentences in problem.fields.items():
        name = _field_of(path)
        text = " ".join(_in_words(sentence, path, name) for sentence in sentences)
        name = (lists or {}).get(FIELDS.get(name, ""), name)
        errors[name] = f"{errors.get(name, '')} {text}".strip()
    if not errors:
        errors[""] = problem.message
    hint = _HINTS_OF_ERRORS.get(problem.error, problem.hint)
    hint = next((_HINTS[name] for name in errors if name in _HINTS), hint)
    if hint:
        errors[""] = f"{errors.get('', '')} {hint}".strip()
    return errors


def _field_of(path: str) -> str:
    first, _, rest = path.partition(".")
    if first == "generation_params":
        return _FIELD_OF.get(rest.partition(".")[0], "")
    return _FIELD_OF_ORDER.get(first, "") or _FIELD_OF.get(first, "")


def _in_words(sentence: str, path: str, name: str) -> str:
    """Let a sentence begin with the field's label instead of the parameter's name."""
    if not name:
        return sentence
    if sentence.startswith("names "):  # without its field, as a path of it says already
        return f"{LABELS[name]} {sentence}"
    short = path.removeprefix("generation_params.")
    starts: Sequence[str] = (path, short, short.partition(".")[0])
    for start in starts:
        if sentence.startswith(f"{start} "):
            text = f"{LABELS[name]} {sentence.removeprefix(start).lstrip()}"
            return text.replace(" not_before", " the earliest start")
    return sentence[:1].upper() + sentence[1:]
