"""The task that tells people what happened, in the background cluster: one a machine."""

from pathlib import Path

from django.conf import settings

__all__ = ["run", "wake"]

_TASK = "mobilesd.notifying.run"


def _lock_file() -> Path:
    return Path(settings.RUN_DIR) / "notifications.lock"


def run() -> str:
    """Send all that is due; return at once if somebody is at it."""
    from dispatch.stopping import stop_requested
    from jobs.notifications import runner
    from mobilesd.supervisor.locks import AlreadyRunning, FileLock

    # Two at once would be right as well (messages are claimed), but keep two workers busy.
    lock = FileLock(_lock_file())
    try:
        lock.acquire()
    except AlreadyRunning:
        return "somebody is at it"
    try:
        return f"{runner.run(stop=stop_requested)} sent"
    finally:
        lock.release()


def wake() -> None:
    """Start the task if there is anything to do and nobody at work; called by the sweep."""
    from django_q.tasks import async_task

    from jobs.notifications.runner import is_needed
    from mobilesd.supervisor.locks import owner_of

    if is_needed() and owner_of(_lock_file()) is None:
        async_task(_TASK, cluster="background")
