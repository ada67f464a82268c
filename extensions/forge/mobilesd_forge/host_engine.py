"""Forge as an engine of the companion: everything that is read of Forge's internals is tested for.

What a fork lacks switches that one feature off, with a sentence in `Facts.problems`.
"""

import asyncio
import contextlib
import importlib
import inspect
import io
import json
import logging
import math
import threading
import time
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from mobilesd_forge.companion.engine import KINDS, Facts, Look, Outcome

__all__ = ["ForgeEngine"]

log = logging.getLogger(__name__)

_PATHS = {kind: f"/sdapi/v1/{kind}" for kind in KINDS}
_PREVIEW_QUALITY = 80


def _module(name: str) -> Any:
    """Return a module of Forge's, None where there is none."""
    try:
        return importlib.import_module(name)
    except Exception as error:
        log.info("%s: %s", name, error)
        return None


@dataclass
class _Run:
    """A call of Forge's own function, from its begin to its return."""

    token: str
    thread: int
    stop: Callable[[], bool]
    released: Callable[[], None]
    active: bool = False
    stopped: bool = False
    interrupted: bool = False
    preview: bytes | None = field(default=None, repr=False)
    preview_id: Any = None


class ForgeEngine:
    """Calls the functions behind Forge's own routes, in threads of the companion.

    Forge's queue lock, progress and page work as with any other request: `force_task_id` is the
    token. Whose step it is tells the thread, since Forge samples in the thread that called it;
    where a fork does that in another one, the id of the current task tells.
    """

    def __init__(self, app: Any = None) -> None:
        self._app: Any = None
        self._shared = _module("modules.shared")
        self._progress = _module("modules.progress")
        self._runs: dict[str, _Run] = {}
        self._hooked = False
        self._watches = False
        if app is not None:
            self.attach(app)

    def attach(self, app: Any) -> None:
        """Work with an app's routes. "Reload UI" makes a new one, and forgets all callbacks."""
        self._app = app
        self._hooked = self._hook_steps()
        if not self._watches:
            self._watches = True
            self._watch_state()

    # --- the engine -------------------------------------------------------------------------

    def facts(self) -> Facts:
        kinds = tuple(kind for kind in KINDS if self._endpoint(kind) is not None)
        problems = []
        if not kinds:
            problems.append("Forge runs without its API. Start it with --api.")
        if not self._hooked:
            problems.append(
                "This Forge can't be stopped at a step: cancelled pictures are finished."
            )
        return Facts("Forge", _version(), kinds, self._hooked, tuple(problems))

    def run(
        self,
        kind: str,
        payload: Mapping[str, Any],
        token: str,
        stop: Callable[[], bool],
        released: Callable[[], None],
    ) -> Outcome:
        endpoint = self._endpoint(kind)
        if endpoint is None:
            return _answer(404, {"detail": "Not Found"})
        wanted = (
            dict(payload) if kind == "extra-single-image" else {**payload, "force_task_id": token}
        )
        try:
            request = _model_of(endpoint)(**wanted)
        except Exception as error:
            return _refused(error)
        run = self._runs[token] = _Run(token, threading.get_ident(), stop, released)
        try:
            body = _json_of(_result_of(endpoint(request)))
            return Outcome(200, body, run.interrupted)
        except Exception as error:
            log.exception("MobileSD's job %s", token)
            return _failed(error)
        finally:
            del self._runs[token]

    def look(self, token: str, *, preview: bool) -> Look | None:
        run, state = self._runs.get(token), self._state
        if run is None:
            return None
        if state is None or not self._is_active(run):
            return Look()
        job_no, count = _whole(state, "job_no"), _whole(state, "job_count")
        step, steps = _whole(state, "sampling_step"), _whole(state, "sampling_steps")
        fraction = 0.0
        if count > 0:
            fraction = min((job_no + (step / steps if steps > 0 else 0.0)) / count, 1.0)
        return Look(
            active=True,
            fraction=fraction,
            eta=_eta(state, fraction),
            step=step,
            steps=steps,
            job=str(getattr(state, "job", "") or "")[:100],
            job_no=job_no,
            preparing=count < 0,
            interrupted=bool(getattr(state, "interrupted", False)) and not run.stopped,
            preview=self._preview(run) if preview else None,
        )

    # --- what Forge has ---------------------------------------------------------------------

    @property
    def _state(self) -> Any:
        return getattr(self._shared, "state", None)

    def _endpoint(self, kind: str) -> Callable[..., Any] | None:
        """Return the function behind Forge's own route, which a request would have called."""
        for route in getattr(self._app, "routes", ()):
            if getattr(route, "path", "") == _PATHS[kind] and "POST" in (
                getattr(route, "methods", None) or ()
            ):
                endpoint = getattr(route, "endpoint", None)
                if endpoint is not None and _model_of(endpoint) is not None:
                    return typing.cast("Callable[..., Any]", endpoint)
        return None

    def _hook_steps(self) -> bool:
        callbacks = _module("modules.script_callbacks")
        register = getattr(callbacks, "on_cfg_denoiser", None)
        if register is None or self._state is None or not hasattr(self._state, "interrupted"):
            return False
        register(self._on_step)
        return True

    def _on_step(self, *_params: Any) -> None:
        """Interrupt the run whose step this is, if it is cancelled.

        Forge calls this for everybody's pictures, in the thread that makes them and before it
        looks at `interrupted` the next time; it resets that when the next run begins.
        """
        run = self._current()
        if run is not None and run.stop():
            run.stopped = True
            self._state.interrupted = True

    def _current(self) -> _Run | None:
        here = threading.get_ident()
        runs = list(self._runs.values())
        mine = next((run for run in runs if run.thread == here), None)
        return mine or next((run for run in runs if run.token == self._task()), None)

    def _task(self) -> Any:
        return getattr(self._progress, "current_task", None)

    def _is_active(self, run: _Run) -> bool:
        return run.active or (self._task() is not None and self._task() == run.token)

    def _watch_state(self) -> None:
        """Learn when a run of ours begins and ends, from the calls that Forge makes under its lock.

        After the lock is let go, the state is that of the next run, which may be anybody's.
        """
        state = self._state
        begin, end = getattr(state, "begin", None), getattr(state, "end", None)
        if not callable(begin) or not callable(end):
            return

        def begin_watched(*args: Any, **kwargs: Any) -> Any:
            begun = begin(*args, **kwargs)
            if (run := self._in_this_thread()) is not None:
                run.active = True
            return begun

        def end_watched(*args: Any, **kwargs: Any) -> Any:
            run = self._in_this_thread()
            if run is not None:
                run.interrupted = bool(getattr(state, "interrupted", False)) and not run.stopped
                run.active = False
            ended = end(*args, **kwargs)
            if run is not None:
                run.released()
            return ended

        with contextlib.suppress(AttributeError):
            state.begin, state.end = begin_watched, end_watched

    def _in_this_thread(self) -> _Run | None:
        here = threading.get_ident()
        return next((run for run in list(self._runs.values()) if run.thread == here), None)

    def _preview(self, run: _Run) -> bytes | None:
        """Return the live preview: it is made now, and only if somebody asks."""
        state, options = self._state, getattr(self._shared, "opts", None)
        if not getattr(options, "live_previews_enable", False):
            return None
        try:
            state.set_current_image()
            image, number = state.current_image, getattr(state, "id_live_preview", None)
            if image is not None and (number is None or number != run.preview_id):
                stream = io.BytesIO()
                image.convert("RGB").save(stream, "JPEG", quality=_PREVIEW_QUALITY)
                run.preview, run.preview_id = stream.getvalue(), number
        except Exception as error:  # the model may be moved at this moment
            log.debug("no preview: %s", error)
        return run.preview


@lru_cache
def _version() -> str:
    launch = _module("modules.launch_utils")
    try:
        return str(launch.git_tag())[:100]
    except Exception:
        return ""


def _model_of(endpoint: Callable[..., Any]) -> Any:
    """Return the class of the request that a route's function takes."""
    try:
        hints = typing.get_type_hints(endpoint)
        first = next(iter(inspect.signature(endpoint).parameters))
    except Exception:
        return None
    model = hints.get(first)
    return model if isinstance(model, type) else None


def _result_of(answer: Any) -> Any:
    if not inspect.isawaitable(answer):
        return answer

    async def awaited() -> Any:
        return await answer

    return asyncio.run(awaited())


def _json_of(answer: Any) -> bytes:
    """Return what the route would have sent: its server makes NaN null."""
    encoders = _module("fastapi.encoders")
    plain = encoders.jsonable_encoder(answer) if encoders else vars(answer)
    try:
        return json.dumps(plain, ensure_ascii=False, allow_nan=False, default=_plain).encode()
    except ValueError:
        without = _without_nan(json.loads(json.dumps(plain, default=_plain)))
        return json.dumps(without, ensure_ascii=False).encode()


def _plain(value: Any) -> Any:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _answer(status: int, body: Any) -> Outcome:
    return Outcome(status, json.dumps(body, default=str).encode())


def _refused(error: Exception) -> Outcome:
    """Return FastAPI's answer to a request that does not fit its model."""
    errors = getattr(error, "errors", None)
    found = errors() if callable(errors) else []
    rows = [
        {
            "loc": ["body", *row.get("loc", ())],
            "msg": row.get("msg", ""),
            "type": row.get("type", ""),
        }
        for row in found
    ]
    return _answer(422, {"detail": rows or str(error)})


def _failed(error: Exception) -> Outcome:
    """Return Forge's answer to an error in a run: two shapes, as its own server has."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return _answer(status, {"detail": getattr(error, "detail", "")})
    told = {"error": type(error).__name__, "detail": "", "body": "", "message": str(error)}
    return _answer(500, told)


def _whole(state: Any, name: str) -> int:
    value = getattr(state, name, 0)
    return value if isinstance(value, int) else 0


def _eta(state: Any, fraction: float) -> float | None:
    began = getattr(state, "time_start", None)
    if not isinstance(began, float) or fraction <= 0:
        return None
    gone = time.time() - began
    return gone / fraction - gone
