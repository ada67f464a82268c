"""App types and their dispatchers; settings.DISPATCHERS extends it by dotted path."""

from functools import lru_cache

from django.conf import settings
from django.utils.module_loading import import_string

from dispatch.dispatchers.base import Address, Dispatcher
from dispatch.models import Server

__all__ = ["dispatcher_class", "dispatcher_for", "labels"]


@lru_cache
def _load(path: str) -> type[Dispatcher]:
    loaded = import_string(path)
    if not (isinstance(loaded, type) and issubclass(loaded, Dispatcher)):
        raise TypeError(f"{path} is not a Dispatcher")
    return loaded


def dispatcher_class(app_type: str) -> type[Dispatcher]:
    """Return the dispatcher of an app type; raise KeyError."""
    return _load(settings.DISPATCHERS[app_type])


def dispatcher_for(server: Server) -> Dispatcher:
    """Return a new dispatcher for this server."""
    address = Address(server.url, server.username, server.password, server.companion_token)
    return dispatcher_class(server.app_type)(address)


def labels() -> dict[str, str]:
    """Return the app types with the names that people know."""
    return {name: dispatcher_class(name).label for name in settings.DISPATCHERS}
