"""What the API's document says of pictures."""

from typing import Any

from django.conf import settings

from gallery.thumbnails import SIZES
from mobilesd.schema.common import PAGE_COUNTS, PAGING
from mobilesd.schema.operations import Answer, Operation, Operations, header, query
from mobilesd.schema.shapes import (
    Shape,
    enveloped,
    flag,
    listed,
    mapping,
    moment,
    nullable,
    obj,
    ref,
    text,
    uuid,
    whole,
)

__all__ = ["COMPONENTS", "OPERATIONS"]

_ID = "7a1c3c1e-5e1b-4a53-8f0e-0f6a0a3e5b11"
_JOB = "0b7f6d52-0d0e-4f57-9f5e-2a5f6c1f4f10"
_PATH = {"image_id": uuid("The picture's id.", example=_ID)}
_IF_NONE_MATCH = header("If-None-Match", text("The ETag that you have: 304 while it is current."))
_BYTES: Shape = {"type": "string", "contentMediaType": "application/octet-stream"}
_NOT_CHANGED = Answer("You have it already.", headers=("ETag", "Cache-Control"))

_IMAGE: dict[str, Shape] = {
    "id": uuid("The picture's id."),
    "filename": text("Its name as a file."),
    "url": text("Where to get it, with the same key."),
    "thumbnail_url": text("A small copy of it."),
    "width": whole("Pixels.", 0),
    "height": whole("Pixels.", 0),
    "bytes": whole("Size of the file.", 0),
    "sha256": text("Of the file.", pattern="^[0-9a-f]{64}$"),
    "created": moment(),
    "mobilesd_job_id": nullable(uuid("The job that made it; null if that is deleted.")),
    "server_alias": text("The server that made it."),
    "app_type": text("What kind of server that was."),
    "positive_prompt": text(),
    "negative_prompt": text(),
    "checkpoint_name": nullable(text("The model.")),
    "loras": listed({}, "The LoRAs."),
    "seed": nullable(whole("Its own seed.")),
    "parameters": mapping(True, "All parameters that are known."),
    "infotext": text("The parameters as the server wrote them."),
    "warnings": listed(text(), "What is odd about it."),
    "rejected": flag("It is not what was asked for; kept to look at."),
    "favourite": flag(),
    "rating": nullable(whole()),
    "tags": listed(text()),
    "albums": listed({}),
}
COMPONENTS: dict[str, Shape] = {
    "Image": obj(_IMAGE, "A picture, without its bytes."),
    "ImageInfo": obj(
        {
            **_IMAGE,
            "metadata": obj(
                {
                    "format": text("png, jpeg or webp."),
                    "text": mapping(True, "The texts that a PNG holds, by keyword."),
                    "complete": flag("False when there are more than are shown."),
                }
            ),
        },
        "A picture with what its file says of itself.",
    ),
}
_EXAMPLE: dict[str, Any] = {
    "id": _ID,
    "filename": "00042-a-lighthouse.png",
    "url": f"/api/v1/gallery/images/{_ID}/file",
    "thumbnail_url": f"/api/v1/gallery/images/{_ID}/thumbnail",
    "width": 768,
    "height": 512,
    "bytes": 512_381,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "created": "2026-01-31T18:00:21.480Z",
    "mobilesd_job_id": _JOB,
    "server_alias": "gaming-pc",
    "app_type": settings.DEFAULT_APP_TYPE,
    "positive_prompt": "a lighthouse at dusk, oil painting",
    "negative_prompt": "blurry",
    "checkpoint_name": "sd_xl_base_1.0.safetensors",
    "loras": [],
    "seed": 42,
    "parameters": {"positive_prompt": "a lighthouse at dusk, oil painting", "steps": 20},
    "infotext": "a lighthouse at dusk, oil painting\nSteps: 20, Sampler: Euler a, Seed: 42",
    "warnings": [],
    "rejected": False,
    "favourite": False,
    "rating": None,
    "tags": [],
    "albums": [],
}
_INFO_EXAMPLE: dict[str, Any] = {
    **_EXAMPLE,
    "metadata": {
        "format": "png",
        "text": {"parameters": _EXAMPLE["infotext"]},
        "complete": True,
    },
}
_FILTERS = (
    query("job", uuid("Only pictures of this job.")),
    query("server", text("Only pictures that this server made.")),
    query("app_type", text("Only pictures that this kind of server made.")),
    query("from", moment("Only pictures from then on.")),
    query("to", moment("Only pictures from before then.")),
)


def _file(description: str, *media: str) -> dict[int, Answer]:
    found = Answer(description, _BYTES, media=media, headers=("ETag", "Cache-Control"))
    return {200: found, 304: _NOT_CHANGED}


_PAGE = {**PAGE_COUNTS, "images": listed(ref("Image"))}
_PAGE_EXAMPLE = {"total": 1, "total_is_exact": True, "next_cursor": None, "images": [_EXAMPLE]}


def _one(version: str, component: str, example: dict[str, Any]) -> dict[int, Answer]:
    """Return the answer with one picture: v1 flat, v2 in an envelope."""
    if version == "v1":
        return {200: Answer("The picture.", ref(component), example)}
    shape = enveloped({"image": ref(component)})
    return {200: Answer("The picture.", shape, {"success": True, "image": example})}


def _of(version: str, base: str) -> Operations:
    """Return the operations of one version of the API, below `base`."""
    prefix = "v1_" if version == "v1" else ""
    tag = "Pictures (v1)" if version == "v1" else "Pictures"
    listing = obj(_PAGE) if version == "v1" else enveloped(_PAGE)
    page = _PAGE_EXAMPLE if version == "v1" else {"success": True, **_PAGE_EXAMPLE}
    one = f"{base}/{{image_id}}"
    return {
        ("GET", base): Operation(
            name=f"{prefix}images",
            tag=tag,
            summary="List pictures, newest first.",
            parameters=(*_FILTERS, *PAGING),
            answers={200: Answer("The pictures.", listing, page)},
            errors=("unsupported_parameter",),
        ),
        ("GET", one): Operation(
            name=f"{prefix}image",
            tag=tag,
            summary="Show a picture's parameters.",
            path=_PATH,
            answers=_one(version, "Image", _EXAMPLE),
            errors=("image_not_found",),
        ),
        ("GET", f"{one}/info"): Operation(
            name=f"{prefix}image_info",
            tag=tag,
            summary="Show a picture's parameters, and the texts that its file holds.",
            path=_PATH,
            answers=_one(version, "ImageInfo", _INFO_EXAMPLE),
            errors=("image_not_found",),
        ),
        ("GET", f"{one}/file"): Operation(
            name=f"{prefix}image_file",
            tag=tag,
            summary="Get the picture itself, byte for byte as the server made it.",
            path=_PATH,
            parameters=(_IF_NONE_MATCH,),
            answers=_file("The file.", "image/png", "image/jpeg", "image/webp"),
            errors=("image_not_found",),
        ),
        ("GET", f"{one}/thumbnail"): Operation(
            name=f"{prefix}image_thumbnail",
            tag=tag,
            summary="Get a small copy of the picture.",
            path=_PATH,
            parameters=(
                query(
                    "size",
                    whole("Pixels along its longer edge.", enum=list(SIZES), default=SIZES[0]),
                ),
                _IF_NONE_MATCH,
            ),
            answers=_file("The copy.", "image/webp"),
            errors=("image_not_found",),
        ),
    }


OPERATIONS: Operations = {**_of("v1", "/api/v1/gallery/images"), **_of("v2", "/api/v2/images")}
