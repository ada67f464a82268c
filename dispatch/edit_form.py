"""The form that changes a waiting job: what was typed, as the changes that it means.

Each field brings along what it showed at first (`was_…`): only what somebody changed is sent, so
that a form that was open for long undoes nobody else's change.
"""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from django.http import QueryDict
from django.utils import timezone as here

from dispatch.forms import FIELDS, Typed, errors_by_field
from jobs.models import Job
from mobilesd.errors import Problem, bad_field

__all__ = ["EDITED", "MOMENTS", "EditForm", "shown_values"]

# Of the form on the New page; where a picture starts from is not changed here.
EDITED = {name: known for name, known in FIELDS.items() if name != "denoising"}
MOMENTS = ("not_before", "deadline")


def shown_values(job: Job) -> dict[str, str]:
    """Return the text of each field, as the job is now; moments are in the server's time zone."""
    values = {name: text for name, text in Typed.of_job(job).values.items() if name in EDITED}
    values |= {"server": job.target_server_alias, "priority": str(job.priority)}
    for name in MOMENTS:
        moment: datetime | None = getattr(job, name)
        values[name] = here.localtime(moment).strftime("%Y-%m-%dT%H:%M") if moment else ""
    return values


class EditForm:
    """One filled-in form; `errors` are sentences by field, "" for those of no single field."""

    def __init__(self, job: Job, post: QueryDict) -> None:
        self._post = post
        self._starts_from = job.generation_params.get("init_images")
        names = [*EDITED, "server", "priority", *MOMENTS]
        self.values = {name: post.get(name, "").strip() for name in names}
        self.was = {name: post.get(f"was_{name}", "").strip() for name in names}
        self.errors: dict[str, str] = {}

    def _is_changed(self, name: str) -> bool:
        return name in self._post and _plain(self.values[name]) != _plain(self.was[name])

    def params(self) -> dict[str, Any]:
        """Return the generation parameters that were changed; None removes one."""
        changed = {
            known: self.values[name] or None
            for name, known in EDITED.items()
            if self._is_changed(name)
        }
        if self._is_changed("prompt") and not self.values["prompt"] and not self._starts_from:
            raise bad_field("generation_params.positive_prompt", "must say what to show.")
        if "seed" in changed and changed["seed"] is None:
            changed["seed"] = "-1"  # a new one is drawn
        return changed

    def changes(self) -> dict[str, Any]:
        """Return the other fields that were changed; raise InvalidInput."""
        changed: dict[str, Any] = {}
        if self._is_changed("server"):
            changed["target_server_alias"] = self.values["server"]
        if self._is_changed("priority"):
            changed["priority"] = self._priority()
        return changed | {name: self._moment(name) for name in MOMENTS if self._is_changed(name)}

    def _priority(self) -> int:
        text = self.values["priority"]
        if not (text.isdecimal() and text.isascii() and len(text) < 4):
            raise bad_field("priority", "must be a number from 1 to 10.")
        return int(text)

    def _moment(self, name: str) -> datetime | None:
        """Read a time of the wall; the page's script says how far that wall's zone is off UTC."""
        text = self.values[name]
        if not text:
            return None
        try:
            typed = datetime.fromisoformat(text)
            offset = self._post.get(f"offset_{name}", "")
            # As browsers count: minutes to add to the local time to get UTC.
            zone = timezone(-timedelta(minutes=int(offset))) if offset else None
            typed = typed.replace(tzinfo=zone or here.get_current_timezone())
            return typed.astimezone(UTC)
        except (ValueError, OverflowError):
            raise bad_field(
                name, "must be a date and a time.", "Leave it empty for none."
            ) from None

    def take_errors(self, problem: Problem) -> None:
        """Put the sentences of a refusal to their fields."""
        self.errors |= errors_by_field(problem)


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n")
