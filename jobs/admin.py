"""Jobs and their history, to look at; what changes a job goes through the services."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apikeys.actors import SYSTEM, Actor
from jobs import services
from jobs.models import (
    Attempt,
    Batch,
    Delivery,
    Epoch,
    Event,
    Idempotency,
    Job,
    JobDependency,
    JobInput,
    JobProgress,
    JobText,
    LiveEvent,
    Notice,
    Notifier,
    Preset,
    QueueSettings,
    Retention,
    Retry,
    Turn,
    Undo,
    Webhook,
)
from jobs.webhooks import claims
from mobilesd.errors import Problem

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Any]
    _Inline = admin.TabularInline[Any, Any]
else:
    _Admin, _Inline = admin.ModelAdmin, admin.TabularInline


class ReadOnly:
    """What the system writes: to be seen, not to be edited or deleted here."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class AttemptInline(ReadOnly, _Inline):
    model = Attempt
    extra = 0
    fields = ("number", "server_alias", "submitted_at", "ended_at", "cleared_at", "outcome")
    readonly_fields = fields
    ordering = ("number",)


def _for_each(
    request: HttpRequest,
    model_admin: _Admin,
    jobs: QuerySet[Job],
    do: Callable[[UUID, Actor], Any],
    done: str,
) -> None:
    count = 0
    for job_id in list(jobs.values_list("pk", flat=True)):
        try:
            do(job_id, SYSTEM)
        except Problem as problem:
            model_admin.message_user(request, f"{job_id}: {problem.message}", messages.WARNING)
        else:
            count += 1
    if count:
        model_admin.message_user(request, f"{count} {done}.", messages.SUCCESS)


@admin.register(Job)
class JobAdmin(ReadOnly, _Admin):
    list_display = (
        "id",
        "status",
        "app_type",
        "kind",
        "checkpoint",
        "target_server_alias",
        "server_alias",
        "priority",
        "owner",
        "created_at",
        "finished_at",
    )
    list_filter = ("status", "app_type", "kind", "lane_class", "created_at")
    list_select_related = ("owner",)
    search_fields = ("=id", "=source_info")
    search_help_text = "A job's id, or its exact source."
    ordering = ("-created_at",)
    show_full_result_count = False
    list_per_page = 50
    inlines = (AttemptInline,)
    actions = ("cancel_jobs", "retry_jobs", "delete_jobs")

    @admin.action(description="Cancel", permissions=["act"])
    def cancel_jobs(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        _for_each(request, self, queryset, services.cancel, "cancelled")

    @admin.action(description="Retry", permissions=["act"])
    def retry_jobs(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        _for_each(request, self, queryset, services.retry, "queued again")

    @admin.action(description="Delete", permissions=["act"])
    def delete_jobs(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        _for_each(request, self, queryset, services.delete, "deleted")

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Actions change jobs through the services, so the row's own form stays closed."""
        return request.user.has_perm("jobs.change_job")


@admin.register(Attempt)
class AttemptAdmin(ReadOnly, _Admin):
    list_display = (
        "token",
        "job_id",
        "number",
        "server_alias",
        "outcome",
        "submitted_at",
        "ended_at",
        "cleared_at",
    )
    list_filter = ("outcome", "server_alias", "created_at")
    search_fields = ("=token", "=job__id")
    ordering = ("-created_at",)
    show_full_result_count = False


@admin.register(Event)
class EventAdmin(ReadOnly, _Admin):
    list_display = ("id", "kind", "job_id", "owner_id", "public", "at")
    list_filter = ("kind", "public")
    search_fields = ("=job__id",)
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(LiveEvent)
class LiveEventAdmin(ReadOnly, _Admin):
    list_display = ("id", "kind", "job_id", "at")
    list_filter = ("kind",)
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(JobProgress)
class JobProgressAdmin(ReadOnly, _Admin):
    list_display = ("job_id", "progress", "text", "eta_seconds", "updated_at")
    show_full_result_count = False


@admin.register(JobInput)
class JobInputAdmin(ReadOnly, _Admin):
    list_display = ("job_id", "sha256", "mime", "bytes")
    search_fields = ("=sha256", "=job__id")
    show_full_result_count = False


@admin.register(Idempotency)
class IdempotencyAdmin(ReadOnly, _Admin):
    list_display = ("scope", "key", "job_id", "at")
    search_fields = ("=key",)
    ordering = ("-at",)
    show_full_result_count = False


@admin.register(Epoch)
class EpochAdmin(ReadOnly, _Admin):
    list_display = ("value",)


@admin.register(JobText)
class JobTextAdmin(ReadOnly, _Admin):
    list_display = ("id", "job_id")
    search_fields = ("=job__id",)
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(Batch)
class BatchAdmin(ReadOnly, _Admin):
    list_display = ("id", "total", "seed_variation", "owner", "created_at")
    list_select_related = ("owner",)
    ordering = ("-created_at",)
    show_full_result_count = False


@admin.register(Retry)
class RetryAdmin(ReadOnly, _Admin):
    list_display = ("at", "job_id", "api_key_prefix")
    search_fields = ("=job__id", "=api_key_prefix")
    ordering = ("-at",)
    show_full_result_count = False


@admin.register(JobDependency)
class JobDependencyAdmin(ReadOnly, _Admin):
    list_display = ("job_id", "parent_id", "on_failure")
    search_fields = ("=job__id", "=parent__id")
    show_full_result_count = False


@admin.register(Preset)
class PresetAdmin(ReadOnly, _Admin):
    list_display = ("name", "owner", "app_type", "shared", "updated_at")
    list_select_related = ("owner",)
    ordering = ("name",)


@admin.register(Undo)
class UndoAdmin(ReadOnly, _Admin):
    list_display = ("action", "scope", "expires_at", "used_at")
    ordering = ("-expires_at",)


@admin.register(Turn)
class TurnAdmin(ReadOnly, _Admin):
    list_display = ("scope", "lane_class", "at")
    ordering = ("-at",)


@admin.register(Notifier)
class NotifierAdmin(ReadOnly, _Admin):
    list_display = ("name", "owner", "is_active", "last_sent_at", "last_error")
    list_select_related = ("owner",)
    ordering = ("name",)


@admin.register(Notice)
class NoticeAdmin(ReadOnly, _Admin):
    list_display = ("title", "notifier", "due_at", "tries", "sent_at", "given_up_at")
    list_select_related = ("notifier",)
    ordering = ("-due_at",)
    show_full_result_count = False


@admin.register(Retention)
class RetentionAdmin(ReadOnly, _Admin):
    list_display = ("kind", "days", "most", "gigabytes", "is_active", "updated_at")


@admin.register(QueueSettings)
class QueueSettingsAdmin(ReadOnly, _Admin):
    list_display = ("paused", "paused_app_types", "accept_submissions")


@admin.register(Webhook)
class WebhookAdmin(ReadOnly, _Admin):
    list_display = (
        "url",
        "owner",
        "api_key_id",
        "sees_all_jobs",
        "is_active",
        "failures_in_row",
        "off_reason",
        "created_at",
    )
    list_filter = ("is_active",)
    list_select_related = ("owner",)
    ordering = ("-created_at",)
    actions = ("switch_off",)

    @admin.action(description="Switch off", permissions=["act"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        ids = list(queryset.filter(is_active=True).values_list("pk", flat=True))
        for webhook_id in ids:
            claims.switch_off(webhook_id, "An administrator has switched it off.")
        self.message_user(request, f"{len(ids)} switched off.", messages.SUCCESS)

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.change_webhook")


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly, _Admin):
    list_display = (
        "id",
        "webhook_id",
        "kind",
        "state",
        "tries",
        "last_status",
        "last_error",
        "milliseconds",
        "created_at",
    )
    list_filter = ("state", "kind")
    search_fields = ("=id", "=webhook__id")
    ordering = ("-created_at",)
    show_full_result_count = False
