"""The form that changes a waiting job: what was typed, as the changes that it means.

Each field brings along what it showed at first (`was_…`): only what somebody changed is sent, so
that a form that was open for long undoes nobody else's change.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone as here

from apikeys.actors import Actor
from dispatch.forms import FIELDS, Typed, errors_by_field, read_loras
from dispatch.start_form import Start
from dispatch.when_form import MOMENTS, WHEN, When, read_when
from jobs.models import Job
from jobs.services.chains import needs_of
from mobilesd.errors import Problem, bad_field

__all__ = ["EditForm", "Shown", "shown"]

# Values in fields of their own; lists and the picture to start from are read apart.
_TEXTS = (*FIELDS, "server", *WHEN)


@dataclass
class Shown:
    """What the form shows: texts, lists, the picture to start from; `was` is what it was."""

    values: dict[str, str]
    was: dict[str, str]
    loras: list[tuple[str, str]]
    needs: list[tuple[str, str]]
    start: Start
    errors: dict[str, str] = field(default_factory=dict)


def shown(job: Job) -> Shown:
    """Return the form as the job is now; moments are in the server's time zone."""
    typed = Typed.of_job(job)
    needs = [(str(need.job), need.on_failure) for need in needs_of(job.pk)]
    values = {**typed.values, "server": job.target_server_alias}
    if typed.start and "denoising_strength" not in job.generation_params:
        values["denoising"] = ""  # the server's own
    values |= {"priority": str(job.priority), "lane": job.lane_class}
    for name in MOMENTS:
        moment: datetime | None = getattr(job, name)
        values[name] = here.localtime(moment).strftime("%Y-%m-%dT%H:%M") if moment else ""
    # Lists and pictures are only compared, never typed like this.
    lists = {"loras": _told(typed.loras), "needs": _told(needs)}
    was = {**values, **lists, "start": "1" if typed.start else ""}
    return Shown(values, was, typed.loras, needs, typed.start)


def _told(rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"{name}\t{value}" for name, value in rows).strip()


class EditForm:
    """One filled-in form; `shown.errors` are sentences by field, "" for those of no field."""

    def __init__(self, job: Job, request: HttpRequest, actor: Actor) -> None:
        post = request.POST
        self._post = post
        self._job = job
        self._actor = actor
        self._when = When(post)
        values = {name: post.get(name, "").strip() for name in _TEXTS}
        names = (*_TEXTS, "loras", "needs", "start")
        was = {name: post.get(f"was_{name}", "").strip() for name in names}
        start = Start.read(request, actor)
        self.shown = Shown(values, was, read_loras(post), self._when.needs, start)

    def _is_changed(self, name: str) -> bool:
        values, was = self.shown.values, self.shown.was
        return name in self._post and _plain(values[name]) != _plain(was[name])

    def _is_listed_anew(self, name: str, rows: Iterable[tuple[str, str]]) -> bool:
        """Tell whether a list was changed; an empty one sends nothing but what it was."""
        return f"was_{name}" in self._post and _told(rows) != _plain(self.shown.was[name])

    def params(self) -> dict[str, Any]:
        """Return the generation parameters that were changed; None removes one."""
        changed: dict[str, Any] = {
            known: self.shown.values[name] or None
            for name, known in FIELDS.items()
            if self._is_changed(name)
        }
        loras = self.shown.loras
        if self._is_listed_anew("loras", loras):
            changed["loras"] = [{"name": n, "weight": w} for n, w in loras] or None
        changed |= self._start()
        has_prompt = self.shown.values["prompt"] or self.shown.start
        if self._is_changed("prompt") and not has_prompt:
            raise bad_field("generation_params.positive_prompt", "must say what to show.")
        if "seed" in changed and changed["seed"] is None:
            changed["seed"] = "-1"  # a new one is drawn
        return changed

    def _start(self) -> dict[str, Any]:
        """Return what changes with the picture to start from."""
        start, was = self.shown.start, self.shown.was
        if "was_start" not in self._post or start.job == self._job.pk:
            return {}
        if pictures := list(start.pictures(self._actor)):
            denoising = self.shown.values["denoising"] or None
            return {"init_images": pictures, "denoising_strength": denoising}
        if not was["start"]:
            return {"denoising_strength": None} if self._is_changed("denoising") else {}
        # A mask belongs to its picture.
        return dict.fromkeys(("init_images", "mask", "denoising_strength"))

    def changes(self) -> dict[str, Any]:
        """Return the other fields that were changed; raise InvalidInput."""
        changed: dict[str, Any] = {}
        if self._is_changed("server"):
            changed["target_server_alias"] = self.shown.values["server"]
        changed |= {name: read_when(self._post, name) for name in WHEN if self._is_changed(name)}
        if self._is_listed_anew("needs", self._when.needs):
            changed["depends_on"] = self._when.depends_on()
        return changed

    def take_errors(self, problem: Problem) -> None:
        """Put the sentences of a refusal to their fields."""
        self.shown.errors |= errors_by_field(problem)


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n")
