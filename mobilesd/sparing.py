"""The cache in Redis, which work goes on without.

Who runs a GPU would rather have an answer than a limit: the limits protect against floods, and
what Redis keeps beside them can be read elsewhere. So while it does not answer, nothing is
counted or remembered, the log says so once, and `/readyz` names it. It is asked again after
PAUSE_SECONDS, by one request each time: the others must not wait for its time-outs.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from django.core.cache import caches
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from redis.exceptions import RedisError

__all__ = ["SparedRedisCache", "does_not_answer"]

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
ANSWER_SECONDS = 0.5


class _Outage:
    """Whether Redis answers, as this process sees it: all its caches are in one."""

    def __init__(self) -> None:
        self.lasts = False
        self._again_at = 0.0

    def asked(self, work: Callable[..., Any], otherwise: Any, *arguments: Any) -> Any:
        """Return what Redis answers, or `otherwise` while it does not."""
        now = time.monotonic()
        if self.lasts:
            if now < self._again_at:
                return otherwise
            self._again_at = now + PAUSE_SECONDS
        try:
            found = work(*arguments)
        except RedisError as error:
            self._again_at = time.monotonic() + PAUSE_SECONDS
            if not self.lasts:
                self.lasts = True
                kind = type(error).__name__
                logger.warning("Redis does not answer (%s): no limit is counted meanwhile", kind)
            return otherwise
        if self.lasts:
            self.lasts = False
            logger.warning("Redis answers again: limits are counted")
        return found


_outage = _Outage()


class _Client(RedisCacheClient):
    def add(self, key: Any, value: Any, timeout: Any) -> bool:
        return bool(_outage.asked(super().add, False, key, value, timeout))

    def get(self, key: Any, default: Any) -> Any:
        return _outage.asked(super().get, default, key, default)

    def set(self, key: Any, value: Any, timeout: Any) -> None:
        _outage.asked(super().set, None, key, value, timeout)

    def touch(self, key: Any, timeout: Any) -> bool:
        return bool(_outage.asked(super().touch, False, key, timeout))

    def delete(self, key: Any) -> bool:
        return bool(_outage.asked(super().delete, False, key))

    def get_many(self, keys: Any) -> Any:
        return _outage.asked(super().get_many, {}, keys)

    def has_key(self, key: Any) -> bool:
        return bool(_outage.asked(super().has_key, False, key))

    def incr(self, key: Any, delta: Any) -> int:
        found = _outage.asked(super().incr, None, key, delta)
        if found is None:  # as for a key that is not there; django-ratelimit then counts nothing
            raise ValueError("Redis does not answer.")
        return int(found)

    def set_many(self, data: Any, timeout: Any) -> None:
        _outage.asked(super().set_many, None, data, timeout)

    def delete_many(self, keys: Any) -> None:
        _outage.asked(super().delete_many, None, keys)

    def clear(self) -> bool:
        return bool(_outage.asked(super().clear, False))


class SparedRedisCache(RedisCache):
    """Django's cache in Redis; while that does not answer, it is empty and keeps nothing."""

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        times = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}
        super().__init__(server, {**params, "OPTIONS": {**times, **params.get("OPTIONS", {})}})
        self._class = _Client


def does_not_answer() -> bool:
    """Tell whether Redis, where limits are counted in it, can't be asked now."""
    cache = caches["ratelimit"]
    if not isinstance(cache, SparedRedisCache):
        return False
    cache.get("mobilesd")
    return _outage.lasts
