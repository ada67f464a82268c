"""Forge's own routes, over the engine."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dispatch.fakes.forge import infotext, pictures
from dispatch.fakes.forge.companion import FakeCompanion
from dispatch.fakes.forge.engine import Engine
from dispatch.fakes.forge.errors import PythonError, RequestRefused
from dispatch.fakes.forge.faults import GENERATION_PATHS
from dispatch.fakes.forge.job import encode_json, fault_error, generate
from dispatch.fakes.forge.recorded import recorded
from dispatch.fakes.forge.runlog import Run, RunLog
from dispatch.fakes.forge.schema import (
    EXTRAS,
    IMG2IMG,
    TXT2IMG,
    Field,
    read_json,
    require_dict,
    validate,
)
from dispatch.fakes.forge.upscale import upscale

# Forge answers from a pool of 40 threads; each waiting generation holds one of them, so that
# even /progress hangs once 40 wait (queue/forty-five-at-once).
_THREADS = 40


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        return read_json(self.headers.get("content-type"), self.body)


@dataclass
class Response:
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    run: Run | None = None
    """The run that this answers, for a generation."""


@dataclass(frozen=True)
class Route:
    method: str
    handler: Callable[[Request], Any]
    guarded: bool = True
    """Behind --api-auth. Routes that extensions add are not (auth/none-loras-after-start)."""
    extension: bool = False
    """Added by an extension: there a little later than the rest."""


class Routes:
    """All routes of one server. `api_auth` is "user:password" or None."""

    def __init__(
        self,
        engine: Engine,
        log: RunLog,
        *,
        webui: bool,
        api_auth: str | None,
        companion: FakeCompanion | None = None,
    ) -> None:
        self._companion = companion
        self._engine = engine
        self._log = log
        self._threads = threading.BoundedSemaphore(_THREADS)
        self._api_auth = api_auth.partition(":")[::2] if api_auth else None
        self._table: dict[str, dict[str, Route]] = {}
        self._add_static()
        self._add_sdapi()
        self._add_extensions()
        if webui:
            self._add_webui()

    def handle(self, request: Request, *, early: bool = False) -> Response:
        """Answer a request. `early`: routes of extensions are not there yet.

        Raise only ServerStopped.
        """
        if self._companion and request.path.startswith(self._companion.prefix + "/") and not early:
            status, body, headers = self._companion.answer(request)
            return Response(status, body, headers=headers)
        try:
            route = self._find(request, early)
            with self._threads:
                answer = route.handler(request)
        except (RequestRefused, PythonError) as error:
            return refusal(error)
        if isinstance(answer, Response):
            return answer
        return Response(200, encode_json(answer))

    def _find(self, request: Request, early: bool) -> Route:
        routes = self._table.get(request.path)
        if routes is None or (early and any(route.extension for route in routes.values())):
            raise RequestRefused(404, "Not Found")
        route = routes.get(request.method)
        if route is None:
            raise RequestRefused(405, "Method Not Allowed", {"allow": ", ".join(routes)})
        if route.guarded:
            self._check_auth(request.headers.get("authorization", ""))
        return route

    def _check_auth(self, header: str) -> None:
        if self._api_auth is None:
            return
        challenge = {"www-authenticate": "Basic"}
        scheme, _, encoded = header.partition(" ")
        if scheme.lower() != "basic":
            raise RequestRefused(401, "Not authenticated", challenge)
        try:
            given = base64.b64decode(encoded, validate=True).decode().partition(":")[::2]
        except (binascii.Error, UnicodeDecodeError):
            raise RequestRefused(401, "Invalid authentication credentials", challenge) from None
        right = [
            hmac.compare_digest(mine.encode(), theirs.encode())
            for mine, theirs in zip(self._api_auth, given, strict=True)
        ]
        if not all(right):
            raise RequestRefused(401, "Incorrect username or password", challenge)

    def _add(
        self,
        method: str,
        path: str,
        handler: Callable[[Request], Any],
        *,
        guarded: bool = True,
        extension: bool = False,
    ) -> None:
        def with_faults(request: Request) -> Any:
            fault = self._engine.faults.take({"http_500", "oom"}, path)
            if fault:
                raise fault_error(fault)
            return handler(request)

        # A generation takes its faults itself, when its turn has come.
        plain = path in GENERATION_PATHS
        route = Route(method, handler if plain else with_faults, guarded, extension)
        self._table.setdefault(path, {})[method] = route

    def _add_static(self) -> None:
        names = (
            "face-restorers",
            "latent-upscale-modes",
            "prompt-styles",
            "realesrgan-models",
            "samplers",
            "schedulers",
            "script-info",
            "upscalers",
        )
        for name in names:
            self._add("GET", f"/sdapi/v1/{name}", _answer_as_recorded(name))
        for name in ("extensions", "hypernetworks", "sd-modules"):
            self._add("GET", f"/sdapi/v1/{name}", _answer_with([]))
        self._add("GET", "/sdapi/v1/cmd-flags", self._cmd_flags)

    def _add_sdapi(self) -> None:
        get: dict[str, Callable[[Request], Any]] = {
            "embeddings": self._embeddings,
            "memory": lambda _: self._engine.memory(),
            "options": lambda _: self._engine.options.everything(),
            "progress": self._progress,
            "scripts": self._scripts,
            "sd-models": lambda _: self._engine.inventory.checkpoint_items(),
        }
        txt2img, img2img = (partial(generate, kind=kind) for kind in ("txt2img", "img2img"))
        post: dict[str, Callable[[Request], Any]] = {
            "extra-single-image": lambda request: self._run(request, EXTRAS, upscale),
            "img2img": lambda request: self._run(request, IMG2IMG, img2img),
            "interrupt": self._interrupt,
            "options": self._set_options,
            "png-info": self._png_info,
            "refresh-checkpoints": self._refresh_checkpoints,
            "refresh-embeddings": self._wait_for_queue,
            "refresh-vae": self._wait_for_queue,
            "reload-checkpoint": lambda _: {},
            "skip": self._skip,
            "txt2img": lambda request: self._run(request, TXT2IMG, txt2img),
            "unload-checkpoint": lambda _: {},
        }
        for method, handlers in (("GET", get), ("POST", post)):
            for name, handler in handlers.items():
                self._add(method, f"/sdapi/v1/{name}", handler)

    def _add_extensions(self) -> None:
        handlers: tuple[tuple[str, str, Callable[[Request], Any]], ...] = (
            ("GET", "/sdapi/v1/loras", lambda _: self._engine.inventory.lora_items()),
            ("POST", "/sdapi/v1/refresh-loras", lambda _: None),
            ("GET", "/controlnet/model_list", lambda _: recorded("controlnet-model-list")),
            ("GET", "/controlnet/module_list", lambda _: recorded("controlnet-module-list")),
        )
        for method, path, handler in handlers:
            self._add(method, path, handler, guarded=False, extension=True)

    def _add_webui(self) -> None:
        page = Response(
            200,
            b"<!doctype html><title>Stable Diffusion</title><p>A stand-in for Forge.",
            "text/html; charset=utf-8",
        )
        handlers: tuple[tuple[str, str, Callable[[Request], Any]], ...] = (
            ("GET", "/", lambda _: page),
            ("GET", "/internal/ping", lambda _: {}),
            ("GET", "/internal/pending-tasks", self._pending_tasks),
            ("POST", "/internal/progress", self._task_progress),
        )
        for method, path, handler in handlers:
            self._add(method, path, handler, guarded=False)

    def _run(
        self, request: Request, fields: Iterable[Field], make: Callable[..., bytes]
    ) -> Response:
        body = request.json()
        run = self._log.open(request.path, body)
        try:
            values = validate(body, fields)
            response = Response(200, make(engine=self._engine, request=values, run=run))
        except (RequestRefused, PythonError) as error:
            response = refusal(error)
        run.status = response.status
        response.run = run
        return response

    def _progress(self, request: Request) -> dict[str, Any]:
        state = self._engine.state
        answer = state.api_progress()
        skip = request.query.get("skip_current_image", "").lower() in ("1", "true", "on", "yes")
        if state.job_count and not skip:
            self._make_preview()
            if state.current_image is not None:
                answer["current_image"] = pictures.encode(state.current_image)
        return answer

    def _make_preview(self) -> None:
        options = self._engine.options
        every = options["show_progress_every_n_steps"]
        self._engine.state.preview(every, bool(options["live_previews_enable"]))

    def _task_progress(self, request: Request) -> dict[str, Any]:
        body = require_dict(request.json())
        wanted = body.get("id_live_preview", -1)
        active, queued, completed, textinfo = self._engine.tasks.look_up(body.get("id_task"))
        answer: dict[str, Any] = {
            "active": active,
            "queued": queued,
            "completed": completed,
            "progress": None,
            "eta": None,
            "live_preview": None,
            "id_live_preview": -1,
            "textinfo": textinfo,
        }
        if not active:
            return answer
        state = self._engine.state
        answer["progress"], answer["eta"] = state.task_progress()
        answer["id_live_preview"] = wanted
        if body.get("live_preview", True):
            self._make_preview()
            if state.current_image is not None and state.id_live_preview != wanted:
                encoded = pictures.encode(state.current_image)
                answer["live_preview"] = f"data:image/png;base64,{encoded}"
                answer["id_live_preview"] = state.id_live_preview
        return answer

    def _pending_tasks(self, _request: Request) -> dict[str, Any]:
        tasks = self._engine.tasks.pending()
        return {"size": len(tasks), "tasks": tasks}

    def _interrupt(self, _request: Request) -> dict[str, Any]:
        self._engine.state.interrupted = True
        return {}

    def _skip(self, _request: Request) -> None:
        self._engine.state.skipped = True

    def _set_options(self, request: Request) -> None:
        values = require_dict(request.json())
        name = values.get("sd_model_checkpoint")
        if name is not None and self._engine.inventory.find(name) is None:
            raise PythonError("RuntimeError", f"model {name!r} not found")
        self._engine.options.update(values)

    def _refresh_checkpoints(self, _request: Request) -> None:
        with self._engine.queue:
            self._engine.inventory.refresh()

    def _wait_for_queue(self, _request: Request) -> None:
        with self._engine.queue:
            pass

    def _scripts(self, _request: Request) -> dict[str, Any]:
        """List the recorded scripts, and those of further extensions on both tabs."""
        further = self._engine.extra_scripts
        return {tab: [*names, *further] for tab, names in recorded("scripts").items()}

    def _embeddings(self, _request: Request) -> dict[str, Any]:
        item = {
            "step": None,
            "sd_checkpoint": None,
            "sd_checkpoint_name": None,
            "shape": 768,
            "vectors": 2,
        }
        names = self._engine.inventory.embeddings
        return {"loaded": {name: dict(item) for name in names}, "skipped": {}}

    def _cmd_flags(self, _request: Request) -> Any:
        answer = recorded("cmd-flags")
        raise PythonError(answer["error"], answer["message"], answer["body"])

    def _png_info(self, request: Request) -> dict[str, Any]:
        image = pictures.decode(require_dict(request.json()).get("image"))
        text = str(image.info.get("parameters", ""))
        return {"info": text, "items": {}, "parameters": infotext.parse(text)}


def refusal(error: RequestRefused | PythonError) -> Response:
    """Return the answer that stands for an error."""
    body = json.dumps(error.body(), ensure_ascii=False, separators=(",", ":"))
    return Response(error.status, body.encode("utf-8", "replace"), headers=dict(error.headers))


def _answer_with(body: Any) -> Callable[[Request], Any]:
    return lambda _request: body


def _answer_as_recorded(name: str) -> Callable[[Request], Any]:
    return lambda _request: recorded(name)
