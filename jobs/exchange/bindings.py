"""Jobs of one file that start from the pictures of others of it, which are not made yet.

`jobs.inputs` resolves references to jobs that are there; these are not, until all are inserted.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from jobs.models import Job
from jobs.services.chains import circle_in
from mobilesd.errors import InvalidInput, bad_field

__all__ = ["Bound", "check_no_circle", "referred"]

_WHERE = "generation_params"


def referred(params: Mapping[str, Any]) -> set[UUID]:
    """Return the jobs whose pictures raw or stored parameters name."""
    pictures = params.get("init_images")
    values = [*(pictures if isinstance(pictures, list) else ()), params.get("mask")]
    return {job_id for value in values if (job_id := _job_of(value)) is not None}


def _job_of(value: Any) -> UUID | None:
    if not isinstance(value, Mapping) or not set(value) <= {"job", "image"}:
        return None
    try:
        return UUID(str(value.get("job")))
    except ValueError:
        return None


@dataclass(frozen=True)
class Bound:
    """Normalised parameters, and the jobs of this file by the ids that it gives them."""

    given: Mapping[str, Any]
    making: Mapping[UUID, Job]

    def rest(self) -> dict[str, Any]:
        """Return the parameters without what is bound to those jobs."""
        found = dict(self.given)
        if isinstance(found.get("init_images"), list):
            found["init_images"] = [v for v in found["init_images"] if self._parent(v) is None]
            if not found["init_images"]:
                del found["init_images"]
        if self._parent(found.get("mask")) is not None:
            del found["mask"]
        return found

    def joined(self, taken: Mapping[str, Any]) -> dict[str, Any]:
        """Return stored parameters with the bindings back in their places; raise InvalidInput."""
        found = dict(taken)
        if isinstance(self.given.get("init_images"), list):
            rest: Iterator[Any] = iter(taken.get("init_images", ()))
            found["init_images"] = [
                self._binding(value, f"{_WHERE}.init_images.{n}")
                if self._parent(value) is not None
                else next(rest)
                for n, value in enumerate(self.given["init_images"])
            ]
        if self._parent(self.given.get("mask")) is not None:
            found["mask"] = self._binding(self.given["mask"], f"{_WHERE}.mask")
        return found

    def _parent(self, value: Any) -> Job | None:
        job_id = _job_of(value)
        return self.making.get(job_id) if job_id is not None else None

    def _binding(self, value: Mapping[str, Any], where: str) -> dict[str, Any]:
        parent = self._parent(value)
        if parent is None:  # it was there a moment ago
            raise ValueError(where)
        number = value.get("image", 0)
        if type(number) is not int or not 0 <= number < parent.images_wanted:
            raise bad_field(
                where, f"names a picture of a job that makes {parent.images_wanted}, from 0 on."
            )
        return {"job": str(parent.pk), "image": number}


def check_no_circle(
    needs: Mapping[UUID, Iterable[UUID]], where: Callable[[UUID], str] = str
) -> None:
    """Refuse jobs that would wait for each other; raise InvalidInput (`dependency_cycle`)."""
    if circle := circle_in(needs):
        places = ", ".join(where(job) for job in circle[:5])
        sentence = f"These jobs wait for each other, so none would ever start: {places}."
        raise InvalidInput(sentence, error="dependency_cycle", fields={"jobs": [sentence]})
