"""What a cluster of `up` does before it forks its workers."""

import gc
import importlib
import os

from django.conf import settings

from dispatch.dispatchers import registry
from mobilesd.supervisor.probe import mark_work

__all__ = ["prepare"]

# What the tasks of a cluster import. Loaded before the fork it is shared by all workers; loaded
# by the first task of each it would cost every worker 15 MB of its own.
_MODULES = {
    "dispatch": ("dispatch.tasks",),
    "background": ("dispatch.tasks", "jobs.webhooks.runner", "mobilesd.housekeeping"),
}


def prepare(name: str) -> None:
    """Make the workers of this cluster small, and their work visible to `up`."""
    mark_work(name)
    for module in _MODULES.get(name, ()):
        importlib.import_module(module)
    for app_type in settings.DISPATCHERS:
        registry.dispatcher_class(app_type)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_share)


def _share() -> None:
    # A full collection writes into every object, and a page that is written to is shared no
    # more: what exists at the fork is not looked at again (17 MB a worker, measured).
    gc.collect()
    gc.freeze()
