"""Pictures of another program's folder, taken into the gallery with what is written in them."""

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from apikeys.actors import Actor
from gallery.files import image_store
from gallery.metadata import png_texts
from gallery.models import Image
from gallery.pictures import inspect
from jobs import events, journal
from jobs.checksums import IMAGE, of_row
from jobs.exchange import other_id
from jobs.infotext import parse
from jobs.infotext.params import understand
from jobs.models import Job
from jobs.params.loras import loras_in_prompt
from jobs.pictures import verify
from mobilesd.storage import StoredFile

__all__ = ["FoundPicture", "PictureImport", "read_file"]

MAX_BYTES = 256 * 1024 * 1024
_INDEXES = 32_000


def read_file(path: Path, most: int) -> bytes:
    """Return the bytes of an ordinary file; raise OSError for a link, a device, or too much.

    A link could name any file of this computer, and a pipe would never end.
    """
    no_links = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    if path.is_symlink():
        raise OSError("is a link to another place")
    with os.fdopen(
        os.open(path, os.O_RDONLY | no_links | getattr(os, "O_BINARY", 0)), "rb"
    ) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError("is no ordinary file")
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(f"has more than {most // 2**20} MB")
    return content


@dataclass(frozen=True)
class FoundPicture:
    """A picture by the name that it has in its folder, and the job that made it, by its old id."""

    name: str
    job: UUID | None
    server_alias: str


class PictureImport:
    """Takes pictures out of one folder; one that the owner has already is left as it is."""

    def __init__(self, actor: Actor, folder: Path, *, dry_run: bool) -> None:
        self._actor = actor
        self._folder = folder
        self._dry_run = dry_run
        self.made = 0
        self.here = 0
        self.left_out: list[str] = []

    def take(self, found: FoundPicture) -> None:
        """Take one picture; what is wrong with it stands in `left_out`."""
        if found.name in ("", ".", "..") or {"/", "\\", "\x00"} & set(found.name):
            self.left_out.append(f"The picture {found.name[:60]!r} is no name of a file.")
            return
        path = self._folder / found.name
        try:
            content = read_file(path, MAX_BYTES)
            verify(content)
            inspect(content)
        except (OSError, ValueError) as error:
            text = getattr(error, "strerror", None) or error
            self.left_out.append(f"The picture {found.name[:60]!r} is left out: it {text}.")
            return
        store = image_store()
        stored = None if self._dry_run else store.put(content)
        if stored is None or self._insert(found, content, stored, _changed_at(path)):
            self.made += 1
        else:
            self.here += 1

    def _insert(
        self, found: FoundPicture, content: bytes, stored: StoredFile, at: datetime
    ) -> bool:
        info = inspect(content)
        said = _said_in(stored)
        with transaction.atomic():
            job = self._job(found)
            own = Image.objects.filter(
                sha256=stored.sha256,
                owner_id=self._actor.user_id,
                api_key_prefix=self._actor.key_prefix or "",
            )
            if own.filter(job=job).exists():
                return False
            image_store().keep(stored.sha256, stored.bytes, partial(bytes, content))
            index = Image.objects.filter(job=job).count() % _INDEXES if job else 0
            image = Image(
                sha256=stored.sha256,
                format=info.format,
                width=info.width,
                height=info.height,
                bytes=stored.bytes,
                # Always the same for the same picture: two imports at once make one row.
                attempt=other_id("picture", job.pk if job else self._actor.scope, stored.sha256),
                index=index,
                job=job,
                owner_id=self._actor.user_id,
                api_key_prefix=self._actor.key_prefix or "",
                server_alias=found.server_alias[:64],
                app_type=job.app_type if job else settings.DEFAULT_APP_TYPE,
                created_at=at,
                **_described(said, job),
            )
            image.checksum = of_row(image, IMAGE)
            image.save(force_insert=True)
            journal.add([{"image": journal.record_of(image)}])
            if job is not None:
                told = {"job": str(job.pk), "image": str(image.pk), "index": image.index}
                events.emit_for_job("image.created", job, told)
        return True

    def _job(self, found: FoundPicture) -> Job | None:
        if found.job is None:
            return None
        ids = (found.job, other_id(found.job, self._actor.scope))
        return Job.objects.visible_to(self._actor).filter(pk__in=ids).first()


def _changed_at(path: Path) -> datetime:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, OverflowError, ValueError):
        return datetime.now(UTC)


def _said_in(stored: StoredFile) -> str:
    with suppress(FileNotFoundError):
        return png_texts(stored.path).by_keyword.get("parameters", "").replace("\x00", "")
    return ""


def _described(said: str, job: Job | None) -> dict[str, Any]:
    """Return the columns that tell how a picture was made: by its own text, else by its job."""
    params: Mapping[str, Any] = job.generation_params if job else {}
    with suppress(ValueError):
        if said:
            params = {**params, **understand(parse(said), {}).params}
    checkpoint = str(params.get("checkpoint_name", ""))[:500]
    seed = params.get("seed", "")
    return {
        "infotext": said,
        "parameters": {name: v for name, v in params.items() if name != "alwayson_scripts"},
        "checkpoint": checkpoint,
        "loras": loras_in_prompt(str(params.get("positive_prompt", ""))),
        "seed": str(seed) if type(seed) is int and 0 <= seed < 2**64 else "",
    }
