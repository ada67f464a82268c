"""What went wrong between Forge and MobileSD, as sentences that say what to do."""

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

import requests
import urllib3

from mobilesd_forge.version import VERSION

__all__ = ["Fault", "of_answer", "of_exception", "plain"]

MAX_TEXT = 500
MAX_FIELDS = 5
MAX_WAIT_SECONDS = 600.0
_SETTINGS = "in Forge's settings, section MobileSD"
_NEW_KEY = f"Make a new one on MobileSD's page Keys, and enter it {_SETTINGS}."

# Of the same request MobileSD would say the same again (docs/api/errors.md).
_REFUSALS = frozenset({400, 404, 405, 406, 409, 410, 413, 415, 422})

_OF_KEYS = {
    "authentication_required": f"MobileSD asks for an API key. Enter one {_SETTINGS}.",
    "invalid_api_key": (f"MobileSD does not know this API key, or it is switched off. {_NEW_KEY}"),
    "api_key_expired": f"The API key has expired. {_NEW_KEY}",
    "api_key_revoked": f"The API key was revoked. {_NEW_KEY}",
    "ip_not_allowed": (
        "The API key may not be used from this machine. Add the machine's address to the key on"
        " MobileSD's page Keys."
    ),
    "app_type_not_allowed": (
        "The API key may not send jobs for Forge. Allow it on MobileSD's page Keys."
    ),
}


# Nothing was heard of MobileSD itself: as soon as it answers anything, this is over.
_SILENCE = frozenset(
    {"timeout", "refused", "unreachable", "broken", "name_unknown", "proxy", "not_mobilesd"}
)


class Fault(Exception):
    """Something that a person is told in one or two sentences.

    `refused`: the same request gets the same answer, so that sending it again is of no use.
    `retry_after`: seconds that MobileSD asks to wait, 0 if it did not say.
    """

    def __init__(
        self, code: str, text: str, *, refused: bool = False, retry_after: float = 0.0
    ) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.refused = refused
        self.retry_after = retry_after

    @property
    def is_silence(self) -> bool:
        """Tell whether it is over as soon as MobileSD is seen to answer."""
        return self.code in _SILENCE


def plain(text: object, length: int = MAX_TEXT) -> str:
    """Return a text of somebody else's as one line of printable characters, not too long."""
    line = " ".join(str(text)[: length * 4].split())
    line = "".join(c for c in line if c.isprintable())
    return line if len(line) <= length else line[: length - 1] + "…"


# --- Answers ---------------------------------------------------------------------------------


def of_answer(url: str, status: int, headers: Mapping[str, str], body: Any) -> Fault:
    """Return the fault that an answer other than 2xx tells of. `body`: its JSON, or None."""
    if 300 <= status < 400:
        return _redirect(url, headers.get("Location", ""))
    error = body.get("error") if isinstance(body, dict) else None
    details = body.get("details") if isinstance(body, dict) else None
    if not isinstance(error, str) or not isinstance(details, dict):
        return _no_mobilesd(url, status)
    message = plain(body.get("message", ""))
    hint = plain(details.get("hint", ""))
    wait = _seconds(headers.get("Retry-After", ""))
    if error in {"not_found", "method_not_allowed"}:  # an address that every later one has
        return server_too_old("")
    if error in _OF_KEYS:
        return Fault(error, _OF_KEYS[error])
    if error == "scope_missing":
        scope = plain(details.get("scope", ""), 60) or "one that it needs"
        return Fault(
            error,
            f"The API key lacks the permission {scope}. Add it to the key on MobileSD's page Keys.",
        )
    if error == "extension_too_old" or status == 426:
        return too_old(url, plain(details.get("minimum_version", ""), 20))
    if error == "submissions_closed":
        return Fault(error, "MobileSD takes no jobs now: that is switched off there.")
    if error == "quota_exceeded":
        text = " ".join(part for part in (message, hint) if part)
        refused = _is_above_quota(details)
        return Fault(error, text or "A quota is used up.", refused=refused, retry_after=wait)
    if status == 429:
        when = f" in {wait:.0f} s" if wait else " a little later"
        return Fault(
            error, f"MobileSD had too many requests. It is asked again{when}.", retry_after=wait
        )
    text = " ".join(part for part in (message, *_fields(details, message), hint) if part)
    return Fault(
        error, text or f"MobileSD answered {status}.", refused=status in _REFUSALS, retry_after=wait
    )


def _is_above_quota(details: Mapping[str, Any]) -> bool:
    """Tell whether one order alone is more than a whole day allows: no waiting helps."""
    jobs, limit = details.get("jobs"), details.get("limit")
    return type(jobs) is int and type(limit) is int and jobs > limit


def too_old(url: str, minimum: str) -> Fault:
    """Return the fault that this extension is too old for that MobileSD."""
    needs = f" It needs at least {minimum}." if minimum else ""
    return Fault(
        "extension_too_old",
        f"This extension ({VERSION}) is too old for that MobileSD.{needs}"
        f" Download the new one: {url}/extensions/forge/",
    )


def server_too_old(version: str) -> Fault:
    """Return the fault that MobileSD is too old for this extension."""
    said = f" ({version})" if version else ""
    return Fault("server_too_old", f"That MobileSD{said} is too old for this extension. Update it.")


def _redirect(url: str, target: str) -> Fault:
    target = plain(target, 200)
    if target.startswith(("http://", "https://")):
        place = "/".join(target.split("/")[:3])
        return Fault("redirect", f"{url} leads on to {place}. Enter that address {_SETTINGS}.")
    return Fault("not_mobilesd", f"What answers at {url} is not MobileSD. Check address and port.")


def _no_mobilesd(url: str, status: int) -> Fault:
    if status in {502, 503, 504}:
        return Fault(
            "proxy", f"A proxy answers at {url}, but MobileSD behind it does not ({status})."
        )
    if status == 413:
        text = "A proxy before MobileSD takes no pictures so large. Raise its limit to 64 MB."
        return Fault("proxy", text, refused=True)
    if status in {401, 403, 407}:
        return Fault("proxy", f"Something else at {url} asks who you are, before MobileSD can.")
    if status >= 500:
        return Fault("server_error", f"{url} answered with an error of its own ({status}).")
    return not_mobilesd(url)


def not_mobilesd(url: str) -> Fault:
    """Return the fault that something else answers there."""
    return Fault("not_mobilesd", f"What answers at {url} is not MobileSD. Check address and port.")


def _fields(details: Mapping[str, Any], message: str) -> Iterator[str]:
    """Name the fields that are wrong, as far as the message has not done so."""
    fields = details.get("fields")
    if not isinstance(fields, dict):
        return
    for name in list(fields)[:MAX_FIELDS]:
        said = fields[name]
        words = "; ".join(plain(word, 200) for word in said[:3]) if isinstance(said, list) else ""
        if words and words not in message:
            yield f"({plain(name, 80)}: {words})"
    if len(fields) > MAX_FIELDS:
        yield f"({len(fields) - MAX_FIELDS} more fields)"


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return min(MAX_WAIT_SECONDS, seconds) if seconds > 0 else 0.0


# --- No answer -------------------------------------------------------------------------------


def of_exception(url: str, error: BaseException) -> Fault:
    """Return the fault that kept an answer away. `error`: what requests raised."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(
            cause, ssl.SSLError | urllib3.exceptions.SSLError | requests.exceptions.SSLError
        ):
            return _tls(url, " ".join(str(each) for each in causes))
    if isinstance(error, requests.exceptions.ProxyError):
        return Fault(
            "proxy",
            f"The proxy of this machine's environment did not lead to {url}."
            " Check HTTP_PROXY and NO_PROXY.",
        )
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        host = url.split("//")[-1]
        return Fault("name_unknown", f"No machine of the name {host} was found. Check the address.")
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return Fault(
            "refused", f"Nothing answers at {url}. Start MobileSD, or check address and port."
        )
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return Fault(
            "timeout",
            f"{url} did not answer in time. Check the address, and whether that machine is on.",
        )
    if isinstance(error, requests.exceptions.Timeout) or any(
        isinstance(c, TimeoutError) for c in causes
    ):
        return Fault("timeout", f"MobileSD at {url} did not answer in time.")
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            return Fault("unreachable", f"{url} can't be reached ({plain(cause.strerror, 80)}).")
    return Fault("broken", f"The connection to {url} broke off.")


def _tls(url: str, said: str) -> Fault:
    if "WRONG_VERSION_NUMBER" in said or "UNKNOWN_PROTOCOL" in said or "HTTP_REQUEST" in said:
        text = f"{url} does not speak https. Try the address with http://."
    elif "has expired" in said:
        text = f"The certificate of {url} has expired. Renew it on MobileSD's machine."
    elif "match" in said and ("hostname" in said.lower() or "IP address" in said):
        text = f"The certificate of {url} is for another name. Enter the name that it is for."
    elif "self-signed" in said or "self signed" in said or "unable to get" in said:
        text = (
            f"The certificate of {url} is signed by nobody whom this machine trusts."
            " Name its authority's file in REQUESTS_CA_BUNDLE."
        )
    else:
        found = re.search(r"\[SSL: (\w+)\]", said)
        text = f"No secure connection to {url}" + (f" ({found[1]})." if found else ".")
    return Fault("tls", text)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk what led to an exception: requests and urllib3 wrap it in their arguments as well."""
    seen: set[int] = set()
    left: list[BaseException] = [error]
    while left and len(seen) < 20:
        one = left.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
        left.extend(each for each in inner if isinstance(each, BaseException))
