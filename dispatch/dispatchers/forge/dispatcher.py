"""Forge behind the dispatcher interface."""

import base64
import binascii
import logging
from typing import Any, ClassVar
from uuid import UUID

from dispatch.dispatchers.base import (
    Address,
    Answer,
    BackendError,
    Dispatcher,
    ErrorClass,
    LostAnswer,
    NeverReached,
    Order,
    Presence,
    Probe,
    Progress,
    Request,
)
from dispatch.dispatchers.forge import answer, inventory, payload
from dispatch.dispatchers.forge.client import Client, Refused, Unclear, WrongAnswer
from dispatch.dispatchers.forge.errors import error_of
from dispatch.dispatchers.forge.post import MAX_ANSWER_BYTES, Post
from dispatch.inventory import ServerInventory

__all__ = ["ForgeDispatcher"]

log = logging.getLogger(__name__)

_PROGRESS = "/sdapi/v1/progress?skip_current_image=true"
_POLL_SECONDS = 3.0
# Room for the parts of an answer that are no pictures, and for pictures that do not compress.
_BASE_BYTES = 32 * 1024 * 1024
_BYTES_PER_PIXEL = 12


class ForgeDispatcher(Dispatcher):
    """Drives one Forge: one job in flight and one handed over, followed by polling."""

    app_type: ClassVar[str] = "forge"
    label: ClassVar[str] = "Forge"

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._client = Client(address)
        self._inventory: ServerInventory | None = None
        self._post: Post | None = None

    def probe(self, timeout: float = 5) -> Probe:
        try:
            state = self._client.get(_PROGRESS, timeout)["state"]
        except Refused:
            return Probe("offline", "Nothing listens at this address.")
        except Unclear as error:
            return Probe("offline", f"There is no answer ({_short(error)}).")
        except WrongAnswer as error:
            if error.status == 404:
                return Probe("starting", "The server is starting.")
            if error.status == 401:
                return Probe("refused", "The user name or password is wrong.")
            return Probe("offline", f"The server answers with status {error.status}.")
        except (KeyError, TypeError):
            return Probe("offline", "What answers there is no Forge.")
        return Probe(
            "healthy",
            has_task_ids=self._has_task_ids(timeout),
            running_foreign=bool(state.get("job")),
        )

    def _has_task_ids(self, timeout: float) -> bool:
        try:
            self._client.get("/internal/pending-tasks", timeout)
        except (Refused, Unclear, WrongAnswer):
            return False  # --nowebui: no ids at all
        return True

    def inventory(self) -> ServerInventory:
        try:
            return inventory.read(self._client)
        except (Refused, Unclear) as error:
            raise NeverReached(f"There is no answer ({_short(error)}).") from error
        except WrongAnswer as error:
            raise NeverReached(f"The server answers with status {error.status}.") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise BackendError(
                ErrorClass.TRANSIENT, "bad_answer", "The server's lists can't be read."
            ) from error

    def prepare(self, order: Order, inventory: ServerInventory | None) -> Request:
        self._inventory = inventory
        return payload.build(order, inventory)

    def run(self, request: Request, token: UUID) -> Answer:
        self._post = Post(self.address)
        body = {**request.body, "force_task_id": str(token)}
        room = _BASE_BYTES + (
            _BYTES_PER_PIXEL * request.asked["pixels"] * (request.asked["images"] + 1)
        )
        raw = self._post.send(request.path, body, limit=min(room, MAX_ANSWER_BYTES))
        with raw.body:
            try:
                parsed: Any = raw.json()
            except (ValueError, RecursionError):
                # A proxy's error page: Forge itself may still be at work on the job.
                raise LostAnswer(
                    f"The server answered with something else than JSON (status {raw.status}).",
                    code="bad_answer",
                    hint="Is this address really the image server? Test the connection.",
                ) from None
        if raw.status != 200:
            raise error_of(raw.status, parsed)
        return answer.read(parsed, request, self._inventory)

    def progress(self, token: UUID, *, preview: bool, task_ids: bool) -> Progress | None:
        try:
            task = self._task(token, preview) if task_ids else {}
            if task_ids and not task.get("active"):
                return Progress(active=False, text=str(task.get("textinfo") or ""))
            whole = self._client.get(_PROGRESS, _POLL_SECONDS)
            state = whole["state"]
            running = bool(state.get("job"))
            fraction = float(task.get("progress") or 0) if task_ids else float(whole["progress"])
            eta = task.get("eta") if task_ids else whole.get("eta_relative")
            return Progress(
                active=task_ids or running,
                fraction=min(max(fraction, 0.0), 1.0),
                # Before the first step Forge's figure is a guess that can be minutes off.
                eta=float(eta) if eta and fraction > 0.02 else None,
                sampling=bool(state.get("sampling_step")) or int(state.get("job_no") or 0) > 0,
                interrupted=running and bool(state.get("interrupted")),
                text=_phase(state),
                preview=_decode_preview(task.get("live_preview")),
            )
        except (Refused, Unclear, WrongAnswer, KeyError, TypeError, ValueError):
            return None

    def _task(self, token: UUID, preview: bool) -> dict[str, Any]:
        found = self._client.post(
            "/internal/progress",
            {"id_task": str(token), "id_live_preview": -1, "live_preview": preview},
            _POLL_SECONDS,
        )
        if not isinstance(found, dict):
            raise TypeError("no progress")
        return found

    def presence(self, token: UUID, *, task_ids: bool) -> Presence:
        try:
            if task_ids:
                task = self._task(token, preview=False)
                if not task.get("active") and not task.get("queued"):
                    return Presence.GONE
            # `active` and `queued` may lie for ever after a failure (rule 18): an idle Forge
            # has nothing of ours. state.job is empty only between runs; job_count is -1 while
            # a run prepares, so it can't be used here.
            state = self._client.get(_PROGRESS, _POLL_SECONDS)["state"]
            return Presence.HERE if state.get("job") else Presence.GONE
        except Refused:
            return Presence.GONE  # a Forge that ended remembers nothing when it comes back
        except WrongAnswer as error:
            return Presence.GONE if error.status == 404 else Presence.UNKNOWN
        except (Unclear, KeyError, TypeError, AttributeError):
            return Presence.UNKNOWN

    def leftovers(self) -> frozenset[str]:
        try:
            if self._client.get(_PROGRESS, _POLL_SECONDS)["state"].get("job"):
                return frozenset()
            return frozenset(self._pending())
        except (Refused, Unclear, WrongAnswer, KeyError, TypeError):
            return frozenset()

    def alone(self, token: UUID, leftovers: frozenset[str]) -> bool:
        try:
            waiting = set(self._pending()) - leftovers
            return not waiting and bool(self._task(token, preview=False).get("active"))
        except (Refused, Unclear, WrongAnswer, KeyError, TypeError):
            return False

    def _pending(self) -> list[str]:
        return [str(name) for name in self._client.get("/internal/pending-tasks")["tasks"]]

    def interrupt(self) -> None:
        try:
            self._client.post("/sdapi/v1/interrupt", timeout=_POLL_SECONDS)
        except (Refused, Unclear, WrongAnswer) as error:
            log.warning("interrupt: %s", _short(error))

    def was_interrupted(self) -> bool:
        try:
            state = self._client.get(_PROGRESS, _POLL_SECONDS)["state"]
            return not state.get("job") and bool(state.get("interrupted"))
        except (Refused, Unclear, WrongAnswer, KeyError, TypeError):
            return False

    def heal(self, checkpoint: str) -> bool:
        body = {
            "prompt": "",
            "steps": 1,
            "width": 64,
            "height": 64,
            "override_settings": {"sd_model_checkpoint": checkpoint},
        }
        try:
            self._client.post("/sdapi/v1/txt2img", body, timeout=300)
        except (Refused, Unclear, WrongAnswer) as error:
            log.warning("mending a poisoned server failed: %s", _short(error))
            return False
        return True

    def close(self) -> None:
        self._client.close()
        if self._post is not None:
            self._post.abort()


def _phase(state: dict[str, Any]) -> str:
    step, steps = int(state.get("sampling_step") or 0), int(state.get("sampling_steps") or 0)
    if int(state.get("job_count") or 0) < 0 or (step == 0 and not state.get("job_no")):
        return "Preparing"
    job = str(state.get("job") or "")
    batch = f"{job} · " if job.startswith("Batch") else ""
    return f"{batch}Step {step} of {steps}"


def _decode_preview(value: Any) -> bytes | None:
    if not isinstance(value, str) or not value.startswith("data:image/"):
        return None
    try:
        return base64.b64decode(value.partition(",")[2], validate=True)
    except (ValueError, binascii.Error):
        return None


def _short(error: Exception) -> str:
    """Return the kind of an error: a library's text may hold the whole address and more."""
    cause = error.__cause__
    return type(cause if cause is not None else error).__name__
