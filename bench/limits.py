"""What the rate limit and the access log cost a request, in CPU time of one thread.

Wanted: at most 0.2 ms for the limit. Counted in memory, as the embedded default does.
"""

import os
import time
from collections.abc import Callable
from typing import Any

import django

from bench.common import tell_and_exit, verdict

__all__ = ["main"]

COUNT = 5_000
ROUNDS = 5


def _cost(work: Callable[[], Any]) -> float:
    """Return the CPU microseconds of a call: the best round, for others only make it slower."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.thread_time()
        for _ in range(COUNT):
            work()
        best = min(best, (time.thread_time() - began) / COUNT * 1e6)
    return best


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mobilesd.settings")
    os.environ.setdefault("MOBILESD_SECRET_KEY", "of this measurement")  # else one is stored
    django.setup()
    from django.conf import settings
    from django.http import HttpResponse
    from django.test import RequestFactory

    from apikeys import limits
    from apikeys.access_log import access_log
    from apikeys.middleware import answered
    from apikeys.models import ApiKey

    settings.ACCESS_LOG_WRITER = False
    key = ApiKey(prefix="abcdefgh", rate_limit=limits.UNLIMITED // limits.REQUESTS_A_SUBMISSION)
    request: Any = RequestFactory().get("/api/v2/jobs", headers={"User-Agent": "panel/1.2"})
    request.auth = key
    response = HttpResponse(b"{}" * 300, content_type="application/json")

    def counted() -> None:
        limits.charge(request, key)
        limits.headers_of(request)

    def noted() -> None:
        answered(request, response, 0.001)

    limit = _cost(counted)
    noted_cost = _cost(noted)
    access_log.discard()
    print(
        f"rate limit with its headers: {limit:.0f} µs CPU a request (wanted ≤ 200):"
        f" {verdict(limit <= 200)}"
    )
    print(f"line for the access log:     {noted_cost:.0f} µs CPU a request")


if __name__ == "__main__":
    main()
    tell_and_exit()
