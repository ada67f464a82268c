"""What the panel in Forge's page asks for, under /mobilesd/page/.

Plain functions from a request to an answer; `asgi.py` fits them to a web server. Every request
carries the page's token in a header: Forge hands it to the page behind its own sign-in, and a
page of another origin can neither read it nor send such a header.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mobilesd_forge.faults import Fault

if TYPE_CHECKING:
    from mobilesd_forge.service import Service

__all__ = ["MAX_BODY", "TOKEN_HEADER", "Answer", "PageRoutes", "Request"]

log = logging.getLogger(__name__)

TOKEN_HEADER = "x-mobilesd-page"
MAX_BODY = 16 * 1024
_OF_PAGE = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True)
class Request:
    """`path` without /mobilesd/page/, `headers` with names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class PageRoutes:
    """The routes of one service."""

    def __init__(self, service: "Service") -> None:
        self._service = service
        # By the first part of the path, and how many follow it.
        self._read: dict[tuple[str, int], Callable[[list[str], Request], Answer]] = {
            ("state", 0): self._state,
            ("held", 0): self._held,
            ("thumbnail", 2): self._thumbnail,
            ("infotext", 1): self._infotext,
            ("key", 0): self._key,
        }
        self._change: dict[str, Callable[[Mapping[str, str]], Mapping[str, Any]]] = {
            "cancel": lambda said: {"text": service.cancel(said["job"])},
            "retry": lambda said: {"text": service.retry(said["job"])},
            "outbox/again": lambda said: {"text": service.send_again(said["name"])},
            "outbox/drop": lambda said: {"text": service.drop(said["name"])},
            "key": lambda said: {"text": service.store_key(said["key"]), **service.key_shown()},
            "key/forget": lambda said: {"text": service.forget_key(), **service.key_shown()},
            "test": lambda said: {"text": service.check_connection()},
        }

    def answer(self, request: Request) -> Answer:
        """Answer a request. `state`, `held`, `infotext` and `key` never wait for MobileSD."""
        try:
            return self._answer(request)
        except Fault as fault:
            return _json(409, {"error": fault.code, "text": fault.text})
        except Exception as error:
            log.exception("MobileSD: the panel's request %s failed", request.path)
            return _error(500, f"The extension failed ({type(error).__name__}). See Forge's log.")

    def _answer(self, request: Request) -> Answer:
        if not self._service.is_page(request.headers.get(TOKEN_HEADER, "")):
            return _error(403, "Reload this page: Forge was started anew.")
        if not _same_origin(request.headers):
            return _error(403, "Another page asked for this.")
        if request.method == "GET":
            first, *rest = request.path.split("/")
            found = self._read.get((first, len(rest)))
            return found(rest, request) if found else _error(404, "There is nothing here.")
        if request.method == "POST":
            return self._changed(request)
        return _error(405, "Only GET and POST are known here.")

    def _changed(self, request: Request) -> Answer:
        change = self._change.get(request.path)
        if change is None:
            return _error(404, "There is nothing here.")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return _error(415, "Send JSON.")
        try:
            said = json.loads(request.body)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict) or not all(isinstance(v, str) for v in said.values()):
            return _error(400, "Send a JSON object of texts.")
        try:
            return _json(200, change(said))
        except KeyError as missing:
            return _error(400, f"{missing.args[0]} is missing.")

    # --- Reading ---------------------------------------------------------------------------------
    def _state(self, rest: list[str], request: Request) -> Answer:
        body = json.dumps(self._service.state()).encode()
        mark = f'"{sha256(body).hexdigest()[:20]}"'
        headers = {**_OF_PAGE, "Content-Type": "application/json", "ETag": mark}
        if request.headers.get("if-none-match") == mark:
            return Answer(304, headers, b"")
        return Answer(200, headers, body)

    def _held(self, rest: list[str], request: Request) -> Answer:
        return _json(200, self._service.held())

    def _thumbnail(self, rest: list[str], request: Request) -> Answer:
        if not rest[1].isascii() or not rest[1].isdecimal() or len(rest[1]) > 4:
            return _error(404, "There is no such picture.")
        kind, content = self._service.picture(rest[0], int(rest[1]))
        headers = {**_OF_PAGE, "Content-Type": kind, "Cache-Control": "private, max-age=86400"}
        return Answer(200, headers, content)

    def _infotext(self, rest: list[str], request: Request) -> Answer:
        text = self._service.infotext(rest[0])
        return _json(200, {"infotext": text}) if text else _error(404, "It has no infotext.")

    def _key(self, rest: list[str], request: Request) -> Answer:
        return _json(200, self._service.key_shown())


def _same_origin(headers: Mapping[str, str]) -> bool:
    """Tell whether a request comes from a page of this very server, as far as the browser says."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    if origin is None:
        return True
    here = {headers.get("host", ""), headers.get("x-forwarded-host", "")} - {""}
    return urlsplit(origin).netloc in here


def _json(status: int, said: Mapping[str, Any]) -> Answer:
    headers = {**_OF_PAGE, "Content-Type": "application/json"}
    return Answer(status, headers, json.dumps(said).encode())


def _error(status: int, text: str) -> Answer:
    return _json(status, {"error": str(status), "text": text})
