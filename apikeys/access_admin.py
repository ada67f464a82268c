"""The access log and the sums of each day, in the admin: to look at, quick at a million lines."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property

from apikeys.access_log import KEY_DAYS
from apikeys.models import Access, ApiKey, KeyDay

if TYPE_CHECKING:
    _AccessAdmin = admin.ModelAdmin[Access]
    _KeyDayAdmin = admin.ModelAdmin[KeyDay]
    _Paginator = Paginator[Access]
    _Rows = QuerySet[Access]
else:
    _AccessAdmin = _KeyDayAdmin = admin.ModelAdmin
    _Paginator = Paginator
    _Rows = QuerySet

__all__ = ["AccessAdmin", "KeyDayAdmin"]

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_MAX_ROWS = 10_000
_MAX_KEYS = 50


class _ReadOnly:
    """What the system writes: to be seen, not to be edited here."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class _FirstRows(_Paginator):
    """Pages of the newest 10,000 lines that a filter leaves: to count them all would take long."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[:_MAX_ROWS].count())


class StatusFilter(admin.SimpleListFilter):
    """By class of status, with all that was refused as one of them."""

    title = "answer"
    parameter_name = "answer"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("refused", "Refused (401, 403, 429)"),
            ("ok", "Done (below 400)"),
            ("error", "All errors (from 400 on)"),
            ("4xx", "Errors of the caller (4xx)"),
            ("5xx", "Errors here (5xx)"),
        ]

    def queryset(self, request: HttpRequest, queryset: _Rows) -> _Rows:
        # With `status >= 400` each time, word for word the condition of the index of errors.
        errors = queryset.filter(status__gte=400)
        match self.value():
            case "refused":
                return errors.filter(status__in=(401, 403, 429))
            case "ok":
                return queryset.filter(status__lt=400)
            case "error":
                return errors
            case "4xx":
                return errors.filter(status__lt=500)
            case "5xx":
                return errors.filter(status__gte=500)
        return queryset


class TimeFilter(admin.SimpleListFilter):
    """By age."""

    title = "time"
    parameter_name = "hours"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "Past hour"), ("24", "Past day"), ("168", "Past 7 days")]

    def queryset(self, request: HttpRequest, queryset: _Rows) -> _Rows:
        hours = self.value() or ""
        if hours not in {"1", "24", "168"}:
            return queryset
        return queryset.filter(at__gte=timezone.now() - timedelta(hours=int(hours)))


class MethodFilter(admin.SimpleListFilter):
    """By method; a list of those that are in the log would have to read all of it."""

    title = "method"
    parameter_name = "method"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(method, method) for method in _METHODS]

    def queryset(self, request: HttpRequest, queryset: _Rows) -> _Rows:
        method = self.value()
        return queryset.filter(method=method) if method else queryset


class KeyFilter(admin.SimpleListFilter):
    """By key, those used last first; any other prefix can be searched for."""

    title = "key"
    parameter_name = "key"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        keys = ApiKey.objects.order_by("-last_used_at").values_list("prefix", "name")
        return [(prefix, f"{name} ({prefix})") for prefix, name in keys[:_MAX_KEYS]]

    def has_output(self) -> bool:
        return True  # a link to the lines of a key works also when that key is gone

    def queryset(self, request: HttpRequest, queryset: _Rows) -> _Rows:
        prefix = self.value()
        return queryset.filter(key_prefix=prefix) if prefix else queryset


@admin.register(Access)
class AccessAdmin(_ReadOnly, _AccessAdmin):
    list_display = (
        "at",
        "key_prefix",
        "method",
        "route",
        "status",
        "error",
        "times",
        "milliseconds",
        "bytes",
        "address",
        "source_info",
    )
    list_filter = (StatusFilter, TimeFilter, MethodFilter, KeyFilter)
    show_facets = admin.ShowFacets.NEVER  # they count
    # Searched by `get_search_results`; the field names only make the box appear.
    search_fields = ("=key_prefix",)
    search_help_text = (
        "The prefix of a key. The newest 10,000 lines are listed. Lines are written once a second:"
        " a crash (kill -9, a power cut) loses those of the last second, an orderly stop none."
    )
    ordering = ("-at", "-id")
    sortable_by = ()  # only in the order of time is there an index
    show_full_result_count = False
    paginator = _FirstRows

    def get_search_results(
        self, request: HttpRequest, queryset: _Rows, search_term: str
    ) -> tuple[_Rows, bool]:
        # Exact with its letters as they are, where "=" would compare without case and index.
        term = search_term.strip()
        return (queryset.filter(key_prefix=term) if term else queryset), False


@admin.register(KeyDay)
class KeyDayAdmin(_ReadOnly, _KeyDayAdmin):
    list_display = ("key_id", "day", "requests", "errors", "bytes")
    search_fields = ("=key__prefix",)
    search_help_text = f"The prefix of a key. Sums are kept for {KEY_DAYS} days."
    ordering = ("-day", "key_id")
    show_full_result_count = False
