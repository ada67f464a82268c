"""Deletes the picture files that no picture needs any more, and their thumbnails."""

import contextlib
from collections.abc import Sequence
from itertools import islice

from gallery.files import image_store
from gallery.models import Image
from gallery.thumbnails import thumbnail_folder
from mobilesd.storage import ContentStore, collect

__all__ = ["collect_images"]

_LOOK_AHEAD = 200


def collect_images() -> int:
    """Delete unneeded picture files (protocol rule 22) and thumbnails; return how many pictures."""
    deleted = collect(image_store(), _in_use)
    _collect_thumbnails()
    return deleted


def _in_use(hashes: Sequence[str]) -> set[str]:
    rows = Image.objects.filter(sha256__in=hashes)
    return set(rows.values_list("sha256", flat=True).distinct())


def _collect_thumbnails() -> None:
    """Delete the thumbnails of pictures that are gone, without a lock: they can be made again."""
    ContentStore(thumbnail_folder()).remove_leftovers()
    files = thumbnail_folder().glob("*/*.webp")
    while batch := list(islice(files, _LOOK_AHEAD)):
        used = _in_use(list({file.name[:64] for file in batch}))
        for file in batch:
            if file.name[:64] not in used:
                with contextlib.suppress(OSError):
                    file.unlink()
