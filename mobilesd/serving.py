"""The HTTP server: daphne, with bounds on what a connection may cost before Django sees a request.

Twisted stores a body of any size, and waits for ever for a client that sends one byte now and
then. Here a request has a deadline for its headers, a least speed and a deadline for its body, and
a largest size. What breaks a bound is answered in the form of all errors, noted in the access log,
and the connection is closed.
"""

from mobilesd.pacing import PacedChannel, PacedServer  # isort:skip  # installs the asyncio reactor: before all else

import json
import secrets
import time
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.utils import timezone

from apikeys.access_log import Line, access_log
from apikeys.limits import network_of
from mobilesd.errors import Problem
from mobilesd.http.problems import envelope

__all__ = ["BoundedChannel", "WebServer"]

# A phone at the edge of its network is faster; 64 MB need 36 kB/s to come within the deadline.
LEAST_BYTES_A_SECOND = 2048
BODY_PATIENCE = 30  # times `PATIENCE_SECONDS`, for a whole body
ROOM_FOR_HEADERS = 64 * 1024
# After a refusal, so long may the client go on sending: a connection that is closed while bytes
# come in is reset, and the client never sees why.
LINGER_SECONDS = 5


_Channel: Any = PacedChannel  # whose methods have no types


class BoundedChannel(_Channel):  # type: ignore[misc]
    """One connection. `timeOut`, set by the factory, ends it when it is silent."""

    def __init__(self) -> None:
        super().__init__()
        self._began: float | None = None
        self._received = 0
        self._has_headers = False
        self._refused = False

    # --- What comes in ---------------------------------------------------------------------
    def dataReceived(self, data: bytes) -> None:
        if self._refused:
            return  # nor is the timer reset: it ends the connection
        if not self._handlingRequest:
            now = time.monotonic()
            if self._began is None:
                self._began = now
            self._received += len(data)
            problem = self._broken_bound(now - self._began)
            if problem is not None:
                self._refuse(problem)
                return
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        if not self._refused:
            super().lineReceived(line)

    def rawDataReceived(self, data: bytes) -> None:
        if not self._refused:
            super().rawDataReceived(data)

    def headerReceived(self, line: bytes) -> bool:
        try:
            return bool(super().headerReceived(line))
        except ValueError:  # a Content-Length of thousands of digits
            self._respondToBadRequestAndDisconnect()
            return False

    def allHeadersReceived(self) -> None:
        self._has_headers = True
        if self.length is not None and self.length > settings.MAX_BODY_BYTES:
            self._refuse(_too_large())
        else:
            super().allHeadersReceived()

    def allContentReceived(self) -> None:
        self._began, self._received, self._has_headers = None, 0, False
        # Django reads forms itself; here it would hold up everybody else's requests meanwhile.
        self.requests[-1]._parsePOSTFormSubmission = False
        super().allContentReceived()

    # --- What is refused -------------------------------------------------------------------
    def lineLengthExceeded(self, line: bytes) -> None:
        self._respondToBadRequestAndDisconnect()

    def timeoutConnection(self) -> None:
        if self._refused:
            self.transport.abortConnection()
        elif self._began is not None:
            self._refuse(_too_slow())
        else:  # idle between two requests
            super().timeoutConnection()

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Answer what is no HTTP; Twisted's own answer is a bare status line."""
        self._refuse(
            Problem("The request is malformed.", hint="Check its request line and its headers.")
        )

    def _broken_bound(self, seconds: float) -> Problem | None:
        patience = settings.PATIENCE_SECONDS
        if self._received > settings.MAX_BODY_BYTES + ROOM_FOR_HEADERS:
            return _too_large()
        if seconds <= patience:
            return None
        too_slow = (
            not self._has_headers
            or self._received < LEAST_BYTES_A_SECOND * seconds
            or seconds > patience * BODY_PATIENCE
        )
        return _too_slow() if too_slow else None

    def _refuse(self, problem: Problem) -> None:
        if self._refused:
            return
        self._refused = True
        request_id = secrets.token_hex(8)
        body = envelope(problem)
        body["details"]["request_id"] = request_id
        raw = json.dumps(body).encode()
        head = (
            f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(raw)}\r\n"
            f"X-Request-ID: {request_id}\r\n"
            "Cache-Control: no-store\r\n"
            "Connection: close\r\n\r\n"
        )
        self.transport.writeSequence([head.encode("ascii"), raw])
        self.setTimeout(LINGER_SECONDS)
        self._networkProducer.unregisterProducer()
        self.transport.loseWriteConnection()
        self._note(problem, request_id)

    def _note(self, problem: Problem, request_id: str) -> None:
        address = _address(self.transport.getPeer())
        access_log.note(
            Line(
                at=timezone.now(),
                key_prefix="",  # nobody has looked at a key yet
                known=False,
                method="",
                route="",
                status=problem.status,
                error=problem.error,
                milliseconds=round((time.monotonic() - (self._began or time.monotonic())) * 1000),
                bytes=0,
                address=address or None,
                user_agent="",
                source_info="",
                request_id=request_id,
                fold=f"{network_of(address)} {problem.error}",
            )
        )


def _address(peer: Any) -> str:
    try:
        return str(ip_address(getattr(peer, "host", "")))
    except ValueError:
        return ""


def _too_large() -> Problem:
    megabytes = settings.MAX_BODY_BYTES // 2**20
    return Problem(f"The body is larger than {megabytes} MB.", error="payload_too_large")


def _too_slow() -> Problem:
    return Problem("The request did not arrive in time.", error="request_timeout")


class WebServer(PacedServer):
    """daphne's server with BoundedChannel for its connections."""

    @property
    def http_factory(self) -> Any:
        return self._http_factory

    @http_factory.setter
    def http_factory(self, factory: Any) -> None:
        # Server.run() makes the factory and stores it here; there is no other place to reach it.
        factory.protocol = BoundedChannel
        factory.timeOut = settings.PATIENCE_SECONDS
        self._http_factory = factory
