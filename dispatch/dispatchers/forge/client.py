"""Quick requests to Forge: small answers, each within a time limit."""

import logging
import ssl
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from dispatch.dispatchers.base import Address
from dispatch.dispatchers.calls import Call
from dispatch.dispatchers.forge import untrusted
from mobilesd.logs import request_headers

__all__ = ["Client", "Refused", "Trouble", "Unclear", "WrongAnswer", "system_trust"]

MAX_ANSWER_BYTES = 32 * 1024 * 1024
_CHUNK = 64 * 1024


class Trouble(Exception):
    """No answer that can be used; the text is a sentence without address or secret."""


class Refused(Trouble):
    """Nothing listens there: the program is not running."""


class Unclear(Trouble):
    """No usable answer in time; the program may be running."""


class WrongAnswer(Trouble):
    """An answer with another status than 200; `json` tells whether its body was JSON."""

    def __init__(self, status: int, *, json: bool = True) -> None:
        super().__init__(f"The server answers with status {status}.")
        self.status = status
        self.json = json


@cache
def system_trust() -> ssl.SSLContext:
    """Return what trusts the system's certificates; reading them takes 50 ms, so once."""
    return ssl.create_default_context()


class _SystemTrust(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        kwargs["ssl_context"] = system_trust()
        super().init_poolmanager(*args, **kwargs)


class Client:
    """One keep-alive session for the GETs and small POSTs of one thread."""

    def __init__(self, address: Address, headers: Mapping[str, str] | None = None) -> None:
        self._url = address.url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy of the environment is not for the LAN
        self._session.headers.update({"Accept-Encoding": "identity"})
        self._headers = {**address.authorization, **(headers or {})}
        adapter = _SystemTrust if self._url.startswith("https:") else HTTPAdapter
        self._session.mount(self._url, adapter(pool_maxsize=2, max_retries=0))

    def get(self, path: str, timeout: float = 5) -> Any:
        """Return the JSON of a GET; raises Refused, Unclear or WrongAnswer."""
        return self._read_only("GET", path, None, timeout)

    def look_up(self, path: str, body: Mapping[str, Any], timeout: float = 5) -> Any:
        """Return the JSON of a POST that changes nothing; raises as `get` does."""
        return self._read_only("POST", path, body, timeout)

    def post(self, path: str, body: Mapping[str, Any] | None = None, timeout: float = 5) -> Any:
        """Return the JSON of a small POST, sent once; raises as `get` does."""
        with Call("POST", path) as call:
            return self._ask("POST", path, body, time.monotonic() + timeout, call)

    def delete(self, path: str, timeout: float = 5) -> Any:
        """Return the JSON of a DELETE, sent once; raises as `get` does."""
        with Call("DELETE", path) as call:
            return self._ask("DELETE", path, None, time.monotonic() + timeout, call)

    def close(self) -> None:
        self._session.close()

    def _read_only(
        self, method: str, path: str, body: Mapping[str, Any] | None, timeout: float
    ) -> Any:
        """Ask again, once, where the connection broke: a restarted server drops kept ones."""
        end = time.monotonic() + timeout
        with Call(method, path, level=logging.DEBUG) as call:
            try:
                return self._ask(method, path, body, end, call)
            except _Broken:
                self._session.close()
                return self._ask(method, path, body, end, call)

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, end: float, call: Call
    ) -> Any:
        try:
            with self._session.request(
                method,
                self._url + path,
                json=body,
                headers={**self._headers, **request_headers()},
                timeout=max(end - time.monotonic(), 0.01),
                stream=True,
                allow_redirects=False,
            ) as response:
                content = self._content(response, end)
                call.answered(response.status_code, len(content))
        except requests.Timeout as error:
            raise Unclear("The server does not answer in time.") from error
        except requests.exceptions.SSLError as error:
            raise Unclear("The server's certificate is not trusted.") from error
        except (requests.RequestException, HTTPError, OSError) as error:
            raise _meaning(error) from error
        try:
            answer = untrusted.parse(content)
        except ValueError as error:
            if response.status_code != 200:
                raise WrongAnswer(response.status_code, json=False) from error
            raise Unclear("What the server answers is no JSON.") from error
        if response.status_code != 200:
            raise WrongAnswer(response.status_code)
        return answer

    @staticmethod
    def _content(response: requests.Response, end: float) -> bytes:
        content = bytearray()
        # Piece by piece as it arrives: an answer that trickles must not outlast its time.
        while chunk := response.raw.read1(_CHUNK, decode_content=False):
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                raise Unclear("The server's answer is too large.")
            if time.monotonic() > end:
                raise Unclear("The server does not answer in time.")
        return bytes(content)


class _Broken(Unclear):
    """The connection broke; it may have been an old one."""


def _meaning(error: Exception) -> Trouble:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return Refused("Nothing listens at this address.")
        if isinstance(cause, TimeoutError):
            return Unclear("The server does not answer in time.")
        cause = cause.__cause__ or cause.__context__
    return _Broken("The connection to the server broke.")
