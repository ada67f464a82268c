"""What is asked under /mobilesd/v1/, and answered: without any web framework."""

import base64
import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobilesd_forge.companion.engine import Engine, Look
from mobilesd_forge.companion.jobs import Jobs, NotTaken
from mobilesd_forge.companion.records import FINAL, Record, is_token
from mobilesd_forge.companion.token import CompanionToken, WrongTokens
from mobilesd_forge.version import VERSION

__all__ = ["MAX_BODY", "PREFIX", "PROTOCOL", "TOKEN_HEADER", "Request", "Response", "Routes"]

log = logging.getLogger(__name__)

PREFIX = "/mobilesd/v1"
PROTOCOL = 1
TOKEN_HEADER = "x-mobilesd-token"  # no Authorization: a proxy before us may want that for itself
MAX_BODY = 512 * 1024 * 1024
_LONGEST_WAIT = 20.0
_LOOK_SECONDS = 0.1
_JOB = re.compile(r"/jobs/([^/]+)(/result|/cancel)?")


@dataclass(frozen=True)
class Request:
    """`path` without the prefix; names of headers in lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    client: str = ""


@dataclass(frozen=True)
class Response:
    """A body in memory, or the rest of a file from `offset` on."""

    status: int
    body: bytes = field(default=b"", repr=False)
    file: Path | None = None
    offset: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


class _Problem(Exception):
    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.response = _json({"error": code, "message": message}, status, **headers)


class Routes:
    """Answers requests; each may be handled in a thread of its own."""

    def __init__(
        self, jobs: Jobs, engine: Engine, token: CompanionToken, wrong: WrongTokens | None = None
    ) -> None:
        self._jobs = jobs
        self._engine = engine
        self._token = token
        self._wrong = wrong or WrongTokens()

    def handle(self, request: Request) -> Response:
        """Answer one request. Never raises."""
        try:
            return self._answer(request)
        except _Problem as problem:
            return problem.response
        except NotTaken as no:
            return _json({"error": no.code, "message": no.message}, no.status)
        except Exception:
            log.exception("%s %s", request.method, request.path)
            return _json(
                {"error": "internal", "message": "The companion failed; see its log."}, 500
            )

    def _answer(self, request: Request) -> Response:
        if request.path == "/hello":
            return self._only("GET", request, self._hello)
        self._check_token(request)
        if request.path == "/jobs":
            return self._only("POST", request, self._submit)
        found = _JOB.fullmatch(request.path)
        if found is None:
            raise _Problem(404, "not_found", "The companion has no such address.")
        token, what = found.groups()
        if not is_token(token):
            raise _Problem(404, "not_found", "This can't be the token of a job.")
        if what == "/result":
            return self._only("GET", request, lambda _: self._result(token))
        if what == "/cancel":
            return self._only("POST", request, lambda _: self._cancel(token))
        if request.method == "DELETE":
            self._jobs.close(token)
            return _json({"token": token, "state": "unknown"})
        return self._only("GET", request, lambda _: self._state(request, token))

    @staticmethod
    def _only(method: str, request: Request, answer: Callable[[Request], Response]) -> Response:
        if request.method != method:
            raise _Problem(405, "method_not_allowed", f"Use {method} here.", allow=method)
        return answer(request)

    def _check_token(self, request: Request) -> None:
        given = request.headers.get(TOKEN_HEADER, "")
        if not given:
            raise _Problem(401, "token_missing", "The companion's token is missing.")
        if self._token.matches(given):
            return
        if wait := self._wrong.note(request.client):
            seconds = str(int(wait) + 1)
            raise _Problem(
                429, "too_many_wrong_tokens", "Too many wrong tokens.", **{"retry-after": seconds}
            )
        raise _Problem(401, "token_wrong", "The companion's token is wrong.")

    # --- the routes -------------------------------------------------------------------------

    def _hello(self, request: Request) -> Response:
        if not request.headers.get(TOKEN_HEADER):
            return _json({"companion": "mobilesd", "token": "needed"})
        self._check_token(request)
        facts = self._engine.facts()
        return _json(
            {
                "companion": "mobilesd",
                "version": VERSION,
                "protocol": PROTOCOL,
                "engine": {
                    "program": facts.program,
                    "version": facts.version,
                    "kinds": list(facts.kinds),
                    "cancels_running": facts.cancels_running,
                    "problems": list(facts.problems),
                },
            }
        )

    def _submit(self, request: Request) -> Response:
        body = _object(request.body)
        token, kind, payload = (body.get(name) for name in ("token", "kind", "payload"))
        if not isinstance(token, str) or not is_token(token):
            raise _Problem(422, "bad_token", "`token` must have 8 to 64 letters, digits, - or _.")
        if kind not in (kinds := self._engine.facts().kinds):
            known = ", ".join(kinds) or "nothing"
            raise _Problem(
                422, "bad_kind", f"`kind` must be one of what is possible here: {known}."
            )
        if not isinstance(payload, dict):
            raise _Problem(422, "bad_payload", "`payload` must be an object.")
        record, new = self._jobs.submit(token, str(kind), payload)
        return _json({**self._shown(record, None), "new": new}, 202)

    def _state(self, request: Request, token: str) -> Response:
        """Show an attempt; with `wait` and `seen`, as soon as it differs from what was seen."""
        record, look = self._watch(request, token)
        if record is None:
            return _json({"token": token, "state": "unknown"})
        return _json(self._shown(record, look))

    def _watch(self, request: Request, token: str) -> tuple[Record | None, Look | None]:
        seen, preview = request.query.get("seen", ""), request.query.get("preview") == "1"
        steps = request.query.get("steps") == "1"
        end = time.monotonic() + min(_number(request.query.get("wait", "0")), _LONGEST_WAIT)
        while True:
            record = self._jobs.get(token)
            running = record is not None and record.state == "running"
            look = self._jobs.look(record, preview=preview) if record and running else None
            left = end - time.monotonic()
            if record is None or record.state in FINAL or left <= 0:
                return record, look
            if _version(record, look if steps else None) != seen:
                return record, look
            # The steps are the engine's own and wake nobody.
            self._jobs.wait(token, record.state, min(left, _LOOK_SECONDS) if steps else left)

    def _shown(self, record: Record, look: Look | None) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "token": record.token,
            "kind": record.kind,
            "state": record.state,
            "cancelling": record.cancelling,
            "created_at": record.created_at,
            "began_at": record.began_at,
            "ended_at": record.ended_at,
            "status": record.status,
            "interrupted": record.interrupted,
            "bytes": record.bytes,
            "version": _version(record, None),
            "steps_version": _version(record, look),
        }
        if record.state == "queued":
            shown["before"] = self._jobs.place(record.token)
        if look is not None:
            shown["progress"] = {
                "active": look.active,
                "fraction": look.fraction,
                "eta": look.eta,
                "step": look.step,
                "steps": look.steps,
                "job": look.job,
                "job_no": look.job_no,
                "preparing": look.preparing,
                "interrupted": look.interrupted,
                "preview": base64.b64encode(look.preview).decode() if look.preview else None,
            }
        return shown

    def _result(self, token: str) -> Response:
        record, answer = self._jobs.get(token), self._jobs.answer(token)
        if record is None or answer is None:
            raise _Problem(404, "no_result", "There is no result of this job here.")
        if isinstance(answer, bytes):
            return Response(200, answer)
        return Response(200, file=answer.file, offset=answer.offset)

    def _cancel(self, token: str) -> Response:
        record = self._jobs.cancel(token)
        if record is None:
            return _json({"token": token, "state": "unknown"})
        return _json(self._shown(record, None))


def _version(record: Record, look: Look | None) -> str:
    """Return what changes with what is shown: to be sent back as `seen`."""
    if look is None:
        return f"{record.state}{'-cancelling' if record.cancelling else ''}"
    moved = f"{look.active} {look.job_no} {look.step} {look.preparing} {look.interrupted}"
    return f"{record.state}-{hashlib.sha256(moved.encode()).hexdigest()[:8]}"


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value < 1e6 else 0.0


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _Problem(400, "bad_json", "The body must be a JSON object.")
    return found


def _json(value: Any, status: int = 200, **headers: str) -> Response:
    return Response(status, json.dumps(value).encode(), headers=headers)
