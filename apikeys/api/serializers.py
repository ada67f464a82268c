"""Keys as the contract emits them (contracts/api.md, v1 /api-keys and v2 /whoami)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from apikeys.limits import WINDOW_SECONDS, Bucket, limit_of
from apikeys.models import ApiKey
from apikeys.ports import Usage, ports
from apikeys.services import requests_of
from mobilesd.http.times import rfc3339

__all__ = ["emit_keys", "emit_limits", "emit_new_key"]


def emit_keys(keys: Sequence[ApiKey]) -> list[dict[str, Any]]:
    """Return these keys without their secrets, in a fixed number of queries."""
    requests, usage = requests_of(keys), ports.usage(keys)
    now = timezone.now()
    return [_emit(key, requests[key.prefix], usage[key.prefix], now) for key in keys]


def emit_new_key(key: ApiKey, token: str) -> dict[str, Any]:
    """Return a key with its secret: the answer to what made the secret, and to nothing else."""
    return {**emit_keys([key])[0], "secret": token.partition(".")[2], "token": token}


def _emit(key: ApiKey, requests: tuple[int, int], usage: Usage, now: datetime) -> dict[str, Any]:
    grace = key.previous_until if key.previous_until and key.previous_until > now else None
    return {
        "id": key.prefix,
        "key": key.prefix,
        "name": key.name,
        "description": key.description,
        "owner": key.owner.get_username() if key.owner is not None else None,
        "scopes": key.scopes,
        "allowed_app_types": key.allowed_app_types,
        "allowed_ips": key.allowed_ips,
        "rate_limit": key.rate_limit,
        "jobs_per_day": key.jobs_per_day,
        "gpu_seconds_per_day": key.gpu_seconds_per_day,
        "expires_at": rfc3339(key.expiry_date),
        "is_active": key.is_active,
        "revoked": key.revoked,
        "state": key.state,
        "created_at": rfc3339(key.created),
        "last_used_at": rfc3339(key.last_used_at),
        "previous_secret_until": rfc3339(grace),
        "usage_count": requests[0],
        "error_count": requests[1],
        "usage": _quotas(key, usage),
    }


def _quotas(key: ApiKey, usage: Usage) -> dict[str, Any]:
    return {
        "jobs_per_day": _quota(key.jobs_per_day, usage.jobs, usage.jobs_free_at),
        "gpu_seconds_per_day": _quota(
            key.gpu_seconds_per_day, round(usage.gpu_seconds, 1), usage.gpu_free_at
        ),
    }


def _quota(limit: int | None, used: float, free_at: datetime | None) -> dict[str, Any]:
    return {
        "limit": limit,
        "used": used,
        "remaining": None if limit is None else max(0, round(limit - used, 1)),
        "frees_at": rfc3339(free_at),
    }


def emit_limits(key: ApiKey) -> dict[str, Any]:
    """Return what a key may do in a minute and in a day, and what is left; null: unlimited."""
    buckets = {
        bucket.value: {"limit": limit_of(key, bucket) or None, "per_seconds": WINDOW_SECONDS}
        for bucket in Bucket
    }
    return {**buckets, **_quotas(key, ports.usage([key])[key.prefix])}
