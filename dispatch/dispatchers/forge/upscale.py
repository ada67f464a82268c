"""Making one picture larger: a route of its own, which knows no task ids and no checkpoint.

contracts/forge.md, "Queue, progress", and the recordings img2img/extra-single-image*.json.
"""

import html
import io
import re
from collections.abc import Mapping
from typing import Any

from dispatch.dispatchers.base import (
    Answer,
    BackendError,
    ErrorClass,
    LostAnswer,
    Order,
    Picture,
    Request,
)
from dispatch.dispatchers.forge.untrusted import text
from dispatch.inventory import ServerInventory
from gallery.metadata import texts_in
from jobs import encoded
from jobs.choices import Kind
from jobs.infotext import Infotext, parse, write
from jobs.infotext.scan import read_pairs
from jobs.pictures import inspect
from jobs.upscaling import factor_of, result_size, why_too_large

__all__ = ["KIND", "PATH", "build", "is_all_that_shows", "read"]

KIND = Kind.UPSCALE
PATH = "/sdapi/v1/extra-single-image"
_JOB = "Upscale"  # what state.job says meanwhile
_DONE = re.compile(r"Postprocess upscale by: [^<>\n]{1,300}")
_MAX_FACTS = 1000
_MAX_SHOWN = 64 * 1024  # a job's row stays small (design §4)
_MOST_NAMED = 5


def build(order: Order, inventory: ServerInventory | None) -> Request:
    """Return the request.

    Raises BackendError: elsewhere if the server lacks the upscaler, permanent for a picture that
    can't be read or would get too large.
    """
    factor = factor_of(order.params)
    upscaler = _listed(str(order.params["upscaler"]), inventory)
    picture = str(order.params["init_images"][0])
    found = encoded.decode(picture)
    try:
        size = inspect(found.content if found else b"")
    except ValueError as error:
        raise BackendError(
            ErrorClass.PERMANENT,
            "init_image_invalid",
            f"The picture to upscale {error}",
            "Submit the job again with another picture.",
        ) from error
    if sentence := why_too_large(size.width, size.height, factor):
        raise BackendError(
            ErrorClass.PERMANENT, "result_too_large", sentence, "Submit it with a smaller factor."
        )
    width, height = result_size(size.width, size.height, factor)
    return Request(
        path=PATH,
        body={"image": picture, "upscaler_1": upscaler, "upscaling_resize": factor},
        asked={
            "upscaler": upscaler,
            "factor": factor,
            "infotext": _infotext_in(found.content if found else b""),
            "images": 1,
            "pixels": width * height,
            "unbounded": False,
        },
        uses_model=False,
    )


def _listed(name: str, inventory: ServerInventory | None) -> str:
    """Return the upscaler in the server's own spelling: it takes no other."""
    if inventory is None or not inventory.upscalers:
        return name
    if known := inventory.image_upscaler(name):
        return known
    there = inventory.image_upscalers
    shown = ", ".join(there[:_MOST_NAMED]) + (", …" if len(there) > _MOST_NAMED else "")
    raise BackendError(
        ErrorClass.ELSEWHERE,
        "upscaler_missing",
        f"The server does not have the upscaler {name}.",
        f"Copy it to the server, or choose one that is there: {shown}.",
    )


def _infotext_in(picture: bytes) -> str:
    """Return what a PNG says of how it was made: the larger one is still that picture."""
    return text(texts_in(io.BytesIO(picture)).by_keyword.get("parameters", ""))


def read(body: Any, request: Request) -> Answer:
    """Return the answer; raises BackendError without a picture, LostAnswer if unreadable."""
    try:
        image = body["image"]
        found = encoded.decode(image) if image else None
        facts = _facts(body.get("html_info"), request)
    except (AttributeError, KeyError, TypeError) as error:
        raise _unreadable() from error
    if not image:
        raise BackendError(
            ErrorClass.TRANSIENT,
            "no_images",
            "The server answered without a picture.",
            "Look at the server's console. The job is tried again.",
        )
    if found is None:
        raise _unreadable()
    infotext, seed = _infotext(request.asked["infotext"], facts)
    return Answer(
        pictures=[Picture(data=found.content, infotext=infotext, seed=seed)],
        generation_info={
            "infotexts": [infotext] if len(infotext) <= _MAX_SHOWN else [],
            "image_count": 1,
            "upscaler": request.asked["upscaler"],
            "upscale_by": request.asked["factor"],
        },
        warnings=request.warnings,
    )


def _unreadable() -> LostAnswer:
    return LostAnswer(
        "The server's answer can't be read.",
        code="bad_answer",
        hint="Is this address really the image server? Test the connection.",
    )


def _facts(html_info: Any, request: Request) -> str:
    """Return what the server says it did, "Postprocess upscale by: 2.0, …"; else what was asked."""
    said = _DONE.search(html.unescape(text(html_info or "", _MAX_FACTS)))
    asked = request.asked
    by, name = asked["factor"], asked["upscaler"]
    return said[0] if said else f"Postprocess upscale by: {by}, Postprocess upscaler: {name}"


def _infotext(before: str, facts: str) -> tuple[str, int | None]:
    """Return the picture's infotext with what was done to it now, and the seed that it names."""
    if not before:
        return facts, None
    try:
        old = parse(before)
        fields = (*old.fields, *read_pairs(facts))
        whole = write(Infotext(old.prompt, old.negative_prompt, fields, old.notes))
    except ValueError:  # it says something that the format can't say again
        return f"{before}\n{facts}", None
    seed = old.get("Seed")
    return whole, int(seed) if seed.isdecimal() and len(seed) < 20 else None


def is_all_that_shows(state: Mapping[str, Any]) -> bool:
    """Tell whether an upscale runs, or one has failed: state.job stays until the next run then."""
    return state.get("job") == _JOB
