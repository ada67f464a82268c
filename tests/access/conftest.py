"""The client of the API, the access log as the tests read it, and a clock that stands still."""

from collections.abc import Callable
from typing import Any

import pytest

from apikeys.access_log import access_log
from apikeys.models import Access
from tests.api.conftest import api, boss, member  # noqa: F401  fixtures

START = 1_800_000_000


class Clock:
    """The time that django-ratelimit and the cache see."""

    def __init__(self) -> None:
        self.now = float(START)

    def time(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stop the clock of the limits: no window ends in the middle of a test."""
    made = Clock()
    monkeypatch.setattr("django_ratelimit.core.time", made)
    monkeypatch.setattr("django.core.cache.backends.locmem.time", made)
    monkeypatch.setattr("django.core.cache.backends.base.time", made)
    return made


@pytest.fixture
def logged(db: None) -> Callable[[], list[Any]]:
    """Write what was noted; return all lines, oldest first."""

    def read() -> list[Any]:
        access_log.flush()
        return list(Access.objects.order_by("id"))

    return read
