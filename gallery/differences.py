"""What was done otherwise than asked, read from the pictures' own metadata."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from PIL import Image as Pillow

from gallery.files import read_image
from gallery.models import Image
from jobs.choices import Status
from jobs.infotext import Infotext, parse
from jobs.models import Attempt, Job
from jobs.ports import Difference, Differences
from models_catalog.resolve import bare_name, model_key

__all__ = ["differences", "of_job"]

# A picture of one colour compresses to almost nothing; only such a small file is opened.
_FLAT_BYTES = 2048
_FLAT_BYTES_PER_PIXEL = 0.02
_MOST_OPENED = 4
_NOT_WORD = re.compile(r"[^a-z0-9]+")


def of_job(job: Job, attempts: Sequence[Attempt]) -> Differences:
    """Fill the port `differences`."""
    return differences(job, attempts, list(job.images.order_by("index")))


def differences(job: Job, attempts: Sequence[Attempt], images: Sequence[Image]) -> Differences:
    """Compare a job with the pictures that it became, the rejected ones as well."""
    rows = list(dict.fromkeys(row for image in images[:1] for row in _rows(job, image)))
    rows += [row for image in images if image.rejected for row in _rows(job, image)]
    notes = [*job.warnings, *_measures(attempts), *_count(job, images), *_flat(images)]
    return Differences(list(dict.fromkeys(rows)), list(dict.fromkeys(notes)))


def _rows(job: Job, image: Image) -> Iterator[Difference]:
    try:
        info = parse(image.infotext)
    except ValueError:
        return
    params = job.generation_params
    if _other_checkpoint(job.checkpoint, info.get("Model"), image.checkpoint):
        yield Difference("Checkpoint", job.checkpoint, info.get("Model") or image.checkpoint)
    yield from _other_text(params, info, "Sampler", "sampler_name")
    yield from _other_text(params, info, "Schedule type", "scheduler")
    yield from _other_numbers(params, info)
    yield from _other_size(params, info)
    yield from _ignored_settings(params, info)


def _other_checkpoint(asked: str, *done: str) -> bool:
    told = [_model(name) for name in done if name]
    return bool(asked and told) and _model(asked) not in told


def _model(name: str) -> str:
    return bare_name(model_key(name))


def _other_text(
    params: Mapping[str, Any], info: Infotext, field: str, name: str
) -> Iterator[Difference]:
    asked, done = str(params.get(name) or ""), info.get(field)
    # "DPM++ 2M Karras" asks for a sampler and its schedule; "Automatic" leaves the choice.
    if not asked or not done or _plain(asked) == "automatic":
        return
    if not _plain(asked).removeprefix("k").startswith(_plain(done).removeprefix("k")):
        yield Difference(field, asked, done)


def _plain(name: str) -> str:
    return _NOT_WORD.sub("", name.lower().replace("++", "pp"))


def _other_numbers(params: Mapping[str, Any], info: Infotext) -> Iterator[Difference]:
    for field, name in (("Seed", "seed"), ("Steps", "steps"), ("CFG scale", "cfg_scale")):
        asked, done = params.get(name), info.get(field)
        if asked is None or asked == -1 or not done:
            continue
        try:
            same = int(asked) == int(done) if field == "Seed" else float(asked) == float(done)
        except (TypeError, ValueError, OverflowError):
            continue
        if not same:
            yield Difference(field, str(asked), done)


def _other_size(params: Mapping[str, Any], info: Infotext) -> Iterator[Difference]:
    asked = f"{params.get('width')}x{params.get('height')}"
    done = info.get("Size")
    if done and params.get("width") and params.get("height") and done != asked:
        yield Difference("Size", asked.replace("x", " × "), done.replace("x", " × "))


# Settings that a request may override, and the field by which the picture tells of them.
_SETTINGS = {"CLIP_stop_at_last_layers": "Clip skip", "sd_vae": "VAE"}


def _ignored_settings(params: Mapping[str, Any], info: Infotext) -> Iterator[Difference]:
    settings = params.get("override_settings")
    for name, field in _SETTINGS.items():
        asked = settings.get(name) if isinstance(settings, Mapping) else None
        done = info.get(field)
        if asked is None or not done or str(asked) in ("Automatic", "None"):
            continue
        if _model(str(asked)) != _model(done):
            yield Difference(f"{field} (override setting {name})", str(asked), done)


def _measures(attempts: Sequence[Attempt]) -> Iterator[str]:
    for attempt in attempts:
        for measure in attempt.measures:
            yield str(measure)


def _count(job: Job, images: Sequence[Image]) -> Iterator[str]:
    made = sum(not image.rejected for image in images)
    if job.status == Status.COMPLETED and made and made < job.images_wanted:
        yield f"{job.images_wanted} pictures were asked for. The server made {made}."


def _flat(images: Sequence[Image]) -> Iterator[str]:
    """Name pictures of one colour: the server answers them as if nothing had gone wrong."""
    suspects = [image for image in images if _is_tiny(image)][:_MOST_OPENED]
    for image in suspects:
        colour = _only_colour(image)
        if colour is not None:
            name = "black" if not any(colour) else "of one colour"
            yield (
                f"Picture {image.index + 1} is all {name}. The usual cause is a VAE that fails in"
                " half precision: try another VAE, or start the server with --no-half-vae."
            )


def _is_tiny(image: Image) -> bool:
    return image.bytes < _FLAT_BYTES + _FLAT_BYTES_PER_PIXEL * image.width * image.height


def _only_colour(image: Image) -> tuple[int, ...] | None:
    try:
        with Pillow.open(io.BytesIO(read_image(image))) as picture:
            extremes = picture.convert("RGB").getextrema()
    except (OSError, ValueError, Pillow.DecompressionBombError):
        return None
    bands = [band for band in extremes if isinstance(band, tuple)]
    if any(low != high for low, high in bands):
        return None
    return tuple(int(low) for low, _ in bands)
