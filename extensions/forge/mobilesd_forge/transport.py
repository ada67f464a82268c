"""One HTTP exchange with MobileSD: bounded in time and size, and never led elsewhere."""

import io
import ipaddress
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from mobilesd_forge import faults
from mobilesd_forge.deadline import Deadline, DeadlineAdapter
from mobilesd_forge.version import USER_AGENT

__all__ = ["MAX_JSON_BYTES", "Answer", "Transport", "proxies_for"]

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
MAX_JSON_BYTES = 32 * 1024 * 1024  # a page of 50 jobs, each with a prompt of 64 kB, and more
CHUNK = 64 * 1024
# A whole exchange may take so many of its time-outs, and a large body as long as a slow network.
TIMEOUTS = 4
SLOWEST_BYTES_A_SECOND = 64 * 1024
_HERE = ("localhost", ".local", ".lan", ".home", ".internal", ".home.arpa", ".localdomain", ".box")


@dataclass(frozen=True)
class Answer:
    """What came back, read to its end."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        """Return the body's JSON, or None if it is none."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None


class Transport:
    """Requests to one address with one key. Every call opens a connection of its own.

    A kept connection that the other side has closed meanwhile fails just when something is sent,
    and nobody could tell whether it arrived.
    """

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._key = key

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        seconds: float = READ_SECONDS,
        at_most: int = MAX_JSON_BYTES,
    ) -> Answer:
        """Return any answer, whatever its status; raise Fault if there is none in time."""
        with self._opened(method, path, query=query, body=body, seconds=seconds) as (
            response,
            deadline,
        ):
            content = bytearray()
            try:
                for chunk in response.iter_content(CHUNK):
                    content += chunk
                    if len(content) > at_most:
                        raise faults.Fault(
                            "too_large", f"{self.url} answered with more than is sensible."
                        )
            except (requests.exceptions.RequestException, OSError) as error:
                raise self._fault(error, deadline) from None
            if deadline.passed:  # an answer without a length just ends there
                raise self._fault(requests.exceptions.ReadTimeout(), deadline)
            return Answer(response.status_code, response.headers, bytes(content))

    @contextmanager
    def lines(
        self, path: str, *, query: Mapping[str, str], headers: Mapping[str, str], seconds: float
    ) -> Iterator[Iterator[bytes]]:
        """Open a stream and yield its lines; raise Fault where it breaks, or is no stream.

        `seconds`: for how long the other side may say nothing.
        """
        more = {"Accept": "text/event-stream", **headers}
        with self._opened("GET", path, query=query, headers=more, seconds=seconds) as (
            response,
            deadline,
        ):
            kind = response.headers.get("Content-Type", "")
            if response.status_code != 200 or not kind.startswith("text/event-stream"):
                try:
                    content = response.raw.read(CHUNK, decode_content=True)
                except (HTTPError, OSError) as error:
                    raise self._fault(error, deadline) from None
                answer = Answer(response.status_code, response.headers, content)
                raise faults.of_answer(self.url, answer.status, answer.headers, answer.json)
            deadline.lift()
            yield self._lines(response)

    def _lines(self, response: requests.Response) -> Iterator[bytes]:
        rest = b""
        try:
            for piece in response.iter_content(None):  # as it comes
                *lines, rest = (rest + piece).split(b"\n")
                if len(rest) > MAX_JSON_BYTES:
                    raise faults.Fault("too_large", f"{self.url} sent an event without an end.")
                yield from lines
        except (
            requests.exceptions.RequestException,
            OSError,
            HTTPError,
        ) as error:
            raise faults.of_exception(self.url, error) from None

    @contextmanager
    def _opened(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        seconds: float,
    ) -> Iterator[tuple[requests.Response, Deadline]]:
        asked = {
            "User-Agent": USER_AGENT,
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # a few bytes must not become gigabytes here
            "Authorization": f"Api-Key {self._key}",
            **(headers or {}),
        }
        if body is not None:
            asked["Content-Type"] = "application/json"
        longest = TIMEOUTS * seconds + len(body or b"") / SLOWEST_BYTES_A_SECOND
        with requests.Session() as session, Deadline(longest) as deadline:
            for scheme in ("http://", "https://"):
                session.mount(scheme, DeadlineAdapter(deadline))
            session.trust_env = False  # a .netrc would replace the key by what it knows of the host
            try:
                response = session.request(
                    method,
                    self.url + path,
                    params=query,
                    headers=asked,
                    # As a file: its pieces have a time-out each, one text would have it as a whole.
                    data=None if body is None else io.BytesIO(body),
                    timeout=(CONNECT_SECONDS, seconds),
                    allow_redirects=False,  # the key is for this address and no other
                    stream=True,
                    proxies=proxies_for(self.url),
                    verify=_authorities(),
                )
            except (requests.exceptions.RequestException, OSError, ValueError) as error:
                raise self._fault(error, deadline) from None
            with response:
                yield response, deadline

    def _fault(self, error: Exception, deadline: Deadline) -> faults.Fault:
        late = requests.exceptions.ReadTimeout()
        return faults.of_exception(self.url, late if deadline.passed else error)


def proxies_for(url: str) -> dict[str, str]:
    """Return the environment's proxies for an address; none for one of the own network.

    A proxy for the Internet can't reach the machine in the next room, and whoever set it for
    downloads seldom thought of NO_PROXY.
    """
    host = urlsplit(url).hostname or ""
    if _is_near(host):
        return {}
    return dict(requests.utils.get_environ_proxies(url, no_proxy=None))


def _is_near(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_HERE)
    return address.is_private or address.is_loopback or address.is_link_local


def _authorities() -> bool | str:
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
