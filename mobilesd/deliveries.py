"""The task that delivers to webhooks, in the background cluster: one a machine."""

from pathlib import Path

from django.conf import settings

__all__ = ["run", "wake"]

# Below the time-out of the cluster's tasks; then a successor takes over.
RUN_SECONDS = 300.0
_TASK = "mobilesd.deliveries.run"


def _lock_file() -> Path:
    return Path(settings.RUN_DIR) / "webhooks.lock"


def run() -> str:
    """Deliver for RUN_SECONDS or until there is nothing to do; return at once if one is at it."""
    from django_q.tasks import async_task

    from dispatch.stopping import stop_requested
    from jobs.webhooks.runner import Runner
    from mobilesd.supervisor.locks import AlreadyRunning, FileLock

    # Two at once would be right as well (rows are claimed), but keep two workers from other work.
    lock = FileLock(_lock_file())
    try:
        lock.acquire()
    except AlreadyRunning:
        return "somebody is at it"
    try:
        more = Runner(stop=stop_requested).run(RUN_SECONDS)
    finally:
        lock.release()
    if stop_requested():
        return "stopping"
    if more:
        async_task(_TASK, cluster="background")
    return "done"


def wake() -> None:
    """Start the task if there is an active webhook and nobody at work; called by the sweep."""
    from django_q.tasks import async_task

    from jobs.models import Webhook
    from mobilesd.supervisor.locks import owner_of

    if Webhook.objects.filter(is_active=True).exists() and owner_of(_lock_file()) is None:
        async_task(_TASK, cluster="background")
