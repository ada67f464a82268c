"""The extension of an engine's own page, as a zip that already knows this MobileSD.

The folder is part of the project (`settings.EXTENSIONS_DIR`, one for each app type) and runs in
the engine's process; nothing here imports it.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from mobilesd.errors import NotFound

__all__ = ["SERVER_FILE", "Packed", "folder_of", "pack", "version_of"]

# Read by the extension for the address that it uses until somebody sets another one.
SERVER_FILE = "mobilesd_server.json"
# What running and testing leave behind; `data` holds the key of whoever tried it here.
_LEFT_OUT = {"__pycache__", "data", "node_modules", "tests"}
_VERSION = re.compile(r'^VERSION(?:: \w+)? = "([0-9A-Za-z.+-]{1,40})"', re.MULTILINE)
_MOMENT = (1980, 1, 1, 0, 0, 0)  # the first that a zip can tell: the same folder, the same bytes


@dataclass(frozen=True)
class Packed:
    """The bytes of a zip, what they are called, and what identifies them."""

    content: bytes
    filename: str
    etag: str


def folder_of(app_type: str) -> Path | None:
    """Return where the extension of an app type is, or None if there is none."""
    folder: Path = settings.EXTENSIONS_DIR / app_type
    return folder if app_type in settings.DISPATCHERS and folder.is_dir() else None


def version_of(folder: Path) -> str:
    """Return the version that an extension says of itself, "" if it says none."""
    for file in sorted(folder.glob("*/version.py")):
        if found := _VERSION.search(file.read_text(encoding="utf-8")):
            return found[1]
    return ""


def pack(app_type: str, address: str) -> Packed:
    """Return the extension of an app type with this address in it; raise NotFound.

    The same files and address give the same bytes. One folder holds all, so that unpacking it
    among the engine's extensions is all there is to do.
    """
    folder = folder_of(app_type)
    if folder is None:
        raise NotFound(f"This MobileSD has no extension for {app_type}.")
    name = f"mobilesd-{app_type}"
    files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in _files(folder)}
    files[SERVER_FILE] = json.dumps({"url": address}).encode() + b"\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{name}/{path}", _MOMENT)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    content, version = packed.getvalue(), version_of(folder)
    filename = f"{name}-{version}.zip" if version else f"{name}.zip"
    return Packed(content, filename, hashlib.sha256(content).hexdigest()[:32])


def _files(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.name in _LEFT_OUT or entry.is_symlink():
            continue
        if entry.is_dir():
            yield from _files(entry)
        elif entry.is_file() and entry.suffix not in {".pyc", ".pyo"}:
            yield entry
