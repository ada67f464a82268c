"""Quick requests to Forge: small answers, a time limit each, never repeated by a library."""

import json
from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from dispatch.dispatchers.base import Address

__all__ = ["Client", "Refused", "Unclear", "WrongAnswer"]

MAX_ANSWER_BYTES = 32 * 1024 * 1024


class Refused(Exception):
    """Nothing listens there: the program is not running."""


class Unclear(Exception):
    """No usable answer in time; the program may be running."""


class WrongAnswer(Exception):
    """An answer with another status than 200."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status} {detail}".strip())
        self.status = status
        self.detail = detail


class Client:
    """One keep-alive session for the GETs and small POSTs of one thread."""

    def __init__(self, address: Address) -> None:
        self._url = address.url
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy of the environment is not for the LAN
        self._session.mount("http://", HTTPAdapter(pool_maxsize=2, max_retries=0))
        self._session.mount("https://", HTTPAdapter(pool_maxsize=2, max_retries=0))
        if address.username:
            self._session.auth = (address.username, address.password)

    def get(self, path: str, timeout: float = 5) -> Any:
        """Return the JSON of a GET; raises Refused, Unclear or WrongAnswer."""
        return self._ask("GET", path, None, timeout)

    def post(self, path: str, body: Mapping[str, Any] | None = None, timeout: float = 5) -> Any:
        """Return the JSON of a small POST; raises Refused, Unclear or WrongAnswer."""
        return self._ask("POST", path, body, timeout)

    def close(self) -> None:
        self._session.close()

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None, timeout: float) -> Any:
        try:
            with self._session.request(
                method,
                self._url + path,
                json=body,
                timeout=timeout,
                stream=True,
                allow_redirects=False,
            ) as response:
                content = self._read(response)
        except requests.ConnectionError as error:
            if "refused" in str(error).lower():
                raise Refused(str(error)) from error
            raise Unclear(str(error)) from error
        except (requests.RequestException, OSError) as error:
            raise Unclear(str(error)) from error
        if response.status_code != 200:
            raise WrongAnswer(response.status_code, _detail(content))
        try:
            return json.loads(content)
        except ValueError as error:
            raise Unclear("the answer is no JSON") from error

    @staticmethod
    def _read(response: requests.Response) -> bytes:
        content = bytearray()
        for chunk in response.iter_content(65536):
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                raise Unclear("the answer is too large")
        return bytes(content)


def _detail(content: bytes) -> str:
    try:
        answer = json.loads(content)
    except ValueError:
        return ""
    if isinstance(answer, dict):
        return str(answer.get("detail") or answer.get("message") or "")[:300]
    return ""
