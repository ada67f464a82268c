"""Forge behind the dispatcher interface."""

import base64
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID

from dispatch.dispatchers.base import (
    Address,
    Answer,
    BackendError,
    Dispatcher,
    ErrorClass,
    Memory,
    NeverReached,
    Order,
    Part,
    Presence,
    Probe,
    Progress,
    Relief,
    Request,
)
from dispatch.dispatchers.forge import answer, inventory, less_memory, payload, rounds, upscale
from dispatch.dispatchers.forge import companion as companions
from dispatch.dispatchers.forge.client import Client, Refused, Trouble, Unclear, WrongAnswer
from dispatch.dispatchers.forge.errors import error_of, unreadable
from dispatch.dispatchers.forge.post import MAX_ANSWER_BYTES, Post, RawAnswer
from dispatch.dispatchers.forge.untrusted import text
from dispatch.inventory import ServerInventory

__all__ = ["ForgeDispatcher"]

log = logging.getLogger(__name__)

_PROGRESS = "/sdapi/v1/progress?skip_current_image=true"
_POLL_SECONDS = 3.0
_HEAL_SECONDS = 300.0
_ENDLESS = 1e12
# What a live preview may be: PNG, JPEG or WebP (Forge's option live_previews_image_format).
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")
# Room for the parts of an answer that are no pictures, and for pictures that do not compress.
_BASE_BYTES = 32 * 1024 * 1024
_BYTES_PER_PIXEL = 12


class ForgeDispatcher(Dispatcher):
    """Drives one Forge: one job in flight and one handed over, followed by polling."""

    app_type: ClassVar[str] = "forge"
    label: ClassVar[str] = "Forge"
    companion_hint: ClassVar[str] = (
        "With MobileSD's extension installed in this Forge, a cancel stops exactly its own picture,"
        " and no picture is lost when MobileSD is restarted. The token is shown in Forge, on the"
        " page MobileSD. It is kept encrypted and never shown again."
    )

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._client = Client(address)
        self._inventory: ServerInventory | None = None
        self._post: Post | None = None
        self._companion = companions.Companion(address)

    def probe(self, timeout: float = 5) -> Probe:
        end = time.monotonic() + timeout
        try:
            self._state(timeout)
        except WrongAnswer as error:
            return _probe_of(error)
        except Trouble as trouble:
            return Probe("offline", str(trouble))
        return Probe(
            "healthy",
            has_task_ids=self._has_task_ids(end - time.monotonic()),
            companion=self._companion.report(max(end - time.monotonic(), 0.5)),
        )

    def _has_task_ids(self, timeout: float) -> bool:
        try:
            self._client.get("/internal/pending-tasks", max(timeout, 0.5))
        except WrongAnswer:
            return False  # --nowebui: no ids at all
        except Trouble:
            return True  # slow, not without: progress copes with either
        return True

    def inventory(self) -> ServerInventory:
        try:
            return inventory.read(self._client)
        except Trouble as trouble:
            raise NeverReached(str(trouble)) from trouble
        except (KeyError, TypeError, AttributeError) as error:
            raise BackendError(
                ErrorClass.TRANSIENT, "bad_answer", "The server's lists can't be read."
            ) from error

    @classmethod
    def order_warnings(cls, params: Mapping[str, Any]) -> Sequence[str]:
        return payload.left_out(params)

    @classmethod
    def relieve(
        cls, params: Mapping[str, Any], step: int, inventory: ServerInventory | None
    ) -> Relief | None:
        return less_memory.relieve(params, step, inventory)

    @classmethod
    def part(
        cls, kind: str, params: Mapping[str, Any], made: int, *, whole: bool = False
    ) -> Part | None:
        return rounds.part(kind, params, made, whole=whole)

    @classmethod
    def merged(cls, before: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
        return answer.bounded(super().merged(before, more))

    def memory(self) -> Memory | None:
        try:
            return less_memory.read(self._client.get("/sdapi/v1/memory", _POLL_SECONDS))
        except Trouble:
            return None

    def foreign_work(self) -> str:
        try:
            state = self._state(_POLL_SECONDS)
        except Trouble:
            return ""
        # After an upscale that failed it says "Upscale" until the next run, which would never
        # come if this counted as somebody's work.
        running = bool(state.get("job")) and not upscale.is_all_that_shows(state)
        return "Somebody else makes a picture there." if running else ""

    def prepare(self, order: Order, inventory: ServerInventory | None) -> Request:
        self._inventory = inventory
        if order.kind == upscale.KIND:
            return upscale.build(order, inventory)
        return payload.build(order, inventory)

    @classmethod
    def knows_by_token(cls, kind: str) -> bool:
        return kind != upscale.KIND

    def run(self, request: Request, token: UUID) -> Answer:
        kind = _kind(request)
        if self._companion.takes(kind):
            try:
                kept = self._companion.run(kind, request.body, token, _room(request))
            except companions.NoCompanion as none:
                log.warning("sent without the companion: %s", none)
            else:
                return self._read_kept(kept, request)
        self._post = Post(self.address)
        is_upscale = request.path == upscale.PATH
        body = request.body if is_upscale else {**request.body, "force_task_id": str(token)}
        raw = self._post.send(request.path, body, limit=_room(request))
        return self._read(raw.status, raw, request)

    def _read(self, status: int, raw: RawAnswer, request: Request) -> Answer:
        with raw.body:
            try:
                parsed = raw.json()
            except ValueError:
                raise unreadable(status) from None
        if status != 200:
            raise error_of(status, parsed)
        if request.path == upscale.PATH:
            return upscale.read(parsed, request)
        return answer.read(parsed, request, self._inventory)

    def _read_kept(self, kept: companions.Kept, request: Request) -> Answer:
        return replace(self._read(kept.status, kept.raw, request), interrupted=kept.interrupted)

    def resume(self, request: Request, token: UUID) -> Answer:
        return self._read_kept(self._companion.collect(token, _room(request)), request)

    def cancel(self, token: UUID) -> bool | None:
        return self._companion.cancel(token)

    def forget(self, token: UUID) -> None:
        self._companion.forget(token)

    def progress(self, token: UUID, *, preview: bool, task_ids: bool) -> Progress | None:
        try:
            told = self._companion.state(token, preview=preview)
        except WrongAnswer:
            told = None
        except Trouble:
            return None
        if told is not None:
            return _told_by_companion(told)
        try:
            task = self._task(token, preview) if task_ids else None
            if task is not None and not task.get("active"):
                return Progress(
                    waiting=bool(task.get("queued")), text=text(task.get("textinfo") or "", 200)
                )
            whole = self._progress(_POLL_SECONDS)
        except Trouble:
            return None
        state = whole["state"]
        running = bool(state.get("job"))
        if task is None and upscale.is_all_that_shows(state):
            # It counts pictures, of which there is one: 100 % from the beginning.
            interrupted = bool(state.get("interrupted"))
            return Progress(active=True, interrupted=interrupted, text="Upscaling")
        fraction = _number((task or whole).get("progress"))
        eta = _number(task.get("eta") if task else whole.get("eta_relative"))
        return Progress(
            active=running or task is not None,
            fraction=min(max(fraction, 0.0), 1.0),
            # Before the first step Forge's figure is a guess that can be minutes off.
            eta=eta if eta > 0 and fraction > 0.02 else None,
            sampling=_number(state.get("sampling_step")) > 0 or _number(state.get("job_no")) > 0,
            interrupted=running and bool(state.get("interrupted")),
            text=_phase(state),
            preview=_decode_preview(task.get("live_preview") if task else None),
        )

    def presence(self, token: UUID, *, task_ids: bool) -> Presence:
        known = self._companion.presence(token)
        if known is not None:
            return known
        try:
            task = self._task(token, preview=False) if task_ids else None
            if task is not None and not task.get("active") and not task.get("queued"):
                return Presence.GONE
            # `active` and `queued` may lie for ever after a failure (rule 18): an idle Forge
            # has nothing of ours. state.job is empty only between runs; job_count is -1 while
            # a run prepares, so it can't be used here.
            return Presence.HERE if self._state(_POLL_SECONDS).get("job") else Presence.GONE
        except Refused:
            return Presence.GONE  # a Forge that ended remembers nothing when it comes back
        except WrongAnswer as error:
            # A companion that will be there in a moment may have its answer.
            forgets = _is_starting(error) and not self.address.companion_token
            return Presence.GONE if forgets else Presence.UNKNOWN
        except Unclear:
            return Presence.UNKNOWN

    def leftovers(self) -> frozenset[str]:
        try:
            # What waits while something runs may be alive.
            idle = not self._state(_POLL_SECONDS).get("job")
            return frozenset(self._pending()) if idle else frozenset()
        except Trouble:
            return frozenset()

    def alone(self, token: UUID, leftovers: frozenset[str]) -> bool:
        try:
            waiting = set(self._pending()) - leftovers
            task = self._task(token, preview=False)
            return not waiting and task is not None and bool(task.get("active"))
        except Trouble:
            return False

    def interrupt(self) -> None:
        try:
            self._client.post("/sdapi/v1/interrupt", timeout=_POLL_SECONDS)
        except Trouble as trouble:
            log.warning("interrupt: %s", trouble)

    def was_interrupted(self) -> bool:
        try:
            state = self._state(_POLL_SECONDS)
        except Trouble:
            return False
        return not state.get("job") and bool(state.get("interrupted"))

    def heal(self, checkpoint: str) -> bool:
        body = {
            "prompt": "",
            "steps": 1,
            "width": 64,
            "height": 64,
            "override_settings": {"sd_model_checkpoint": checkpoint},
        }
        try:
            self._client.post("/sdapi/v1/txt2img", body, timeout=_HEAL_SECONDS)
        except Trouble as trouble:
            log.warning("mending a poisoned server failed: %s", trouble)
            return False
        return True

    def close(self) -> None:
        self._client.close()
        self._companion.close()
        if self._post is not None:
            self._post.abort()

    # --- what Forge says, each in the shape that it should have -----------------------------

    def _progress(self, timeout: float) -> dict[str, Any]:
        found = _object(self._client.get(_PROGRESS, timeout))
        return {**found, "state": _object(found.get("state"))}

    def _state(self, timeout: float) -> dict[str, Any]:
        state: dict[str, Any] = self._progress(timeout)["state"]
        return state

    def _task(self, token: UUID, preview: bool) -> dict[str, Any] | None:
        """Return what Forge knows of a token; None where it has no ids (--nowebui, starting)."""
        asked = {"id_task": str(token), "id_live_preview": -1, "live_preview": preview}
        try:
            return _object(self._client.look_up("/internal/progress", asked, _POLL_SECONDS))
        except WrongAnswer as error:
            if error.status == 404:
                return None
            raise

    def _pending(self) -> list[str]:
        tasks = _object(self._client.get("/internal/pending-tasks", _POLL_SECONDS)).get("tasks")
        if not isinstance(tasks, list):
            raise Unclear("What answers there is no Forge.")
        return [str(name) for name in tasks]


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unclear("What answers there is no Forge.")
    return value


def _is_starting(error: WrongAnswer) -> bool:
    # A Forge that starts answers 404 as JSON; a web page says that something else listens.
    return error.status == 404 and error.json


def _probe_of(error: WrongAnswer) -> Probe:
    if _is_starting(error):
        return Probe("starting", "The server is starting. If this stays, start it with --api.")
    if error.status in (401, 403):
        return Probe("refused", "The user name or password is wrong.")
    if 300 <= error.status < 400:
        return Probe("offline", f"The address leads somewhere else (status {error.status}).")
    return Probe("offline", str(error))


def _kind(request: Request) -> str:
    """Return the kind of a request as the companion calls it."""
    return request.path.rpartition("/")[2]


def _told_by_companion(told: dict[str, Any]) -> Progress | None:
    """Return how far an attempt is; None when it has ended: its answer is on the way."""
    if told.get("state") == "queued":
        return Progress(waiting=True, text="Next on the server")
    if told.get("state") != "running":
        return None
    found = told.get("progress")
    look: dict[str, Any] = found if isinstance(found, dict) else {}
    if not look.get("active"):
        return Progress(waiting=True, text="Waits for another picture on the server")
    interrupted = bool(look.get("interrupted"))
    if upscale.is_all_that_shows(look):
        return Progress(active=True, interrupted=interrupted, text="Upscaling")
    fraction, eta = _number(look.get("fraction")), _number(look.get("eta"))
    step, steps, place = (_number(look.get(name)) for name in ("step", "steps", "job_no"))
    phase = {
        "sampling_step": step,
        "sampling_steps": steps,
        "job_no": place,
        "job": look.get("job"),
    }
    preview = look.get("preview")
    return Progress(
        active=True,
        fraction=min(max(fraction, 0.0), 1.0),
        eta=eta if eta > 0 and fraction > 0.02 else None,
        sampling=step > 0 or place > 0,
        interrupted=interrupted,
        text=_phase({**phase, "job_count": -1 if look.get("preparing") else 1}),
        preview=_decode_preview(f"data:image/jpeg;base64,{preview}" if preview else None),
    )


def _room(request: Request) -> int:
    """Return how large an answer to this request can be."""
    if request.asked["unbounded"]:
        return MAX_ANSWER_BYTES
    pictures = request.asked["images"] + 1
    room = _BASE_BYTES + _BYTES_PER_PIXEL * request.asked["pixels"] * pictures
    return int(min(room, MAX_ANSWER_BYTES))


def _number(value: Any) -> float:
    """Return a number that means something, 0 for anything else."""
    return float(value) if isinstance(value, int | float) and abs(value) < _ENDLESS else 0.0


def _phase(state: dict[str, Any]) -> str:
    step, steps = (
        int(_number(state.get("sampling_step"))),
        int(_number(state.get("sampling_steps"))),
    )
    if _number(state.get("job_count")) < 0 or (step == 0 and not state.get("job_no")):
        return "Preparing"
    job = text(state.get("job") or "", 100)
    batch = f"{job} · " if job.startswith("Batch") else ""
    return f"{batch}Step {step} of {steps}"


def _decode_preview(value: Any) -> bytes | None:
    if not isinstance(value, str) or not value.startswith("data:image/"):
        return None
    try:
        picture = base64.b64decode(value.partition(",")[2], validate=True)
    except ValueError:
        return None
    return picture if picture.startswith(_PICTURES) else None
