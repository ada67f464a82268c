"""What the console shows once MobileSD answers: where to go, with a code for a phone's camera."""

import contextlib
import io
import socket
import sys
import threading
import time
from collections.abc import Callable

from mobilesd import first_run
from mobilesd.supervisor.network import EVERYWHERE, url
from mobilesd.supervisor.preparation import FIRST_RUN_TOKEN, Prepared
from mobilesd.supervisor.slots import Options

__all__ = ["Greeting"]

PATIENCE_SECONDS = 120


class Greeting:
    """Waits in a thread of its own until the web process listens, then tells where."""

    def __init__(self, options: Options, prepared: Prepared, say: Callable[[str], None]) -> None:
        self._options = options
        self._prepared = prepared
        self._say = say

    def start(self) -> None:
        """Begin to wait."""
        threading.Thread(target=self._run, name="greeting", daemon=True).start()

    def _run(self) -> None:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not self._listens():
            if time.monotonic() > give_up:
                return
            time.sleep(0.2)
        self._say(self.text())

    def _listens(self) -> bool:
        host = self._options.host
        if host in EVERYWHERE:
            host = "::1" if ":" in host else "127.0.0.1"
        with contextlib.suppress(OSError):
            socket.create_connection((host, self._options.port), timeout=1).close()
            return True
        return False

    def text(self) -> str:
        """Return all lines; the first-run link is made here, and shown nowhere else."""
        bases = self._bases()
        lines = ["", "MobileSD is ready:", *(f"  {base}" for base in bases)]
        target = bases[0]
        if self._prepared.first_run_path is not None:
            path = self._prepared.first_run_path.replace(FIRST_RUN_TOKEN, first_run.issue())
            target = bases[0].rstrip("/") + path
            lines += [
                "",
                "Nobody can sign in yet. This link makes you the administrator; it works once,",
                "within 15 minutes (start again for a new one):",
                f"  {target}",
            ]
        code = _code(target) if self._options.addresses else None
        if code is not None:
            lines += ["", "With a phone in the same network, scan:", code]
        lines.append("Ctrl-C stops it.")
        return "\n".join(lines)

    def _bases(self) -> list[str]:
        options = self._options
        if options.host not in EVERYWHERE:
            return [url(options.host, options.port)]
        own = "localhost"
        return [url(host, options.port) for host in (*options.addresses[:3], own)]


def _code(target: str) -> str | None:
    """Return the address as a picture for a camera, or None where it can't be shown."""
    if not sys.stdout.isatty():
        return None
    import segno

    text = io.StringIO()
    segno.make(target, error="l").terminal(text, border=2, compact=True)
    try:
        text.getvalue().encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:  # an old Windows console has no block characters
        return None
    return text.getvalue()
