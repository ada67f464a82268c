"""API keys: made here, shown once, then only switched off, revoked or deleted."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest

from apikeys.models import DEFAULT_SCOPES, SCOPES, Access, ApiKey, KeyDay

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[ApiKey]
    _Form = forms.ModelForm[ApiKey]
    _AnyAdmin = admin.ModelAdmin[Any]
else:
    _Admin, _Form, _AnyAdmin = admin.ModelAdmin, forms.ModelForm, admin.ModelAdmin


class ApiKeyForm(_Form):
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in SCOPES],
        initial=DEFAULT_SCOPES,
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = ApiKey
        fields = (
            "name",
            "description",
            "owner",
            "scopes",
            "is_active",
            "expiry_date",
            "revoked",
        )


@admin.register(ApiKey)
class ApiKeyAdmin(_Admin):
    form = ApiKeyForm
    list_display = (
        "prefix",
        "name",
        "owner",
        "is_active",
        "revoked",
        "expiry_date",
        "last_used_at",
    )
    list_filter = ("is_active", "revoked", "created")
    list_select_related = ("owner",)
    search_fields = ("prefix", "name")
    readonly_fields = ("prefix", "last_used_at")

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        if obj is not None and obj.revoked:  # final, so nothing else matters any more
            return (*self.readonly_fields, "revoked", "is_active", "expiry_date", "owner")
        return self.readonly_fields

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        token = ApiKey.objects.assign_key(obj)
        obj.save()
        self.message_user(
            request,
            f"The key is {token}. Keep it now: it can't be shown again.",
            messages.WARNING,
        )


class ReadOnly:
    """What the system writes: to be seen, not to be edited here."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Access)
class AccessAdmin(ReadOnly, _AnyAdmin):
    list_display = ("at", "key_prefix", "method", "route", "status", "error", "address")
    ordering = ("-at", "-id")
    show_full_result_count = False


@admin.register(KeyDay)
class KeyDayAdmin(ReadOnly, _AnyAdmin):
    list_display = ("key_id", "day", "requests", "errors", "bytes")
    ordering = ("-day", "key_id")
    show_full_result_count = False
