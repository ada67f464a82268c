"""Files of pictures that nothing tells of any more, and the jobs that they can only belong to.

The journal tells whose the files are (`journal.result`). What is left here was written in the
moment before that line, or the line is damaged. A picture is given to a job only if everything that
it says of itself is what that job asks for, and no other job asks for the same.
"""

import logging
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from gallery.files import image_store
from gallery.metadata import png_texts
from gallery.models import Image
from gallery.pictures import inspect
from jobs.checksums import IMAGE, of_row
from jobs.infotext import Infotext, parse
from jobs.models import Job
from jobs.params.loras import loras_in_prompt
from models_catalog.resolve import bare_name, model_key

__all__ = ["Orphan", "find", "match", "row_of"]

log = logging.getLogger(__name__)

_NOT_WORD = re.compile(r"[^a-z0-9]+")
_HASH = re.compile(r"\[([0-9a-fA-F]{6,64})\]\s*$")


@dataclass(frozen=True)
class Orphan:
    """A file with what it says of itself."""

    path: Path
    text: str
    info: Infotext

    @property
    def seed(self) -> int | None:
        """Return the seed that it was made with."""
        told = self.info.get("Seed")
        return int(told) if told.isdecimal() else None


def find(known: Collection[str]) -> Iterator[Orphan]:
    """Yield the pictures on disk whose hash is not known."""
    for path in sorted(image_store().root.glob("??/" + "?" * 64)):
        if path.name in known:
            continue
        text, info = "", Infotext()
        try:
            text = png_texts(path).by_keyword.get("parameters", "")
            info = parse(text)
        except (OSError, ValueError):
            pass  # a picture of nobody
        yield Orphan(path, text, info)


def match(found: Iterable[Orphan], jobs: Iterable[Job]) -> list[tuple[Job, Sequence[Orphan]]]:
    """Return the jobs of which all pictures are there, with these in order, one a seed.

    A picture that several jobs could have made is nobody's, and half of the pictures are no result.
    """
    by_prompt: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        if job.prompt and isinstance(job.generation_params.get("seed"), int):
            by_prompt[job.prompt.strip()].append(job)
    own: dict[UUID, dict[int, Orphan]] = defaultdict(dict)
    of_id: dict[UUID, Job] = {}
    # Of several of one seed the newest: the job was tried again.
    for orphan in sorted(found, key=lambda orphan: orphan.path.stat().st_mtime):
        fitting = [job for job in by_prompt[orphan.info.prompt.strip()] if _fits(job, orphan)]
        if len(fitting) == 1 and orphan.seed is not None:
            [job] = fitting
            of_id[job.pk] = job
            own[job.pk][orphan.seed - job.generation_params["seed"]] = orphan
    return [
        (of_id[job_id], [by_number[number] for number in sorted(by_number)])
        for job_id, by_number in own.items()
        if len(by_number) == of_id[job_id].images_wanted
    ]


def _fits(job: Job, orphan: Orphan) -> bool:
    params, info = job.generation_params, orphan.info
    if orphan.seed is None or orphan.seed - params["seed"] not in range(job.images_wanted):
        return False
    asked = {
        "Negative": str(params.get("negative_prompt") or "").strip(),
        "Steps": str(params.get("steps") or ""),
        "Size": f"{params.get('width')}x{params.get('height')}",
        "CFG scale": params.get("cfg_scale"),
    }
    return (
        asked["Negative"] == info.negative_prompt.strip()
        and asked["Steps"] in ("", info.get("Steps"))
        and asked["Size"] == info.get("Size")
        and _same_number(asked["CFG scale"], info.get("CFG scale"))
        and _same_sampler(params, info)
        and _same_model(job, info)
    )


def _same_number(asked: object, told: str) -> bool:
    if asked is None:
        return True
    try:
        return float(str(asked)) == float(told)
    except ValueError:
        return False


def _same_sampler(params: Mapping[str, object], info: Infotext) -> bool:
    """Compare samplers; older servers write the schedule behind the sampler's name."""
    asked, schedule = _plain(params.get("sampler_name")), _plain(params.get("scheduler"))
    told, told_schedule = _plain(info.get("Sampler")), _plain(info.get("Schedule type"))
    schedule = "" if schedule == "automatic" else schedule
    return asked in ("", told, told + told_schedule) and (
        schedule in ("", told_schedule) or told.endswith(schedule)
    )


def _plain(name: object) -> str:
    return _NOT_WORD.sub("", str(name or "").lower().replace("++", "pp")).removeprefix("k")


def _same_model(job: Job, info: Infotext) -> bool:
    """Compare the checkpoint by its name, and by its hash where both have one."""
    if not job.checkpoint:
        return True  # whatever was loaded
    named = _HASH.search(job.checkpoint)
    asked = named[1] if named else str(job.generation_params.get("model_hash") or "")
    short, long = sorted([asked.lower(), info.get("Model hash").lower()], key=len)
    return long.startswith(short) and _bare(job.checkpoint) == _bare(info.get("Model"))


def _bare(name: str) -> str:
    return bare_name(model_key(name))


def row_of(orphan: Orphan, job: Job | None, attempt: UUID, index: int) -> Image | None:
    """Return a row for the file, not saved yet; None if it is no picture."""
    try:
        content = orphan.path.read_bytes()
        info = inspect(content)
    except (OSError, ValueError) as error:
        log.warning("recovery: %s is no picture: %s", orphan.path.name, error)
        return None
    made = Image(
        sha256=orphan.path.name,
        format=info.format,
        width=info.width,
        height=info.height,
        bytes=len(content),
        attempt=attempt,
        index=index,
        job=job,
        owner_id=job.owner_id if job else None,
        api_key_prefix=(job.api_key_id or "") if job else "",
        server_alias=job.server_alias if job else "",
        app_type=job.app_type if job else "",
        infotext=orphan.text,
        parameters=dict(job.generation_params) if job else {},
        checkpoint=orphan.info.get("Model") or (job.checkpoint if job else ""),
        loras=loras_in_prompt(orphan.info.prompt),
        seed=str(orphan.seed or "")[:20] if orphan.seed is not None else "",
        created_at=datetime.fromtimestamp(orphan.path.stat().st_mtime, UTC),
    )
    made.checksum = of_row(made, IMAGE)
    return made
