"""The companion's own token: --api-auth does not guard the routes of extensions.

Gradio's /file= gives out any file below Forge's folder whose name one knows, and lists none. So
the file's name is a random one.
"""

import contextlib
import hmac
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from mobilesd_forge.disk import write_whole

__all__ = ["CompanionToken", "WrongTokens"]

_NAME = "companion_token-"
# Also one that somebody chose themselves, in the file; shorter ones could be guessed.
_FORM = re.compile(r"[!-~]{20,200}")


class CompanionToken:
    """The one token of this installation, in a file that only its owner can read.

    The file is read for each look, so that several programs on one folder share it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def value(self) -> str:
        """Return the token; it is made when it is asked for first. Raises OSError."""
        for file in self._files():
            with contextlib.suppress(OSError, UnicodeDecodeError):
                found = file.read_text(encoding="ascii").strip()
                if _FORM.fullmatch(found):
                    return found
        return self.renew()

    def renew(self) -> str:
        """Make a new token; the one before is refused from now on. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        before, token = self._files(), secrets.token_urlsafe(32)
        write_whole(self._folder / f"{_NAME}{secrets.token_hex(16)}", token.encode())
        for file in before:
            file.unlink(missing_ok=True)
        return token

    def _files(self) -> list[Path]:
        """Return the newest first: a crash, or a second program, may have left another."""
        found = []
        for file in self._folder.glob(f"{_NAME}*"):
            with contextlib.suppress(FileNotFoundError):
                found.append((file.stat().st_mtime_ns, file))
        return [file for _, file in sorted(found, reverse=True)]

    def matches(self, given: str) -> bool:
        """Tell whether this is the token, in a time that tells nothing of how wrong it is."""
        try:
            right = self.value()
        except OSError:
            return False  # without a token nobody gets in
        return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())


class WrongTokens:
    """Counts wrong tokens by address, so that guessing is slow; the right one is never refused."""

    def __init__(
        self,
        most: int = 10,
        seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._moments: dict[str, deque[float]] = {}

    def note(self, client: str) -> float:
        """Note a wrong token; return for how many seconds this address is refused now, or 0."""
        now = self._clock()
        with self._lock:
            for known in [k for k, v in self._moments.items() if v[-1] <= now - self._seconds]:
                del self._moments[known]
            moments = self._moments.setdefault(client, deque(maxlen=self._most))
            full = len(moments) == self._most and moments[0] > now - self._seconds
            if full:
                return self._seconds - (now - moments[0])
            moments.append(now)
            return 0.0
