"""A child process in its own session: started, listened to, and ended with all its descendants."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import IO

import psutil

__all__ = ["Child"]

TAIL_LINES = 20
LONGEST_LINE = 16_384


class Child:
    """One start of a process. `on_line` gets what it says, `on_end` is called once it is gone.

    Both are called from threads of the supervisor; start it from the main thread (lifeline.py).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        *,
        on_line: Callable[[str, str], None],
        on_end: Callable[["Child"], None],
    ) -> None:
        self.name = name
        self.env = env
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.started_at = time.monotonic()
        self._on_line = on_line
        self._on_end = on_end
        self._process = subprocess.Popen(
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._reader = threading.Thread(target=self._read, name=f"{name}-output", daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, name=f"{name}-end", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Return the exit code, negative for a signal, or None while it runs."""
        return self._process.returncode

    def _read(self) -> None:
        stream: IO[bytes] | None = self._process.stdout
        assert stream is not None
        # A reader that stops would block the child at a full pipe: it reads on, whatever happens.
        for raw in iter(lambda: stream.readline(LONGEST_LINE), b""):
            line = raw.decode("utf-8", "replace").rstrip()
            if line:
                self.tail.append(line)
                with contextlib.suppress(OSError, ValueError):
                    self._on_line(self.name, line)

    def _wait(self) -> None:
        self._process.wait()
        self._reader.join(timeout=1)  # its last words tell why
        self._on_end(self)

    def ask_to_end(self) -> None:
        """Ask the process itself, not its group: django-q2 stops cleanly only this way."""
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._process.send_signal(signal.CTRL_BREAK_EVENT)
            else:
                self._process.terminate()

    def kill(self) -> None:
        """End the process and everything below it at once."""
        if sys.platform == "win32":
            self._kill_tree()
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _kill_tree(self) -> None:
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self.pid)
            for process in [*root.children(recursive=True), root]:
                with contextlib.suppress(psutil.Error):
                    process.kill()

    @property
    def is_gone(self) -> bool:
        """Tell whether the process and its whole group are gone."""
        if self.code is None:
            return False
        if sys.platform == "win32":
            return True
        # The orphans of a killed cluster are ours now (lifeline.adopt_orphans).
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-self.pid, os.WNOHANG)[0]:
                pass
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return False

    def last_words(self) -> str:
        """Return why it ended, in one line."""
        code = self.code
        how = f"exit code {code}" if code is None or code >= 0 else f"signal {-code}"
        return f"{how}; it said: {self.tail[-1]}" if self.tail else how
