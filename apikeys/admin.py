"""API keys: made here, shown once, changed through the same checks as over the API."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from apikeys import (
    access_admin,  # noqa: F401  registers the access log
    services,
)
from apikeys.actors import SYSTEM
from apikeys.fields import DEFAULT_GRACE_SECONDS, read_fields
from apikeys.models import DEFAULT_SCOPES, SCOPES, ApiKey
from apikeys.views import shown_once
from mobilesd.errors import Problem
from mobilesd.http.times import rfc3339

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[ApiKey]
    _Form = forms.ModelForm[ApiKey]
else:
    _Admin, _Form = admin.ModelAdmin, forms.ModelForm

_FIELDS = (
    "name",
    "description",
    "owner",
    "scopes",
    "is_active",
    "allowed_app_types",
    "allowed_ips",
    "rate_limit",
    "jobs_per_day",
    "gpu_seconds_per_day",
    "expiry_date",
)
_REFUSED = "_mobilesd_refused"
_TOKEN = "_mobilesd_token"
_SHOWN_ONLY = ("prefix", "revoked", "created", "last_used_at", "previous_until")


class ApiKeyForm(_Form):
    """Every field of a key, read by `apikeys.fields`; `wanted` is what the services take.

    `refused` is what these said when it was tried before.
    """

    refused: Problem | None = None

    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in SCOPES],
        initial=DEFAULT_SCOPES,
        widget=forms.CheckboxSelectMultiple,
    )
    allowed_app_types = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None chosen: all of them.",
    )
    allowed_ips = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="One address or network (192.168.1.0/24) a line. Empty: from anywhere.",
    )

    class Meta:
        model = ApiKey
        fields = _FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wanted: dict[str, Any] = {}
        if "allowed_app_types" in self.fields:
            choices = [(name, name) for name in settings.DISPATCHERS]
            self.fields["allowed_app_types"].choices = choices  # type: ignore[attr-defined]
        self.initial["allowed_ips"] = "\n".join(self.instance.allowed_ips)

    def clean(self) -> dict[str, Any]:
        """Let the services' own checks speak, at the field that each is about."""
        typed: dict[str, Any] = {**self.cleaned_data}
        if self.refused is not None:
            self.add_error(None, f"{self.refused.message} {self.refused.hint}")
        if self.errors or not typed:  # no field can be changed of a key that is revoked
            return typed
        typed["allowed_ips"] = typed["allowed_ips"].replace(",", " ").split()
        owner = typed["owner"]
        body = {
            **{name: value for name, value in typed.items() if name != "expiry_date"},
            "owner": owner.get_username() if owner is not None else "",
            "expires_at": rfc3339(typed["expiry_date"]) or "",
            "jobs_per_day": typed["jobs_per_day"] or 0,
            "gpu_seconds_per_day": typed["gpu_seconds_per_day"] or 0,
        }
        try:
            self.wanted = read_fields(body)
            services.check_counting(
                self.wanted["scopes"],
                owner.pk if owner is not None else None,
                # As it is stored: the instance already holds what was typed.
                ApiKey.objects.filter(pk=self.instance.pk).first(),
            )
        except Problem as problem:
            for name, sentences in problem.fields.items():
                self.add_error("expiry_date" if name == "expires_at" else name, list(sentences))
        return typed


@admin.register(ApiKey)
class ApiKeyAdmin(_Admin):
    form = ApiKeyForm
    fields = (*_SHOWN_ONLY, *_FIELDS)
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
    actions = ("rotate", "revoke")

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return _FIELDS if obj is None else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        if obj is not None and obj.revoked:  # final, so nothing else matters any more
            return (*_SHOWN_ONLY, *_FIELDS)
        return _SHOWN_ONLY

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, *args, **kwargs)
        form.refused = getattr(request, _REFUSED, None)  # the class was made for this request
        return form

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Show the form once more with what only the services found, such as a key revoked now."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except Problem as problem:
            setattr(request, _REFUSED, problem)
            return super().changeform_view(request, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            # Only what is in the form: a rotation meanwhile must not be undone.
            if form.wanted:
                services.change(obj.prefix, form.wanted, SYSTEM)
            return
        made, token = services.create(form.wanted, SYSTEM)
        vars(obj).update(vars(made))
        setattr(request, _TOKEN, token)

    def response_add(self, request: HttpRequest, obj: ApiKey, *args: Any) -> HttpResponse:
        """Answer with the secret, as the page of keys does: it is kept nowhere on its way."""
        return shown_once(request, obj, getattr(request, _TOKEN), status=201)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset:
            services.delete(key.prefix, SYSTEM)

    @admin.action(description="Rotate: a new secret, the one before works for a day")
    def rotate(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        """Give a key another secret, shown once."""
        if len(chosen := list(queryset)) != 1:
            text = "Rotate one key at a time: each new secret is shown once. Nothing is changed."
            self.message_user(request, text, messages.ERROR)
            return None
        [key] = chosen
        try:
            changed, token = services.rotate(key.prefix, DEFAULT_GRACE_SECONDS, SYSTEM)
        except Problem as problem:
            self.message_user(request, f"{key.name}: {problem.message}", messages.ERROR)
            return None
        return shown_once(request, changed, token)

    @admin.action(description="Revoke: refuse them from now on, for good")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Revoke the keys."""
        for key in queryset:
            services.revoke(key.prefix, SYSTEM)
        self.message_user(request, "The keys are revoked, for good.", messages.SUCCESS)
