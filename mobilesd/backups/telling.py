"""Telling administrators what went wrong with the data, wherever they want to be told.

It is an event like any other, so notifiers and webhooks do the rest; the pages show what is wrong
by themselves (`notices`).
"""

import logging
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Literal

from django.db import DatabaseError, transaction
from django.utils import timezone

from jobs import events
from jobs.models import Event

__all__ = ["cause_of", "tell"]

log = logging.getLogger(__name__)

_AGAIN_AFTER = timedelta(days=1)
_LONGEST = 300


def cause_of(error: Exception) -> str:
    """Return why a backup failed, without a path: it may leave this machine, and the same cause
    has to read the same the next time."""
    if isinstance(error, subprocess.CalledProcessError | subprocess.TimeoutExpired):
        return f"{Path(error.cmd[0]).name} failed"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition(":")[0] or type(error).__name__


def tell(what: Literal["backup", "database"], cause: str, text: str) -> None:
    """Tell it, unless the same was told within a day.

    Never raises for the database's sake: what is told of may be just what keeps it from being told.
    """
    cause, now = cause[:_LONGEST], timezone.now()
    try:
        with transaction.atomic():
            told = Event.objects.filter(kind="data.trouble", at__gt=now - _AGAIN_AFTER)
            if not told.filter(payload__what=what, payload__cause=cause).exists():
                payload = events.DataTrouble(what=what, cause=cause, text=text[:_LONGEST])
                events.emit("data.trouble", payload)
    except DatabaseError as error:
        log.error("nobody can be told of it: %s", error)
