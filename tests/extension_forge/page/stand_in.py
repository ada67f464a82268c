"""Forge's stand-in as a process: Gradio 4.40 in its own environment, with the extension in it."""

import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mobilesd.supervisor.network import free_port
from tests.processes.installation import ROOT

__all__ = ["EXTENSION", "PYTHON", "StandIn"]

HERE = Path(__file__).parent
EXTENSION = ROOT / "extensions" / "forge"
# Where `make test` puts it.
PYTHON = Path(os.environ.get("GRADIO_PYTHON") or ROOT / ".venv" / "gradio" / "bin" / "python")
READY_SECONDS = 150


class StandIn:
    """One Forge; `submitted` is what the extension handed to a service that only records."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        with_extension: bool = True,
        env: Mapping[str, str] | None = None,
        recording: bool = True,
        copies: Sequence[str] = ("mobilesd-forge",),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._record = folder / "generated.jsonl"
        self._submitted = folder / "submitted.jsonl"
        self._log = folder / "forge.log"
        self._command = [str(PYTHON), str(HERE / "forge_stand_in"), "--port", str(self.port)]
        for name in copies if with_extension else ():
            # A copy: it keeps its data in its own folder.
            extension = folder / "extensions" / name
            if not extension.exists():
                shutil.copytree(
                    EXTENSION,
                    extension,
                    ignore=shutil.ignore_patterns("data", "__pycache__", "docs"),
                )
            self._command += ["--extension", str(extension)]
        if with_extension and recording:
            self._command += ["--service", str(HERE / "recording_service.py")]
        self._command += arguments
        self._env = {
            **os.environ,
            "STAND_IN_RECORD": str(self._record),
            "STAND_IN_SUBMITTED": str(self._submitted),
            "GRADIO_ANALYTICS_ENABLED": "False",
            "HF_HUB_OFFLINE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            **(env or {}),
        }
        self._process: subprocess.Popen[str] | None = None
        self.spent: dict[str, float] = {}
        """Seconds of the CPU in the main thread, for each part of the start."""

    def __enter__(self) -> "StandIn":
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            self._wait_ready(self._process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _wait_ready(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            if select.select([process.stdout], [], [], 1)[0]:
                line = process.stdout.readline()
                if line.startswith("ready"):
                    self.spent = json.loads(line.partition(" ")[2])
                    return
                assert line, f"the stand-in ended:\n{self.log}"
        raise AssertionError(f"the stand-in does not come up:\n{self.log}")

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def generated(self) -> list[dict[str, Any]]:
        """Return what Generate did, in order."""
        return _lines(self._record)

    @property
    def submitted(self) -> list[dict[str, Any]]:
        """Return what was queued, in order."""
        return _lines(self._submitted)

    def forget(self) -> None:
        """Forget both."""
        for path in (self._record, self._submitted):
            path.unlink(missing_ok=True)


def _lines(path: Path) -> list[dict[str, Any]]:
    with contextlib.suppress(FileNotFoundError):
        return [json.loads(line) for line in path.read_text().splitlines()]
    return []
