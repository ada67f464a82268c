"""Our own companion at a Forge (extensions/forge): it takes jobs by token and keeps their answers.

What plain Forge can't give (protocol §2): a lost connection costs no run, a new lane can fetch what
an old one sent, and a cancel hits its own job only.
"""

import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID

from dispatch.dispatchers.base import (
    Address,
    BackendError,
    CompanionReport,
    ErrorClass,
    LostAnswer,
    NeverReached,
    Presence,
)
from dispatch.dispatchers.forge.client import Client, Refused, Trouble, Unclear, WrongAnswer
from dispatch.dispatchers.forge.post import Post, RawAnswer
from dispatch.dispatchers.forge.untrusted import text

__all__ = ["PREFIX", "Companion", "Kept", "NoCompanion"]

log = logging.getLogger(__name__)

PREFIX = "/mobilesd/v1"
_PROTOCOL = 1
_HEADER = "X-MobileSD-Token"
_POLL_SECONDS = 3.0
_HELLO_SECONDS = 30.0  # so long an answer to it counts
_WAIT_SECONDS = 15  # how long the companion keeps us waiting for news
_BREATH_SECONDS = 0.25
_SMALL = 1024 * 1024
# A lost connection only waits and asks again; after so long the lane looks for the attempt.
UNREACHABLE_SECONDS = 30.0
# It answers within _WAIT_SECONDS; each request may be sent again.
SILENCE_SECONDS = 60.0
# A Forge that is started again refuses connections for so long, while it loads.
STARTING_SECONDS = 120.0


class NoCompanion(Exception):
    """There is none: the request was surely not taken."""


@dataclass(frozen=True)
class Kept:
    """An answer that was kept: as Forge itself would have given it."""

    status: int
    raw: RawAnswer
    interrupted: bool


@dataclass(frozen=True)
class _Hello:
    """`kinds`: what it takes, if it can be used. `sure` is false where it could not be asked."""

    report: CompanionReport | None
    kinds: frozenset[str] = frozenset()
    sure: bool = True


class Companion:
    """Talks to the companion at one address; without a token for it, it is not used."""

    def __init__(self, address: Address) -> None:
        self._has_token = bool(address.companion_token)
        headers = {_HEADER: address.companion_token} if self._has_token else {}
        self._client = Client(address, headers)
        self._post = Post(address, headers, SILENCE_SECONDS)
        self._hello: _Hello | None = None
        self._hello_at = 0.0
        self._refused_since: float | None = None

    # --- whether there is one ---------------------------------------------------------------

    def report(self, timeout: float = _POLL_SECONDS) -> CompanionReport | None:
        """Ask it how it is; None where there is neither a companion nor a token for one."""
        self._hello, self._hello_at = self._ask_hello(timeout), time.monotonic()
        return self._hello.report

    def takes(self, kind: str) -> bool:
        """Tell whether it answers and takes such jobs."""
        if not self._has_token:
            return False
        if (hello := self._fresh_hello()) is None:
            self.report()
            hello = self._hello
        return hello is not None and kind in hello.kinds

    def _fresh_hello(self) -> _Hello | None:
        fresh = time.monotonic() - self._hello_at <= _HELLO_SECONDS
        return self._hello if fresh and self._hello is not None and self._hello.sure else None

    def _is_absent(self) -> bool:
        """Tell whether it need not be asked, since it was of no use a moment ago."""
        hello = self._fresh_hello()
        return not self._has_token or (hello is not None and not hello.kinds)

    def _ask_hello(self, timeout: float) -> _Hello:
        try:
            found = self._client.get(f"{PREFIX}/hello", timeout)
        except WrongAnswer as wrong:
            return self._wrong_hello(wrong)
        except Trouble as trouble:
            told = CompanionReport(False, f"The companion can't be asked. {trouble}")
            return _Hello(told if self._has_token else None, sure=False)
        if not isinstance(found, dict) or found.get("companion") != "mobilesd":
            return self._wrong_hello(WrongAnswer(200))
        if "protocol" not in found:
            words = "The companion is there. Enter its token, so that MobileSD can use it."
            return _Hello(CompanionReport(False, words))
        return _read_hello(found)

    def _wrong_hello(self, wrong: WrongAnswer) -> _Hello:
        if not self._has_token:
            return _Hello(None)
        if wrong.status in (401, 403):
            words = "The companion refuses the token. Copy it again from the server's settings."
        elif wrong.status == 429:
            words = "The companion refuses wrong tokens for a minute now. Copy the token again."
        else:
            words = "A token is set, but no companion answers there. Install MobileSD's extension."
        return _Hello(CompanionReport(False, words))

    # --- jobs -------------------------------------------------------------------------------

    def run(self, kind: str, body: Mapping[str, Any], token: UUID, limit: int) -> Kept:
        """Hand a job over, and return its answer when it has ended.

        Raises NoCompanion, NeverReached, BackendError or LostAnswer.
        """
        self._submit({"token": str(token), "kind": kind, "payload": body})
        return self.collect(token, limit)

    def _submit(self, job: Mapping[str, Any]) -> None:
        """Send until it is taken: the same token again is the same job there."""
        waiting, lost = _Waiting(), False
        while True:
            try:
                raw = self._post.send(f"{PREFIX}/jobs", job, limit=_SMALL)
            except NeverReached:
                if not lost:
                    raise
                self._breathe(waiting)
                continue
            except LostAnswer:
                lost = True
                self._breathe(waiting)
                continue
            told = _json_of(raw)
            if raw.status == 202:
                return
            if lost:
                # What became of the request before is not known: whoever looks for it will see.
                raise LostAnswer("The connection to the server broke while the job was sent.")
            raise _not_taken(raw.status, told)

    def collect(self, token: UUID, limit: int) -> Kept:
        """Wait for the end of an attempt, however long it takes, and fetch its answer.

        Raises BackendError if it was cancelled there, LostAnswer if it is not there.
        """
        waiting, seen = _Waiting(), ""
        while True:
            told = self._news(token, seen)
            if told is None:
                self._breathe(waiting)
                continue
            waiting = _Waiting()
            state, seen = told.get("state"), text(told.get("version") or "", 100)
            if state in ("done", "failed"):
                kept = self._fetch(token, told, limit)
                if kept is not None:
                    return kept
                self._breathe(waiting)
            elif state == "cancelled":
                raise BackendError(
                    ErrorClass.TRANSIENT,
                    "cancelled_there",
                    "The picture was cancelled on the server.",
                    "The job is tried again.",
                )
            elif state not in ("queued", "running"):
                raise LostAnswer("The server was restarted, and the picture is lost.")

    def _news(self, token: UUID, seen: str) -> dict[str, Any] | None:
        """Return the state of an attempt as soon as it differs; None if it could not be asked."""
        path = f"{PREFIX}/jobs/{token}?wait={_WAIT_SECONDS}&seen={quote(seen)}"
        try:
            raw = self._post.fetch(path, limit=_SMALL, level=logging.DEBUG)
        except (NeverReached, LostAnswer):
            return None
        told = _json_of(raw)
        # 404 while it starts; 401 after its token was changed.
        return told if raw.status == 200 and isinstance(told, dict) else None

    def _fetch(self, token: UUID, told: Mapping[str, Any], limit: int) -> Kept | None:
        try:
            raw = self._post.fetch(f"{PREFIX}/jobs/{token}/result", limit=limit)
        except NeverReached:
            return None
        except LostAnswer as lost:
            if lost.code:  # too large, or our own disk is full: not better the next time
                raise
            return None
        if raw.status == 404:
            raw.body.close()
            raise LostAnswer(
                "The server has dropped the answer.",
                code="answer_dropped",
                hint="Look at the server's console, and whether its disk is full.",
            )
        status = told.get("status")
        if raw.status != 200 or type(status) is not int:
            raw.body.close()
            return None
        return Kept(status, raw, bool(told.get("interrupted")))

    def _breathe(self, waiting: "_Waiting") -> None:
        if self._post.aborted:
            raise LostAnswer("The connection was closed by us.")
        if waiting.seconds > UNREACHABLE_SECONDS:
            raise LostAnswer("The server has not answered for a while.")
        time.sleep(_BREATH_SECONDS)

    # --- quick looks ------------------------------------------------------------------------

    def state(self, token: UUID, *, preview: bool = False) -> dict[str, Any] | None:
        """Return what it says of an attempt, None if it does not have it; raises Trouble."""
        return None if self._is_absent() else self._ask_state(token, "?preview=1" * preview)

    def _ask_state(self, token: UUID, query: str = "") -> dict[str, Any] | None:
        return _known(self._client.get(f"{PREFIX}/jobs/{token}{query}", _POLL_SECONDS))

    def presence(self, token: UUID) -> Presence | None:
        """Tell whether it has an attempt; None: it has not, or there is no companion."""
        if not self._has_token:
            return None
        try:
            told = self._ask_state(token)
        except Refused:
            return self._while_refused()
        except WrongAnswer as wrong:
            return None if wrong.status in (401, 403, 404, 429) else Presence.UNKNOWN
        except Trouble:
            return Presence.UNKNOWN
        self._refused_since = None
        if told is None:
            return None
        kept = told.get("state") in ("queued", "running", "done", "failed")
        return Presence.RESUMABLE if kept else Presence.GONE

    def _while_refused(self) -> Presence | None:
        """Wait for a Forge that is being started again: its answers are still on its disk."""
        now = time.monotonic()
        if self._refused_since is None:
            self._refused_since = now
        return Presence.UNKNOWN if now - self._refused_since < STARTING_SECONDS else None

    def cancel(self, token: UUID) -> bool | None:
        """Cancel an attempt; False if it does not have it, None if it could not be told."""
        if self._is_absent():
            return False
        try:
            told = _known(self._client.post(f"{PREFIX}/jobs/{token}/cancel", timeout=_POLL_SECONDS))
        except WrongAnswer as wrong:
            return False if wrong.status in (401, 403, 404, 429) else None
        except Trouble as trouble:
            log.info("cancel: %s", trouble)
            return None
        return told is not None

    def forget(self, token: UUID) -> None:
        """Let it drop what it has of an attempt, and refuse one that comes late."""
        if not self._is_absent():
            with contextlib.suppress(Trouble):
                self._client.delete(f"{PREFIX}/jobs/{token}", _POLL_SECONDS)

    def close(self) -> None:
        self._client.close()
        self._post.abort()


class _Waiting:
    """Since when there was no answer."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._since


def _read_hello(found: Mapping[str, Any]) -> _Hello:
    version = text(found.get("version") or "", 50)
    if found.get("protocol") != _PROTOCOL:
        words = f"The companion {version} and this MobileSD do not fit. Update the older one."
        return _Hello(CompanionReport(False, words, version))
    engine = found.get("engine")
    engine = engine if isinstance(engine, dict) else {}
    named = engine.get("kinds")
    kinds = frozenset(str(kind) for kind in named[:20]) if isinstance(named, list) else frozenset()
    problems = engine.get("problems")
    problem = text(problems[0], 200) if isinstance(problems, list) and problems else ""
    if not kinds:
        return _Hello(CompanionReport(False, problem or "It can run nothing.", version))
    exact = "cancels exactly, " if engine.get("cancels_running") else ""
    words = f"Companion {version}: {exact}results survive a restart."
    return _Hello(CompanionReport(True, f"{words} {problem}".strip(), version), kinds)


def _known(told: Any) -> dict[str, Any] | None:
    if not isinstance(told, dict):
        raise Unclear("What answers there is no companion.")
    return None if told.get("state") == "unknown" else told


def _json_of(raw: RawAnswer) -> Any:
    with raw.body:
        try:
            return raw.json()
        except ValueError:
            return None


def _not_taken(status: int, told: Any) -> Exception:
    """Return what it means that a job was refused, as the answer to its first request."""
    message = text(told.get("message") or "", 300) if isinstance(told, dict) else ""
    if status in (401, 403, 404, 405, 429):
        return NoCompanion(message)
    if status == 409:
        return LostAnswer("The attempt was given up before it was sent.")
    return BackendError(
        ErrorClass.TRANSIENT,
        "companion_refused",
        f"The companion on the server did not take the job: {message or f'status {status}'}",
        "Look at the server's console. The job is tried again.",
    )
