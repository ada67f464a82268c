"""The real companion of extensions/forge on the fake's engine."""

from __future__ import annotations

import importlib
import io
import json
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dispatch.fakes.forge.errors import PythonError, RequestRefused
from dispatch.fakes.forge.job import generate
from dispatch.fakes.forge.schema import EXTRAS, IMG2IMG, TXT2IMG, Field, validate
from dispatch.fakes.forge.upscale import upscale

if TYPE_CHECKING:
    from dispatch.fakes.forge.engine import Engine
    from dispatch.fakes.forge.routes import Request
    from dispatch.fakes.forge.runlog import RunLog

__all__ = ["FakeCompanion"]

_EXTENSION = Path(__file__).resolve().parents[3] / "extensions" / "forge"
_UPSCALE = "extra-single-image"


def _extension(name: str) -> Any:
    """Import a module of the extension: it is no package of MobileSD's."""
    if str(_EXTENSION) not in sys.path:
        sys.path.append(str(_EXTENSION))
    return importlib.import_module(f"mobilesd_forge.{name}")


class FakeCompanion:
    """A companion that works on a folder, until `stop`."""

    def __init__(self, engine: Engine, log: RunLog, folder: Path) -> None:
        companion, routes = _extension("companion"), _extension("companion.routes")
        self.prefix: str = routes.PREFIX
        self._routes = routes
        self._companion = companion.open_companion(_Engine(engine, log), folder)

    @property
    def token(self) -> str:
        """Return the token that MobileSD needs."""
        return str(self._companion.token.value())

    def answer(self, request: Request) -> tuple[int, bytes, dict[str, str]]:
        """Answer a request below the prefix: status, body and headers."""
        asked = self._routes.Request(
            request.method,
            request.path.removeprefix(self.prefix),
            request.query,
            request.headers,
            request.body,
        )
        answer = self._companion.routes.handle(asked)
        body = answer.body if answer.file is None else answer.file.read_bytes()[answer.offset :]
        return answer.status, body, dict(answer.headers)

    def stop(self) -> None:
        """Die: nothing is written any more."""
        self._companion.stop()


@dataclass
class _Run:
    token: str
    thread: int
    stop: Callable[[], bool]
    stopped: bool = False


class _Engine:
    """What `host_engine.py` is for a real Forge."""

    def __init__(self, engine: Engine, log: RunLog) -> None:
        self._engine = engine
        self._log = log
        self._types = _extension("companion.engine")
        self._runs: dict[str, _Run] = {}
        engine.step_hooks.append(self._on_step)

    def attach(self, app: Any) -> None:
        """There is only this one."""

    def facts(self) -> Any:
        return self._types.Facts("fake Forge", "f2.0.1")

    def run(
        self,
        kind: str,
        payload: Mapping[str, Any],
        token: str,
        stop: Callable[[], bool],
        released: Callable[[], None],
    ) -> Any:
        body = dict(payload) if kind == _UPSCALE else {**payload, "force_task_id": token}
        log = self._log.open(f"/sdapi/v1/{kind}", body)
        log.token = token
        run = self._runs[token] = _Run(token, threading.get_ident(), stop)
        fields, make = _MADE_BY[kind]
        try:
            values = validate(body, fields)
            answer, log.status = make(engine=self._engine, request=values, run=log), 200
        except (RequestRefused, PythonError) as error:
            answer, log.status = json.dumps(error.body()).encode(), error.status
        finally:
            del self._runs[token]
        released()
        return self._types.Outcome(log.status, answer, log.interrupted and not run.stopped)

    def look(self, token: str, *, preview: bool) -> Any:
        run = self._runs.get(token)
        if run is None:
            return None
        if self._engine.holder != run.thread:
            return self._types.Look()
        state, options = self._engine.state, self._engine.options
        if preview:
            every = options["show_progress_every_n_steps"]
            state.preview(every, bool(options["live_previews_enable"]))
        fraction, eta = state.task_progress()
        return self._types.Look(
            active=True,
            fraction=fraction,
            eta=eta,
            step=state.sampling_step,
            steps=state.sampling_steps,
            job=state.job,
            job_no=state.job_no,
            preparing=state.job_count < 0,
            interrupted=state.interrupted and not run.stopped,
            preview=_jpeg(state.current_image) if preview else None,
        )

    def _on_step(self) -> None:
        """Be called by the thread that samples, whoever's picture it is, as by Forge's callback."""
        here = threading.get_ident()
        run = next((run for run in list(self._runs.values()) if run.thread == here), None)
        if run is not None and run.stop():
            run.stopped = True
            self._engine.state.interrupted = True


_MADE_BY: dict[str, tuple[tuple[Field, ...], Callable[..., bytes]]] = {
    "txt2img": (TXT2IMG, partial(generate, kind="txt2img")),
    "img2img": (IMG2IMG, partial(generate, kind="img2img")),
    _UPSCALE: (EXTRAS, upscale),
}


def _jpeg(image: Any) -> bytes | None:
    if image is None:
        return None
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "JPEG")
    return stream.getvalue()
