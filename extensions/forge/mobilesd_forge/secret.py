"""The API key, in a file that only its owner can read.

It is no option of Forge's: /internal/sysinfo prints all of them to anybody, and `POST
/sdapi/v1/options` sets them. For the same reason the key belongs to the address that it was
entered for: who changes the address must not be sent the key.

Gradio's /file= gives out any file below Forge's folder whose name one knows, and lists none. So
the file's name is a random one.
"""

import contextlib
import json
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from mobilesd_forge.disk import FileLock, write_whole

__all__ = ["BadKey", "KeyFile", "StoredKey", "installation_id"]

_FORM = re.compile(r"[!-~]{1,64}\.[!-~]{8,200}")
_PREFIX = "api_key-"
_ID = re.compile(r"[0-9a-f]{12}")


class BadKey(ValueError):
    """The text can't be an API key; it is not repeated."""


@dataclass(frozen=True)
class StoredKey:
    """A key `P.S` and the address that it is for."""

    key: str = field(repr=False)
    address: str

    @property
    def prefix(self) -> str:
        """Return the part that is no secret."""
        return self.key.partition(".")[0]


class KeyFile:
    """The one key of this installation."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> StoredKey | None:
        """Return the key, or None if there is none that can be read."""
        for file in self._files():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                found = json.loads(file.read_bytes())
                return StoredKey(checked_key(found["key"]), str(found["address"]))
        return None

    def store(self, key: str, address: str) -> StoredKey:
        """Store a key in place of the one before; raise BadKey or OSError."""
        stored = StoredKey(checked_key(key), address)
        self._folder.mkdir(parents=True, exist_ok=True)
        before = self._files()
        file = self._folder / f"{_PREFIX}{secrets.token_hex(16)}.json"
        write_whole(file, json.dumps({"key": stored.key, "address": address}).encode())
        for old in before:
            old.unlink(missing_ok=True)
        return stored

    def forget(self) -> None:
        """Remove the key; raise OSError if it stays."""
        for file in self._files():
            file.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        """Return the newest first: a crash may have left the one before."""
        found: list[tuple[int, Path]] = []
        for file in self._folder.glob(f"{_PREFIX}*.json"):
            with contextlib.suppress(FileNotFoundError):
                found.append((file.stat().st_mtime_ns, file))
        return [file for _, file in sorted(found, reverse=True)]


def checked_key(text: str) -> str:
    """Return a key without the spaces around it; raise BadKey if it can't be one."""
    text = text.strip()
    if not _FORM.fullmatch(text):
        raise BadKey("This is no API key of MobileSD: a key has two parts with a dot between them.")
    return text


def installation_id(folder: Path) -> str:
    """Return the id that tells this installation from others; it is made once.

    Raises OSError where the folder can't be written.
    """
    file = folder / "installation_id"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock").held():  # two processes of one folder are one installation
        with contextlib.suppress(FileNotFoundError, UnicodeDecodeError):
            text = file.read_text().strip()
            if _ID.fullmatch(text):
                return text
        made = secrets.token_hex(6)
        write_whole(file, made.encode())
        return made
