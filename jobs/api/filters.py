"""Which jobs a list shows, and in which part (contracts/api.md, "Lists" and v2 /jobs)."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Q
from django.http import QueryDict

from jobs.choices import Status
from jobs.querysets import JobQuerySet
from mobilesd.errors import bad_field
from mobilesd.http.times import read_moment

__all__ = ["filter_jobs"]

_LATER = ("q", "batch")


def filter_jobs(jobs: JobQuerySet, query: QueryDict) -> tuple[JobQuerySet, dict[str, Any]]:
    """Return the jobs that match the query's filters, and the filters as they were understood.

    Raises InvalidInput that names the filter.
    """
    for name in _LATER:
        if query.get(name):
            raise bad_field(
                name, "is not supported by this version of MobileSD.", error="unsupported_parameter"
            )
    used: dict[str, Any] = {}
    statuses = _statuses(query.getlist("status"))
    if statuses:
        used["status"] = statuses
        jobs = jobs.filter(status__in=statuses)
    for name, field in (
        ("app_type", "app_type"),
        ("source_info", "source_info"),
        ("api_key", "api_key"),
    ):
        if value := _value(query, name):
            used[name] = value
            jobs = jobs.filter(**{field: value})
    if alias := _value(query, "server"):
        used["server"] = alias
        jobs = jobs.filter(Q(server_alias=alias) | Q(server_alias="", target_server_alias=alias))
    for name, lookup in (("created_after", "created_at__gt"), ("created_before", "created_at__lt")):
        if text := _value(query, name):
            moment = read_moment(name, text)
            used[name] = moment
            jobs = jobs.filter(**{lookup: moment})
    return jobs, used


def _statuses(given: Iterable[str]) -> list[str]:
    words = [word.strip() for text in given for word in text.split(",") if word.strip()]
    for word in words:
        if word not in Status.values:
            raise bad_field(
                "status", f"must be one of {', '.join(Status.values)}, not {word[:40]!r}."
            )
    return list(dict.fromkeys(words))


def _value(query: QueryDict, name: str) -> str:
    value = (query.get(name) or "").strip()
    if "\x00" in value or len(value) > 500:
        raise bad_field(name, "can't be searched for.")
    return value
