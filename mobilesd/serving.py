"""The HTTP server: daphne, with bounds on what a connection may cost before Django sees a request.

Twisted takes any number of connections, stores a body of any size, and waits for ever for a client
that sends one byte now and then. Here there are only so many connections, and a request has a
deadline for its headers, a least speed and a deadline for its body, and a largest size. What
breaks a bound is answered in the form of all errors, noted in the access log, and the connection is
closed.
"""

from mobilesd.pacing import PacedChannel, PacedServer  # isort:skip  # installs the asyncio reactor: before all else

import contextlib
import json
import logging
import secrets
import sys
import time
from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote
from weakref import WeakSet

from django.conf import settings
from django.utils import timezone
from twisted.internet.threads import deferToThread

from apikeys import early
from apikeys.access_log import Line, access_log
from apikeys.limits import network_of
from mobilesd.errors import Problem, Unavailable
from mobilesd.http.problems import envelope

__all__ = ["BoundedChannel", "WebServer"]

if sys.platform != "win32":
    import resource

logger = logging.getLogger(__name__)

# A phone at the edge of its network is faster; 64 MB need 36 kB/s to come within the deadline.
LEAST_BYTES_A_SECOND = 2048
BODY_PATIENCE = 30  # times `PATIENCE_SECONDS`, for a whole body
ROOM_FOR_HEADERS = 64 * 1024
# So many connections more are told that there are too many; what comes beyond is just closed.
ROOM_FOR_REFUSED = 64
FILES_BESIDE_CONNECTIONS = 256  # databases, pictures that are sent, logs
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
        self._gone = False

    # --- How many there are ----------------------------------------------------------------
    def connectionMade(self) -> None:
        super().connectionMade()
        server = self.factory.server
        beyond = server.count_with(self.transport) - server.most_connections
        if beyond > ROOM_FOR_REFUSED:
            self.transport.abortConnection()
        elif beyond > 0:
            self._refuse(_too_many(server.most_connections))

    def connectionLost(self, reason: Any) -> None:
        self._gone = True
        super().connectionLost(reason)

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
        self.setTimeout(LINGER_SECONDS)
        if not self._has_headers:
            self._refuse_unknown(problem, {})
            return
        meta = self._meta()
        method = self._command.decode("ascii", "replace")
        path = unquote(self._path.partition(b"?")[0].decode("ascii", "replace"))
        seen = early.seen(method, path, meta)
        if not early.presents_key(meta):
            self._refuse_unknown(problem, seen)
            return
        seconds = time.monotonic() - (self._began or time.monotonic())
        looking = deferToThread(early.refusal, method, path, meta, problem, seconds)
        looking.addErrback(_log_fault)
        looking.addCallback(
            lambda answer: (
                self._refuse_unknown(problem, seen)
                if answer is None
                else self._end_with(answer.status_code, answer.headers, answer.content)
            )
        )

    def _refuse_unknown(self, problem: Problem, seen: Mapping[str, str]) -> None:
        request_id = secrets.token_hex(8)
        body = envelope(problem)
        body["details"]["request_id"] = request_id
        headers = {
            "Content-Type": "application/json",
            "X-Request-ID": request_id,
            "Cache-Control": "no-store",
        }
        if problem.retry_after is not None:
            headers["Retry-After"] = str(problem.retry_after)
        self._end_with(problem.status, headers, json.dumps(body).encode())
        self._note(problem, request_id, seen)

    def _end_with(self, status: int, headers: Mapping[str, str], raw: bytes) -> None:
        if self._gone:
            return
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            *(f"{name}: {value}" for name, value in headers.items() if name != "Content-Length"),
            f"Content-Length: {len(raw)}",
            "Connection: close",
            "\r\n",
        ]
        self.transport.writeSequence(["\r\n".join(lines).encode("latin-1"), raw])
        self.setTimeout(LINGER_SECONDS)
        self._networkProducer.unregisterProducer()
        self.transport.loseWriteConnection()

    def _meta(self) -> dict[str, str]:
        """Return the headers of the request that comes in, named as Django names them."""
        found = {"REMOTE_ADDR": _address(self.transport.getPeer())}
        for name, values in self.requests[-1].requestHeaders.getAllRawHeaders():
            if b"_" not in name:  # as daphne does: it could pass for another one
                key = "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
                found[key] = b",".join(values).decode("latin-1")
        return found

    def _note(self, problem: Problem, request_id: str, seen: Mapping[str, str]) -> None:
        """Write the refusal down, with what was `seen` of a request whose headers are complete."""
        address = seen.get("address") or _address(self.transport.getPeer())
        access_log.note(
            Line(
                at=timezone.now(),
                key_prefix="",  # nobody has looked at a key yet
                known=False,
                method=seen.get("method", ""),
                route=seen.get("route", ""),
                status=problem.status,
                error=problem.error,
                milliseconds=round((time.monotonic() - (self._began or time.monotonic())) * 1000),
                bytes=0,
                address=address or None,
                user_agent=seen.get("user_agent", ""),
                source_info="",
                request_id=request_id,
                fold=f"{network_of(address)} {problem.error} {seen.get('route', '')}",
            )
        )


def _log_fault(failure: Any) -> None:
    logger.error("fault while a request was refused: %s", failure.getTraceback())


def _address(peer: Any) -> str:
    try:
        return str(ip_address(getattr(peer, "host", "")))
    except ValueError:
        return ""


def _too_many(most: int) -> Problem:
    return Unavailable(
        f"There are {most} connections already, as many as this MobileSD takes.",
        error="server_busy",
        retry_after=LINGER_SECONDS,
    )


def _connections_for(wanted: int) -> int:
    """Let this process have as many files open as these connections need; return what it may.

    The usual limit is 1,024, beyond which not even a refusal could be sent.
    """
    if sys.platform == "win32":  # there is no such limit
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + ROOM_FOR_REFUSED + FILES_BESIDE_CONNECTIONS
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < needed:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
            soft = needed
    if soft == resource.RLIM_INFINITY:
        return wanted
    possible = max(1, soft - ROOM_FOR_REFUSED - FILES_BESIDE_CONNECTIONS)
    if possible < wanted:
        logger.warning(
            "The system lets this process have %d files open, so it takes %d connections at once,"
            " not %d (MOBILESD_MAX_CONNECTIONS).",
            soft,
            possible,
            wanted,
        )
    return min(wanted, possible)


def _too_large() -> Problem:
    megabytes = settings.MAX_BODY_BYTES // 2**20
    return Problem(f"The body is larger than {megabytes} MB.", error="payload_too_large")


def _too_slow() -> Problem:
    return Problem("The request did not arrive in time.", error="request_timeout")


class WebServer(PacedServer):
    """daphne's server with BoundedChannel for its connections.

    It takes `settings.MAX_CONNECTIONS` at once, of all kinds; the next ones get a 503.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.most_connections = _connections_for(settings.MAX_CONNECTIONS)
        # A connection that has become a WebSocket ends without telling its channel, so it is the
        # transports that are known, and looked at when there are too many.
        self._transports: WeakSet[Any] = WeakSet()

    def count_with(self, transport: Any) -> int:
        """Return how many connections are open, this new one among them."""
        self._transports.add(transport)
        if len(self._transports) > self.most_connections:
            for each in [known for known in self._transports if not known.connected]:
                self._transports.discard(each)
        return len(self._transports)

    @property
    def http_factory(self) -> Any:
        return self._http_factory

    @http_factory.setter
    def http_factory(self, factory: Any) -> None:
        # Server.run() makes the factory and stores it here; there is no other place to reach it.
        factory.protocol = BoundedChannel
        factory.timeOut = settings.PATIENCE_SECONDS
        self._http_factory = factory
