"""What a lane still does without its lease: it stores the answers that only it can have."""

import contextlib
import logging
import queue
from collections.abc import Sequence

from django.db import InterfaceError, OperationalError

from dispatch.dispatchers.base import Answer, BackendError, Dispatcher
from dispatch.lanes import store
from dispatch.lanes.run import Run
from dispatch.stopping import stop_requested

__all__ = ["store_late_answers"]

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25


def store_late_answers(
    runs: Sequence[Run], finished: "queue.SimpleQueue[Run]", backend: Dispatcher
) -> None:
    """Wait for all answers that are owed to this lane; store pictures, write nothing else.

    A picture is stored by the token of its open attempt, so that it does no harm where another
    lane was quicker; whatever else an answer says is left to the lane that has the lease
    (protocol rules 11 and 12).
    """
    waiting = [run for run in runs if not run.orphan and not run.closed]
    while waiting and not stop_requested():
        waiting = [run for run in waiting if run.result is None or not _stored(run, backend)]
        if waiting:
            with contextlib.suppress(queue.Empty):
                finished.get(timeout=_LOOK_SECONDS)


def _stored(run: Run, backend: Dispatcher) -> bool:
    """Return False if the database must be asked again."""
    answer = run.result
    if not isinstance(answer, Answer) or answer.rejected:
        return True
    if run.is_half_baked(answer, backend, alone=True):
        return True
    try:
        store.complete(run.token, store.write_files(answer, run.attempt.images))
    except (OperationalError, InterfaceError) as error:
        log.warning("late answer of %s: %s", run.token, error)
        return False
    except (BackendError, OSError) as error:
        log.warning("late answer of %s: %s", run.token, error)
    return True
