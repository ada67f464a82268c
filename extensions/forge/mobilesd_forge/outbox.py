"""Submissions on disk, from the click until MobileSD has them.

    outbox/<number>-<digest>.json   waits; the numbers are the order
    refused/<number>-<digest>.json  MobileSD won't take it as it is; its words are in .why
    damaged/                        can't be read; kept for a person
    sent/<digest>.json              MobileSD has it; kept a while, to know a late second click

A submission is always in one of the folders, and goes from one to another by one rename. The
digest is of the click: it names the submission for good, and makes its idempotency key.

A file is a line of JSON about the submission, then the body for MobileSD in a second line.
"""

import contextlib
import errno
import hashlib
import json
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilesd_forge import disk
from mobilesd_forge.faults import plain

__all__ = ["Entry", "NotAccepted", "Order", "Outbox", "Waiting", "digest_in"]

log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024 * 1024 - 4096  # what MobileSD takes, without what is added when sending
MAX_HEADER = 16 * 1024
SENT_SECONDS = 7 * 24 * 3600.0
_NAME = re.compile(r"(\d{20})-([0-9a-f]{32})\.json")


class NotAccepted(Exception):
    """The submission was not written down; the text says why, for a person."""


@dataclass(frozen=True)
class Order:
    """What somebody clicked: everything but where it goes."""

    params: dict[str, Any]
    target: str = ""
    priority: int = 5
    lane: str = "interactive"
    count: int = 1
    seed_variation: str = "incremental"


@dataclass(frozen=True)
class Entry:
    """A submission as its file's first line tells it."""

    name: str
    prompt: str
    count: int
    created: float
    bulk: bool
    sha256: str


@dataclass(frozen=True)
class Waiting:
    """What the outbox holds now."""

    waiting: tuple[Entry, ...]
    refused: tuple[tuple[Entry, str], ...]
    damaged: tuple[str, ...]


class Outbox:
    """The folder. All threads and processes of one installation may use it at once."""

    def __init__(
        self, folder: Path, installation: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._installation = installation
        self._clock = clock
        self._folder = folder
        self._waiting = folder / "outbox"
        self._refused = folder / "refused"
        self._damaged = folder / "damaged"
        self._sent = folder / "sent"
        for made in (self._waiting, self._refused, self._damaged, self._sent):
            made.mkdir(parents=True, exist_ok=True)
        self._index = disk.FileLock(folder / "index.lock")  # held for short
        self._sending = disk.FileLock(folder / "sending.lock")  # held while one is sent
        self._known: dict[str, Entry] = {}
        self._known_lock = threading.Lock()
        self._clear_up()

    # --- Taking in -----------------------------------------------------------------------------
    def add(self, order: Order, click_id: str) -> bool:
        """Write an order down; return False if this click's order is there already.

        Raises NotAccepted, and then there is nothing of it.
        """
        digest = self.digest_of(click_id)
        head, body = self._written(order, digest)
        try:
            with self._index.held():
                if self._has(digest):
                    return False
                file = self._waiting / f"{self._next_number():020d}-{digest}.json"
                try:
                    disk.write_whole(file, head + b"\n" + body)
                except OSError:
                    # It may be in place, and only the folder could not be written down.
                    file.unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise NotAccepted(_no_room(error)) from error
        return True

    def digest_of(self, click_id: str) -> str:
        """Return what a click is called in file names and as idempotency key."""
        said = f"{self._installation} {click_id or secrets.token_hex(16)}"
        return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def _written(self, order: Order, digest: str) -> tuple[bytes, bytes]:
        bulk = order.count > 1
        asked: dict[str, Any] = {
            "idempotency_key": f"forge-extension {self._installation} {digest}",
            "app_type": "forge",
            "generation_params": order.params,
            "priority": order.priority,
            "lane": order.lane,
        }
        if order.target:
            asked["target_server_alias"] = order.target
        if bulk:
            asked |= {"bulk_quantity": order.count, "seed_variation": order.seed_variation}
        try:
            body = json.dumps(asked, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise NotAccepted(
                f"The settings of this page can't be written as JSON ({plain(error, 120)})."
                " Nothing was queued."
            ) from None
        if len(body) > MAX_BYTES:
            raise NotAccepted(
                f"The pictures are too large: {len(body) / 1_048_576:.0f} MB, and MobileSD takes"
                f" {MAX_BYTES / 1_048_576:.0f} MB. Use smaller pictures. Nothing was queued."
            )
        prompt = order.params.get("positive_prompt") or order.params.get("prompt") or ""
        head = {
            "v": 1,
            "prompt": plain(prompt, 200),
            "count": order.count,
            "created": self._clock(),
            "bulk": bulk,
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        return json.dumps(head).encode(), body

    def _has(self, digest: str) -> bool:
        # In the order in which one moves: it can't slip past while the folders are looked at.
        return (
            any(
                name.endswith(f"-{digest}.json")
                for folder in (self._waiting, self._refused)
                for name in _names(folder)
            )
            or (self._sent / f"{digest}.json").exists()
        )

    def _next_number(self) -> int:
        """Return a number after all that wait, also when the clock was set back."""
        last = max((int(_NAME.fullmatch(name)[1]) for name in _names(self._waiting)), default=0)  # type: ignore[index]
        return max(int(self._clock() * 1e9), last + 1)

    # --- Looking -------------------------------------------------------------------------------
    def count(self) -> int:
        """Return how many wait."""
        return len(_names(self._waiting))

    def refused_count(self) -> int:
        """Return how many MobileSD won't take as they are."""
        return len(_names(self._refused))

    def waiting(self) -> list[str]:
        """Return the names of what waits, first come first."""
        return sorted(_names(self._waiting))

    def look(self) -> Waiting:
        """Return what is there. Costs a look into the folders, and a line of each new file."""
        damaged = [file.name for file in self._damaged.iterdir()]
        waiting = tuple(self._entries(self._waiting, damaged))
        refused = [(e, self._why(e.name)) for e in self._entries(self._refused, damaged)]
        return Waiting(waiting, tuple(refused), tuple(sorted(damaged)))

    def _entries(self, folder: Path, damaged: list[str]) -> Iterator[Entry]:
        for name in sorted(_names(folder)):
            try:
                yield self._entry(folder, name)
            except ValueError:
                damaged.append(name)
            except OSError:  # it was moved meanwhile
                continue

    def _entry(self, folder: Path, name: str) -> Entry:
        """Return what a file's first line tells; raise OSError, or ValueError if it is damaged."""
        with self._known_lock:
            known = self._known.get(name)
        if known is None:
            with (folder / name).open("rb") as opened:
                known = _read_head(name, opened.readline(MAX_HEADER))
            with self._known_lock:
                self._known[name] = known
                while len(self._known) > 10_000:
                    self._known.pop(next(iter(self._known)))
        return known

    def _why(self, name: str) -> str:
        try:
            return plain((self._refused / name).with_suffix(".why").read_text("utf-8", "replace"))
        except OSError:
            return "MobileSD refused it. Try it again to see why."

    # --- Sending -------------------------------------------------------------------------------
    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Be the one of all processes that sends; raise disk.Busy if another one is."""
        with self._sending.held(wait=False):
            yield

    def read(self, name: str) -> tuple[Entry, bytes] | None:
        """Return one with its body; None if it is gone, or was damaged and is set aside.

        Raises OSError where it can't be read now. Call it as the one that sends.
        """
        try:
            content = (self._waiting / name).read_bytes()
        except FileNotFoundError:
            return None
        head, _, body = content.partition(b"\n")
        try:
            entry = _read_head(name, head)
            if hashlib.sha256(body).hexdigest() != entry.sha256:
                raise ValueError("the body is not the one that was written")
        except ValueError as error:
            self._set_aside(name, error)
            return None
        return entry, body

    def delivered(self, name: str) -> None:
        """MobileSD has it."""
        target = self._sent / f"{name.partition('-')[2]}"
        disk.move(self._waiting / name, target)
        with contextlib.suppress(OSError):  # what it held is MobileSD's now
            target.write_bytes(b"{}")

    def refuse(self, name: str, why: str) -> None:
        """MobileSD will not take it as it is: keep it, with the reason, out of the way."""
        disk.move(self._waiting / name, self._refused / name)
        with contextlib.suppress(OSError):
            disk.write_whole((self._refused / name).with_suffix(".why"), why.encode())

    def _set_aside(self, name: str, error: ValueError) -> None:
        log.error("MobileSD: a submission can't be read and is kept in %s: %s", self._damaged, name)
        log.debug("what is wrong with it: %s", error)
        disk.move(self._waiting / name, self._damaged / name)

    # --- A person's decisions --------------------------------------------------------------------
    def again(self, name: str) -> bool:
        """Let a refused one wait again, after all others; False if there is none of that name."""
        found = _NAME.fullmatch(name)
        with self._index.held():
            if found is None or not (self._refused / name).exists():
                return False
            target = self._waiting / f"{self._next_number():020d}-{found[2]}.json"
            disk.move(self._refused / name, target)
        self._drop_why(name)
        return True

    def drop(self, name: str) -> bool:
        """Remove one that waits or was refused; raise disk.Busy while it may be on its way."""
        if _NAME.fullmatch(name) is None:
            return False
        with self._sending.held(wait=False):
            for folder in (self._waiting, self._refused):
                with contextlib.suppress(FileNotFoundError):
                    (folder / name).unlink()
                    disk.sync_folder(folder)
                    self._drop_why(name)
                    return True
        return False

    def _drop_why(self, name: str) -> None:
        with contextlib.suppress(OSError):
            (self._refused / name).with_suffix(".why").unlink(missing_ok=True)

    # --- Clearing up -----------------------------------------------------------------------------
    def _clear_up(self) -> None:
        """Remove what crashes left half written, and what nobody will click again."""
        with contextlib.suppress(OSError), self._index.held():
            for folder in (self._waiting, self._refused, self._sent):
                for file in folder.glob(f"{disk.TEMPORARY}*"):
                    with contextlib.suppress(OSError):
                        file.unlink()
            for file in self._folder.glob(f"{disk.TEMPORARY}*"):  # it may hold a key
                with contextlib.suppress(OSError):
                    if file.stat().st_mtime < self._clock() - 3600:  # nobody writes it now
                        file.unlink()
            for why in self._refused.glob("*.why"):
                if not why.with_suffix(".json").exists():
                    why.unlink(missing_ok=True)
            old = self._clock() - SENT_SECONDS
            for file in self._sent.iterdir():
                with contextlib.suppress(OSError):
                    if file.stat().st_mtime < old:
                        file.unlink()


def digest_in(name: str) -> str:
    """Return what `Outbox.digest_of` said of the submission that a file is named after."""
    return name.partition("-")[2].removesuffix(".json")


def _names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if _NAME.fullmatch(file.name)]


def _read_head(name: str, line: bytes) -> Entry:
    """Read the first line of a file; raise ValueError if it is none of ours."""
    try:
        head = json.loads(line)
        if head["v"] != 1:
            raise ValueError("written by a later version")
        return Entry(
            name=name,
            prompt=plain(head["prompt"], 200),
            count=int(head["count"]),
            created=float(head["created"]),
            bulk=bool(head["bulk"]),
            sha256=str(head["sha256"]),
        )
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"the first line is not one of ours: {error!r}") from None


def _no_room(error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "The disk with Forge's folder is full. Make room there. Nothing was queued."
    what = plain(error.strerror or error, 80)
    return f"The outbox of the extension can't be written ({what}). Nothing was queued."
