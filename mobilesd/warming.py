"""What the first requests would else pay for, done before a process says that it is ready.

Routes are compiled when they are first tried, and Django learns how to ask for a model when it
first does: the first list took three times as long as the second.
"""

from contextlib import suppress

from django.http import QueryDict
from django.urls import Resolver404, resolve
from django.utils import timezone

from apikeys.actors import SYSTEM
from jobs.api.filters import read_filter
from jobs.api.serializers import emit_jobs
from jobs.choices import Status
from jobs.models import Job
from mobilesd.http.paging import PageRequest

__all__ = ["warm"]


def warm() -> None:
    """Find a route, and answer a list, as a request does; raises DatabaseError."""
    with suppress(Resolver404):
        resolve("/api/v2/no-such-path")  # past all others
    shown = read_filter(QueryDict(), SYSTEM).page(PageRequest(limit=1)).rows
    now = timezone.now()
    # A new installation has no jobs. These two are in no table; what belongs to them is asked for.
    unsaved = [
        Job(status=status, created_at=now, updated_at=now)
        for status in (Status.PENDING, Status.COMPLETED)
    ]
    emit_jobs([*shown, *unsaved])
