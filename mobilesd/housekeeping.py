"""What is cleared away every ten minutes, in the background cluster; each part on its own."""

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

from django.utils import timezone

__all__ = ["run"]

log = logging.getLogger(__name__)

FAILED_TASK_DAYS = 7


def run() -> None:
    """Run every part; one that fails is logged and keeps no other from its work."""
    for part in _parts():
        try:
            part()
        except Exception:
            log.exception("housekeeping: %s.%s failed", part.__module__, part.__name__)


def _parts() -> Sequence[Callable[[], object]]:
    # Imported here: `up` and the web process only name this module's task.
    from apikeys import access_log
    from gallery.collector import collect_images
    from jobs import events
    from jobs.inputs import collect_inputs
    from jobs.notifications.runner import forget_notices
    from jobs.purge import forget_idempotency_keys, forget_retries, purge_deleted
    from jobs.services.ranks import widen
    from jobs.services.undo import forget as forget_undos
    from jobs.webhooks.retention import forget_deliveries
    from mobilesd import retention

    # Rows first: files are free only when no row needs them any more.
    return (
        retention.apply_active,
        purge_deleted,
        forget_idempotency_keys,
        forget_retries,
        forget_undos,
        widen,
        events.prune,
        forget_deliveries,
        forget_notices,
        access_log.prune,
        _forget_failed_tasks,
        _forget_sessions,
        collect_images,
        collect_inputs,
    )


def _forget_failed_tasks() -> None:
    # django-q2 bounds only the list of its successes.
    from django_q.models import Task

    old = timezone.now() - timedelta(days=FAILED_TASK_DAYS)
    Task.objects.filter(success=False, stopped__lt=old).delete()


def _forget_sessions() -> None:
    from django.contrib.sessions.backends.db import SessionStore

    SessionStore.clear_expired()
