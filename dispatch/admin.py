"""Servers, to look at and to switch; they are added and edited on the page Servers.

What changes one goes through the services, so that its lane learns of it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apikeys.actors import Actor
from dispatch import services
from dispatch.models import ExpectedStart, Inventory, Server, Timing
from mobilesd.errors import Problem

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Any]
else:
    _Admin = admin.ModelAdmin


class _ReadOnly(_Admin):
    """Rows that only the system writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Server)
class ServerAdmin(_ReadOnly):
    list_display = (
        "alias",
        "url",
        "app_type",
        "enabled",
        "paused",
        "health",
        "health_text",
        "loaded_checkpoint",
        "companion_text",
    )
    list_filter = ("app_type", "enabled", "paused", "health")
    search_fields = ("alias", "url", "description")
    ordering = ("alias",)
    # Also the encrypted password is nobody's business.
    exclude = ("sealed_password", "sealed_companion_token")
    actions = ("test_them", "enable_them", "disable_them", "pause_them", "resume_them", "remove")

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Actions go through the services, so the row's own form stays closed."""
        return request.user.has_perm("dispatch.change_server")

    def _for_each(
        self, request: HttpRequest, servers: QuerySet[Server], do: Callable[[str], str]
    ) -> None:
        for alias in list(servers.values_list("alias", flat=True)):
            try:
                text, level = do(alias), messages.SUCCESS
            except Problem as problem:
                text, level = f"{problem.message} {problem.hint}", messages.ERROR
            self.message_user(request, f"{alias}: {text}", level)

    @admin.action(description="Test the connection", permissions=["act"])
    def test_them(self, request: HttpRequest, queryset: QuerySet[Server]) -> None:
        def test(alias: str) -> str:
            report = services.test_connection(services.find_server(alias))
            return report.text or f"It answered in {report.latency_ms:.0f} ms."

        self._for_each(request, queryset, test)

    def _set(self, request: HttpRequest, servers: QuerySet[Server], **changes: bool) -> None:
        def change(alias: str) -> str:
            services.edit_server(alias, changes)
            return "Changed."

        self._for_each(request, servers, change)

    @admin.action(description="Enable", permissions=["act"])
    def enable_them(self, request: HttpRequest, queryset: QuerySet[Server]) -> None:
        self._set(request, queryset, enabled=True)

    @admin.action(description="Disable", permissions=["act"])
    def disable_them(self, request: HttpRequest, queryset: QuerySet[Server]) -> None:
        self._set(request, queryset, enabled=False)

    @admin.action(description="Pause", permissions=["act"])
    def pause_them(self, request: HttpRequest, queryset: QuerySet[Server]) -> None:
        self._set(request, queryset, paused=True)

    @admin.action(description="Resume", permissions=["act"])
    def resume_them(self, request: HttpRequest, queryset: QuerySet[Server]) -> None:
        self._set(request, queryset, paused=False)

    @admin.action(description="Delete", permissions=["act"])
    def remove(self, request: HttpRequest, queryset: QuerySet[Server]) -> None:
        def delete(alias: str) -> str:
            services.delete_server(alias, Actor.of_user(request.user))
            return "Deleted. Jobs that name it stay."

        self._for_each(request, queryset, delete)


@admin.register(Inventory)
class InventoryAdmin(_ReadOnly):
    list_display = ("server", "updated_at")
    list_select_related = ("server",)


@admin.register(Timing)
class TimingAdmin(_ReadOnly):
    list_display = ("server", "checkpoint", "kind", "runs", "unit_seconds", "loads", "load_seconds")
    list_filter = ("server", "kind")
    list_select_related = ("server",)


@admin.register(ExpectedStart)
class ExpectedStartAdmin(_ReadOnly):
    list_display = ("job_id", "told_at", "at")
