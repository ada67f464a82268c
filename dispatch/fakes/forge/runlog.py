"""What the fake was asked to generate, in order of arrival, with exact times."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import threading
import time
from collections import OrderedDict, deque
from dataclasses import asdict, dataclass, field
from typing import Any

_KEPT = 2000
_LONG = 4096
_RAW_KEPT_BYTES = 64 * 1024 * 1024
_BASE64_START = re.compile(r"data:[^,]{0,80}base64,|[A-Za-z0-9+/]{256}")


@dataclass
class Run:
    """One generation POST. Times are `time.time()`; `started_at` is null if its turn never came.

    `status` is the HTTP status sent or meant; it is null while the run is under way and when
    the connection was cut instead of an answer. A token may occur more than once.
    """

    token: str | None
    path: str
    payload: Any
    arrived_at: float = field(default_factory=time.time)
    started_at: float | None = None
    ended_at: float | None = None
    status: int | None = None
    interrupted: bool = False
    checkpoint: str | None = None
    """Name of the checkpoint the first picture was made with."""
    faults: list[str] = field(default_factory=list)


class RunLog:
    """The last 2000 runs. Pictures in payloads are replaced by the SHA-256 of their bytes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: deque[Run] = deque(maxlen=_KEPT)
        self._raw: OrderedDict[str, str] = OrderedDict()
        self._raw_bytes = 0

    def open(self, path: str, body: Any) -> Run:
        """Write down an arrival; the caller fills in the rest as it happens."""
        token = body.get("force_task_id") if isinstance(body, dict) else None
        run = Run(
            token if isinstance(token, str) else None,
            path,
            self._without_pictures(body),
        )
        with self._lock:
            self._runs.append(run)
        return run

    def runs(self) -> list[Run]:
        """Return the runs themselves, for tests in the same process."""
        with self._lock:
            return list(self._runs)

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(run) for run in self.runs()]

    def clear(self) -> None:
        """Forget all runs, and the pictures that came with them."""
        with self._lock:
            self._runs.clear()
            self._raw.clear()
            self._raw_bytes = 0

    def raw(self, digest: str) -> str | None:
        """Return the text that `sha256:<digest>` stands for in a payload, if it is still kept."""
        with self._lock:
            return self._raw.get(digest.removeprefix("sha256:"))

    def _without_pictures(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._without_pictures(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._without_pictures(item) for item in value]
        if isinstance(value, str) and len(value) > _LONG and _BASE64_START.match(value):
            return f"sha256:{self._keep(value)}"
        return value

    def _keep(self, text: str) -> str:
        encoded = text.partition(",")[2] if text.startswith("data:") else text
        try:
            content = base64.b64decode(encoded)
        except (binascii.Error, ValueError):
            content = text.encode()
        digest = hashlib.sha256(content).hexdigest()
        with self._lock:
            if digest not in self._raw:
                self._raw[digest] = text
                self._raw_bytes += len(text)
                while self._raw_bytes > _RAW_KEPT_BYTES:
                    self._raw_bytes -= len(self._raw.popitem(last=False)[1])
        return digest
