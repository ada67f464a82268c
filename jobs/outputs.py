"""Pictures that other jobs have yet to make: found in the parameters, and put there when sent."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from apikeys.actors import SYSTEM
from jobs import encoded
from jobs.ports import ports
from mobilesd.errors import Problem

__all__ = ["OutputMissing", "bound_jobs", "is_binding", "with_outputs"]


class OutputMissing(Exception):
    """A picture of another job that this one is to be made from is not there; a sentence."""


def bound_jobs(params: Mapping[str, Any]) -> list[UUID]:
    """Return the jobs whose pictures stored parameters wait for, each once."""
    return list(dict.fromkeys(UUID(binding["job"]) for binding in _bindings(params)))


def _bindings(params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    pictures = params.get("init_images")
    for value in [*(pictures if isinstance(pictures, list) else ()), params.get("mask")]:
        if is_binding(value):
            yield value


def is_binding(value: Any) -> bool:
    """Tell whether a value of the parameters stands for another job's picture."""
    return isinstance(value, Mapping) and set(value) == {"job", "image"}


def with_outputs(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored parameters with the pictures of other jobs in the places kept for them.

    Only now, because they may have been deleted until the very moment; raises OutputMissing then,
    FileNotFoundError if only the file is gone.
    """
    found = dict(params)
    if isinstance(found.get("init_images"), list):
        found["init_images"] = [_output(value) for value in found["init_images"]]
    if "mask" in found:
        found["mask"] = _output(found["mask"])
    return found


def _output(value: Any) -> Any:
    if not is_binding(value):
        return value
    try:
        content, mime = ports.picture_bytes(value, SYSTEM)
    except Problem as problem:
        raise OutputMissing(
            f"Picture {value['image'] + 1} of the job {value['job']} is not there: that job made"
            " none, or it was deleted."
        ) from problem
    return encoded.encode("base64", mime, content)
