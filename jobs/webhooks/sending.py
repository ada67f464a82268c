"""One POST to a webhook's address: bounded in time and in bytes, and only to where it may go.

Nothing of the answer is kept but its status: what a stranger's server writes may hold anything.
"""

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any

import certifi
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from jobs.webhooks.addresses import IpAddress, Refused, Resolver, refusal, resolve, target_of
from jobs.webhooks.servers import Endpoint, is_server

__all__ = ["ANSWER_SECONDS", "Outcome", "post"]

ANSWER_SECONDS = 10.0
CONNECT_SECONDS = 4.0
MAX_ANSWER = 64 * 1024

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True)
class Outcome:
    """What became of one try; `status` is None when there was no answer at all."""

    status: int | None
    error: str
    milliseconds: float

    @property
    def delivered(self) -> bool:
        """Tell whether the receiver has taken it: it answered 2xx in time."""
        return self.status is not None and 200 <= self.status < 300


class _Deadline:
    """Ends a connection when its time is over.

    A time-out of the socket counts from byte to byte, so a server that sends one now and then
    would hold us for ever.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._twins: list[socket.socket] = []
        self._lock = threading.Lock()
        self.passed = False

    @property
    def left(self) -> float:
        return max(0.001, self._end - time.monotonic())

    def watch(self, connection: socket.socket) -> None:
        # TLS takes the socket over, so a second descriptor of it is kept: shutting that one down
        # ends the connection, in whatever state it is.
        with self._lock:
            self._twins.append(connection.dup())

    def _strike(self) -> None:
        with self._lock:
            self.passed = True
            for twin in self._twins:
                with contextlib.suppress(OSError):
                    twin.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        timer = threading.Timer(self.left, self._strike)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._lock:
                for twin in self._twins:
                    twin.close()
                self._twins.clear()


def _connect(addresses: Sequence[IpAddress], port: int, deadline: _Deadline) -> socket.socket:
    """Connect to the first of these addresses that answers; raise OSError of the last one."""
    trouble: OSError = OSError("the name has no address")
    for address in addresses:
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        deadline.watch(connection)
        connection.settimeout(min(CONNECT_SECONDS, deadline.left))
        try:
            connection.connect((str(address), port))
        except OSError as error:
            connection.close()
            trouble = error
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(deadline.left)
            return connection
    raise trouble


class _Pinned:
    """What both connections share: they go where they are told, and never look a name up.

    The name stays the connection's host, so it is in the Host header and in TLS's server name, and
    the certificate is verified for it.
    """

    addresses: Sequence[IpAddress]
    deadline: _Deadline
    port: int

    def _new_conn(self) -> socket.socket:
        return _connect(self.addresses, self.port, self.deadline)


class _PlainConnection(_Pinned, HTTPConnection):
    pass


class _TlsConnection(_Pinned, HTTPSConnection):
    pass


def _connection(is_https: bool, host: str, port: int) -> _PlainConnection | _TlsConnection:
    # Made by hand and not by a pool or a session: those know proxies, redirects and retries.
    if not is_https:
        return _PlainConnection(host, port)
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or certifi.where()
    where: dict[str, Any] = {"ca_cert_dir" if Path(bundle).is_dir() else "ca_certs": bundle}
    return _TlsConnection(host, port, cert_reqs="CERT_REQUIRED", **where)


def post(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    allow_local: bool,
    servers: Sequence[Endpoint] = (),
    resolver: Resolver = resolve,
    seconds: float = ANSWER_SECONDS,
) -> Outcome:
    """Send a body, and return what came of it; never raises for what the other side does.

    Nothing is sent to one of the `servers`. Redirects are not followed, proxies of the environment
    are not used.
    """
    begin = time.monotonic()
    deadline = _Deadline(seconds)
    status: int | None = None
    try:
        target = target_of(url)
        addresses = _checked(resolver(target.host, target.port), allow_local=allow_local)
        if is_server(target.host, target.port, addresses, servers, resolver):
            raise Refused("There is a server of this MobileSD at that address. Nothing was sent.")
        connection = _connection(target.is_https, target.host, target.port)
        connection.addresses, connection.deadline = addresses, deadline
        with deadline.running(), contextlib.closing(connection):
            connection.request(
                "POST",
                target.path,
                body,
                dict(headers),
                preload_content=False,
                decode_content=False,
            )
            answer = connection.getresponse()
            if deadline.passed:  # headers that were cut off look like headers that have ended
                raise TimeoutError
            status = answer.status
            elapsed = time.monotonic() - begin
            # Read politely, so that the other side need not see a broken connection, but not
            # unpacked: 64 kB can become gigabytes.
            with contextlib.suppress(HTTPError, HTTPException, OSError):
                answer.read(MAX_ANSWER, decode_content=False)
        error = "" if 200 <= status < 300 else _words(status)
    except Exception as trouble:
        elapsed = time.monotonic() - begin
        error = _in_words(trouble, timed_out=deadline.passed, seconds=seconds)
    return Outcome(status, error, round(elapsed * 1000, 1))


def _checked(addresses: Sequence[IpAddress], *, allow_local: bool) -> Sequence[IpAddress]:
    for address in addresses:
        if why := refusal(address, allow_local=allow_local):
            raise Refused(f"The host's address is {address}, {why}. Nothing was sent.")
    return addresses


def _words(status: int) -> str:
    told = f"It answered {status} {_PHRASES.get(status, '')}".rstrip()
    return f"{told}. Redirects are not followed." if 300 <= status < 400 else f"{told}."


def _in_words(trouble: Exception, *, timed_out: bool, seconds: float) -> str:
    """Return a sentence; texts of the other side are not repeated, for they may hold anything."""
    if isinstance(trouble, Refused):
        return str(trouble)
    causes = [trouble, trouble.__cause__, *trouble.args]
    if timed_out or any(isinstance(each, TimeoutError) for each in causes):
        return f"It did not answer within {seconds:g} seconds."
    if isinstance(trouble, socket.gaierror | UnicodeError):
        return "The name of the host is not known."
    for each in causes:
        if isinstance(each, ssl.SSLCertVerificationError):
            return f"Its TLS certificate is not valid: {each.verify_message}."[:300]
        if isinstance(each, ssl.SSLError):
            return "It does not speak TLS as it should."
        if isinstance(each, ConnectionRefusedError):
            return "Nothing listens at the address (connection refused)."
    # Closed before or after it had read all that was sent: a matter of a moment, the same fault.
    closed = any(isinstance(each, ConnectionResetError | BrokenPipeError) for each in causes)
    if isinstance(trouble, OSError) and trouble.strerror and not closed:
        return f"The connection failed: {trouble.strerror}."[:300]
    return "It closed the connection or did not answer with HTTP."
