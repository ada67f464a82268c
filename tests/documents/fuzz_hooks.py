"""Hooks for schemathesis (SCHEMATHESIS_HOOKS).

Each request comes from another address: else the run would meet what slows an address down that
sends too many refused requests, which is right, and is tested elsewhere.
"""

import itertools
from typing import Any

import schemathesis

__all__ = ["from_another_address", "sure_to_be_refused"]

_numbers = itertools.count(1)


@schemathesis.hook("before_call")
def from_another_address(context: Any, case: Any, kwargs: Any) -> None:
    """Say so as a proxy does that the installation trusts."""
    number = next(_numbers)
    case.headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


@schemathesis.hook("filter_case")
def sure_to_be_refused(context: Any, case: Any) -> bool:
    """Leave out what is taken although the schema does not say so.

    An empty parameter means absent, as forms send it. Beside apiUrl, host and port are what GET
    shows of it, and a client may send them back.
    """
    if any(value in ("", [""]) for value in (case.query or {}).values()):
        return False
    body = case.body if isinstance(case.body, dict) else {}
    return not ("apiUrl" in body and {"host", "port"} & set(body))
