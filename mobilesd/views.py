"""The shell around the pages: signing in, the first account, the manifest."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import get_user_model, login
from django.contrib.auth.forms import BaseUserCreationForm
from django.contrib.auth.views import LoginView, redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apikeys import limits
from apikeys.middleware import tell_error
from mobilesd import first_run as links
from mobilesd import known_devices
from mobilesd.http.addresses import client_address

__all__ = ["SignIn", "admin_sign_in", "favicon", "first_run", "manifest"]


def _nobody() -> bool:
    """Tell whether there is no account that could administrate."""
    return not get_user_model().objects.filter(is_superuser=True, is_active=True).exists()


class SignIn(LoginView):
    """The sign-in form.

    Wrong tries slow an address down; right ones do not count. A browser that signed in before is
    counted apart, so that nobody else's tries lock the owner out.
    """

    template_name = "shell/sign_in.html"
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        wait = limits.try_to_sign_in(self._place())
        if wait is None:
            return super().post(request, *args, **kwargs)
        # The form is left unbound: even reading it would try the password.
        typed = {"username": request.POST.get("username", "")}
        context = self.get_context_data(form=self.get_form_class()(initial=typed), wait=wait)
        response = self.render_to_response(context, status=429)
        response["Retry-After"] = str(wait)
        tell_error(request, "rate_limited")
        return response

    def form_valid(self, form: Any) -> HttpResponse:
        limits.signed_in(self._place())
        response = super().form_valid(form)
        known_devices.remember(response, form.get_user().get_username())
        return response

    def form_invalid(self, form: Any) -> HttpResponse:
        response = super().form_invalid(form)
        if not form.non_field_errors():  # something is missing: no password was tried
            response.status_code = 422
        else:
            # Not 200: browsers offer to keep a password that was taken.
            response.status_code = 403
            tell_error(self.request, "sign_in_failed")
        return response

    def _place(self) -> str:
        """Return where a try is counted: at the known device, else at the address."""
        device = known_devices.device_of(self.request, self.request.POST.get("username", ""))
        if device is not None:
            return f"device {device}"
        return limits.network_of(client_address(self.request))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, nobody=_nobody())


@never_cache
@require_safe
def admin_sign_in(request: HttpRequest) -> HttpResponse:
    """Let who administrates sign in where all do: in the admin's own form, guessing is free."""
    if admin.site.has_permission(request):
        return redirect("admin:index")
    if request.user.is_authenticated:  # the form would send them here again, for ever
        raise PermissionDenied
    return redirect_to_login(request.GET.get("next") or reverse("admin:index"))


class FirstAccount(BaseUserCreationForm):  # type: ignore[type-arg]  # no generic at run time
    """The first account, which administrates the installation."""

    class Meta(BaseUserCreationForm.Meta):
        fields = ("username",)
        labels = {"username": "Name"}
        help_texts = {"username": ""}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].widget.attrs |= {"autocomplete": "username"}
        self.fields["password1"].help_text = "At least 8 characters, and not a common password."
        self.fields["password2"].label = "Password again"
        self.fields["password2"].help_text = ""

    def save(self, commit: bool = True) -> Any:
        user = super().save(commit=False)
        user.is_staff = user.is_superuser = True
        if commit:
            user.save()
        return user


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def first_run(request: HttpRequest, token: str) -> HttpResponse:
    """Make the first account; only a form that is right uses the link up."""
    if not links.is_valid(token):
        return _used_up(request)
    form: forms.BaseForm = FirstAccount(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        status = 422 if request.method == "POST" else 200
        return render(request, "shell/first_run.html", {"form": form}, status=status)
    with transaction.atomic():
        user = form.save()  # type: ignore[attr-defined]
        won = links.redeem(token)
        if not won:  # somebody else was faster: only one first account is made
            transaction.set_rollback(True)
    if not won:
        return _used_up(request)
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    response = redirect("queue")
    known_devices.remember(response, user.get_username())
    return response


def _used_up(request: HttpRequest) -> HttpResponse:
    return render(request, "shell/first_run_gone.html", {"nobody": _nobody()}, status=410)


@require_safe
def manifest(request: HttpRequest) -> HttpResponse:
    """Describe the app to a phone that puts it on its home screen."""
    icons = [
        {"src": static("icons/logo.svg"), "sizes": "any", "type": "image/svg+xml"},
        {"src": static("icons/icon-192.png"), "sizes": "192x192", "type": "image/png"},
        {"src": static("icons/icon-512.png"), "sizes": "512x512", "type": "image/png"},
    ]
    return JsonResponse(
        {
            "name": "MobileSD",
            "short_name": "MobileSD",
            "description": "Send Stable Diffusion work from any device.",
            "id": "/",
            "start_url": "/",
            "scope": "/",
            "display": "standalone",
            "background_color": "#131318",
            "theme_color": "#131318",
            "icons": icons,
        },
        content_type="application/manifest+json",
    )


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """Show the logo to pages that name no icon, such as the administration."""
    return redirect(static("icons/logo.svg"))
