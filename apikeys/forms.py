"""The page's form of a key: from what a person typed to the API's fields, and back."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from apikeys.actors import Actor
from apikeys.models import ApiKey
from apikeys.models.key import DEFAULT_RATE
from apikeys.scopes import DEFAULT_SCOPES, IN_WORDS
from mobilesd.http.times import rfc3339

__all__ = ["EXPIRIES", "GRACES", "choices", "empty", "of_key", "read", "to_fields"]

_TEXTS = ("name", "description", "rate_limit", "jobs_per_day", "gpu_minutes", "allowed_ips")
_LONGEST_NAME = 50
# What a key needs, by what it is for; a new key's usual scopes where nothing is said.
_PURPOSES = {"extension": ("jobs:read", "jobs:write", "servers:read", "images:read")}
# Days that a key is good for; "" for ever, "keep" as it is.
EXPIRIES = {"": "Never", "1": "In a day", "7": "In a week", "30": "In 30 days", "365": "In a year"}
GRACES = {"86400": "For a day", "604800": "For a week", "3600": "For an hour", "0": "Not at all"}


def empty(asked: Mapping[str, str]) -> dict[str, Any]:
    """Return the form of a key that is not there yet; a page may ask for one `for` a purpose.

    No page can ask for more: a link from elsewhere must not choose what a key may do.
    """
    return {
        "name": asked.get("name", "")[:_LONGEST_NAME],
        "rate_limit": str(DEFAULT_RATE),
        "scopes": list(_PURPOSES.get(asked.get("for", ""), DEFAULT_SCOPES)),
        "allowed_app_types": [],
        "expires": "",
        "whose": "mine",
    }


def of_key(key: ApiKey) -> dict[str, Any]:
    """Return the form of a key that is there."""
    return {
        "name": key.name,
        "description": key.description,
        "scopes": key.scopes,
        "allowed_app_types": key.allowed_app_types,
        "allowed_ips": "\n".join(key.allowed_ips),
        "rate_limit": str(key.rate_limit),
        "jobs_per_day": str(key.jobs_per_day or ""),
        "gpu_minutes": _minutes(key.gpu_seconds_per_day),
        "expires": "keep" if key.expiry_date else "",
    }


def read(request: HttpRequest) -> dict[str, Any]:
    """Return what was typed, to be read or to be shown again."""
    typed: dict[str, Any] = {name: request.POST.get(name, "").strip() for name in _TEXTS}
    for name in ("scopes", "allowed_app_types"):
        typed[name] = request.POST.getlist(name)
    typed["expires"] = request.POST.get("expires", "")
    typed["whose"] = request.POST.get("whose", "mine")
    return typed


def to_fields(typed: dict[str, Any]) -> dict[str, Any]:
    """Return what was typed as the API's fields; what is no number stays a text, to be refused."""
    fields = {
        "name": typed["name"],
        "description": typed["description"],
        "scopes": typed["scopes"],
        "allowed_app_types": typed["allowed_app_types"],
        "allowed_ips": typed["allowed_ips"].replace(",", " ").split(),
        "rate_limit": _whole(typed["rate_limit"]),
        "jobs_per_day": _whole(typed["jobs_per_day"]),
        "gpu_seconds_per_day": _seconds(typed["gpu_minutes"]),
    }
    if typed["expires"] in EXPIRIES:
        days = typed["expires"]
        moment = timezone.now() + timedelta(days=int(days)) if days else None
        fields["expires_at"] = rfc3339(moment) or ""
    return fields


def _whole(text: str) -> int | str:
    return int(text or 0) if text.isascii() and text.isdigit() and len(text) < 10 else text or 0


def _seconds(text: str) -> int | str:
    try:
        seconds = float(text.replace(",", ".") or 0) * 60
        if seconds <= 0:
            return 0 if seconds == 0 else text
        return max(1, round(seconds))  # 0 would mean unlimited
    except (ValueError, OverflowError):  # no number, or infinite
        return text


def _minutes(seconds: int | None) -> str:
    if seconds is None:
        return ""
    return str(seconds // 60) if seconds % 60 == 0 else f"{seconds / 60:.3f}"


def choices(actor: Actor, key: ApiKey | None = None) -> dict[str, Any]:
    """Return what there is to choose from: no more than this person may give."""
    had = key.scopes if key is not None else []
    types_had = key.allowed_app_types if key is not None else []
    scopes = [
        (scope, words) for scope, words in IN_WORDS.items() if scope in actor.scopes or scope in had
    ]
    return {
        "scope_choices": scopes,
        "app_type_choices": list(dict.fromkeys([*settings.DISPATCHERS, *types_had])),
        "expiry_choices": EXPIRIES.items(),
    }
