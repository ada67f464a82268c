"""How often a key may ask, an address may be refused, and a password be tried, in one minute.

django-ratelimit counts in *fixed* windows of one minute, which begin at another second for each
key: around the edge of two windows a key can have twice its limit within a minute, never more. A
clock that jumps ends the window, at worst with one more allowance. Every request counts, also a
refused one. The counters are exact as far as their cache is: one web process counts in its own
memory, several in Redis (check mobilesd.E005 refuses anything else). While Redis does not answer,
nothing is counted and every request passes (mobilesd/sparing.py).

The limit is no part of what is counted, so a limit that was just changed is in force with the
next request, and changing it to and fro gives nobody a new allowance.
"""

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django_ratelimit.core import get_usage
from rest_framework.throttling import BaseThrottle

from apikeys.models import ApiKey
from mobilesd.errors import Problem

__all__ = [
    "REFUSALS_A_MINUTE",
    "UNLIMITED",
    "WRONG_TRIES_A_MINUTE",
    "Allowance",
    "Bucket",
    "KeyThrottle",
    "charge",
    "charge_jobs",
    "check",
    "headers",
    "headers_of",
    "limit_of",
    "network_of",
    "refuse",
    "signed_in",
    "try_to_sign_in",
]

WINDOW_SECONDS = 60
JOBS_A_SUBMISSION = 50
REQUESTS_A_SUBMISSION = 10
# Enough for a program with a wrong key to say so in its log, far too few to guess one.
REFUSALS_A_MINUTE = 60
# Of passwords, at one address or known device.
WRONG_TRIES_A_MINUTE = 10
# What the headers of a key without a limit say: a number, and one that nobody uses up.
UNLIMITED = 2**31 - 1

# Only names the window to django-ratelimit; what is allowed is decided here.
_RATE = (UNLIMITED, WINDOW_SECONDS)
_REMEMBERED = "_mobilesd_allowance"


class Bucket(StrEnum):
    """What is counted apart, so that a program that asks often can still submit."""

    SUBMISSIONS = "submissions"
    REQUESTS = "requests"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a key has left in one bucket; `reset_seconds` until the window ends, 1..60."""

    limit: int
    remaining: int
    reset_seconds: int
    admitted: bool


def limit_of(key: ApiKey, bucket: Bucket) -> int:
    """Return the requests a minute of a key; 0 for no limit."""
    return key.rate_limit * (1 if bucket is Bucket.SUBMISSIONS else REQUESTS_A_SUBMISSION)


def check(key: ApiKey, bucket: Bucket = Bucket.REQUESTS, cost: int = 1) -> Allowance:
    """Count a request of a key, and tell whether it may go on (`admitted`).

    A cost above the whole limit counts as the limit: what is never possible would be no limit.
    A cost that does not fit any more counts nothing, so that something smaller still may.
    """
    limit = limit_of(key, bucket)
    if limit == 0:
        return Allowance(UNLIMITED, UNLIMITED, WINDOW_SECONDS, admitted=True)
    cost = min(cost, limit)
    if cost > 1:
        used, reset = _count(bucket, key.prefix, increment=False)
        if used + cost > limit:
            return Allowance(limit, max(0, limit - used), reset, admitted=False)
    for _ in range(cost):
        used, reset = _count(bucket, key.prefix, increment=True)
    return Allowance(limit, max(0, limit - used), reset, admitted=used <= limit)


def headers(allowance: Allowance) -> dict[str, str]:
    """Return the headers of contracts/api.md, "Common"; times are seconds from now."""
    found = {
        "X-RateLimit-Limit": str(allowance.limit),
        "X-RateLimit-Remaining": str(allowance.remaining),
        "X-RateLimit-Reset": str(allowance.reset_seconds),
    }
    if not allowance.admitted:
        found["Retry-After"] = str(allowance.reset_seconds)
    return found


def charge(request: Any, key: ApiKey, bucket: Bucket = Bucket.REQUESTS, cost: int = 1) -> Allowance:
    """Count a request of a key, and remember for its answer what the headers will say.

    Raises Problem (`rate_limited`) for a request too many: it must do nothing else.
    """
    allowance = check(key, bucket, cost)
    setattr(_plain(request), _REMEMBERED, allowance)
    if not allowance.admitted:
        kind = "submissions" if bucket is Bucket.SUBMISSIONS else "requests"
        raise Problem(
            f"The API key may send {allowance.limit} {kind} a minute, and has sent them.",
            error="rate_limited",
            hint=f"Wait {allowance.reset_seconds} s, then go on more slowly.",
            extra={"limit": allowance.limit, "bucket": str(bucket)},
            retry_after=allowance.reset_seconds,
        )
    return allowance


def charge_jobs(request: Any, jobs: int) -> None:
    """Count a request that submits many jobs as one submission for each 50; nothing for a page.

    Its first submission is counted already, by KeyThrottle. Call it before the jobs are stored.
    Raises Problem (`rate_limited`).
    """
    key = getattr(request, "auth", None)
    if not isinstance(key, ApiKey):
        return
    limit = limit_of(key, Bucket.SUBMISSIONS)
    cost = math.ceil(jobs / JOBS_A_SUBMISSION)
    more = (min(cost, limit) if limit else cost) - 1
    if more > 0:
        charge(request, key, Bucket.SUBMISSIONS, more)


def headers_of(request: Any) -> Mapping[str, str]:
    """Return the headers for the answer to a request; none if it was not counted."""
    allowance = getattr(_plain(request), _REMEMBERED, None)
    return headers(allowance) if allowance is not None else {}


def refuse(address: str) -> int | None:
    """Count a refused attempt of an address; return the seconds to wait if it had too many.

    Only what is refused anyway is slowed down: a valid key or a signed-in page at the same address
    is not, so that nobody can lock the owner out.
    """
    refused, reset = _count("refused", network_of(address), increment=True)
    return reset if refused > REFUSALS_A_MINUTE else None


def try_to_sign_in(place: str) -> int | None:
    """Count a try to sign in; return the seconds to wait if there were too many wrong ones.

    It is counted before the password is looked at, or tries at the same time would all pass. What
    turns out right is taken off again by `signed_in`.
    """
    tries, reset = _count("sign-in tries", place, increment=True)
    right, _ = _count("sign-in right", place, increment=False)
    return reset if tries - right > WRONG_TRIES_A_MINUTE else None


def signed_in(place: str) -> None:
    """Take a try that was right off what is counted at this place."""
    _count("sign-in right", place, increment=True)


def network_of(address: str) -> str:
    """Return what counts as one place: an IPv4 address, or the /64 that an IPv6 host has."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network(f"{address}/64", strict=False).network_address)


def _count(group: str, value: str, *, increment: bool) -> tuple[int, int]:
    """Return what is counted in this window, and the seconds until it ends."""
    usage = get_usage(None, group=str(group), key=lambda *_: value, rate=_RATE, increment=increment)
    if usage is None:  # switched off by RATELIMIT_ENABLE
        return 0, WINDOW_SECONDS
    # The last second of a window belongs to it, therefore one more.
    return int(usage["count"]), max(0, int(usage["time_left"])) + 1


def _plain(request: Any) -> Any:
    """Return Django's own request, which middleware sees, of a REST request."""
    return getattr(request, "_request", request)


class KeyThrottle(BaseThrottle):
    """Counts each request of a key once, before it may do anything.

    A view whose POST submits jobs says `rate_bucket = Bucket.SUBMISSIONS`.
    """

    def allow_request(self, request: Any, view: Any) -> bool:
        if isinstance(request.auth, ApiKey) and not hasattr(_plain(request), _REMEMBERED):
            bucket = getattr(view, "rate_bucket", Bucket.REQUESTS)
            charge(request, request.auth, bucket if request.method == "POST" else Bucket.REQUESTS)
        return True
