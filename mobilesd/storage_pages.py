"""The page of what is kept: room, backups, recoveries, and the rules of keeping."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from jobs.models import Retention
from mobilesd import retention
from mobilesd.backups import reports, snapshots
from mobilesd.storage import free_bytes, has_room

__all__ = ["dismiss", "storage"]


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic when it runs
    """The limits of one kind; empty ones do not limit."""

    days = forms.IntegerField(min_value=0, max_value=36_500, required=False, label="Days")
    most = forms.IntegerField(min_value=0, max_value=10**9, required=False, label="At most")
    gigabytes = forms.FloatField(min_value=0, max_value=10**6, required=False, label="GB")
    is_active = forms.BooleanField(required=False, label="Delete what is beyond")

    class Meta:
        model = Retention
        fields = ("days", "most", "gigabytes", "is_active")

    def clean(self) -> dict[str, Any]:
        """Refuse a rule that is on and limits nothing: it would look as if it did."""
        given: dict[str, Any] = super().clean() or {}
        limits = [given.get(name) for name in ("days", "most", "gigabytes")]
        if given.get("is_active") and limits == [None] * 3 and not self.errors:
            self.add_error("is_active", "Give it at least one limit.")
        return given


def _staff(request: HttpRequest) -> None:
    if not getattr(request.user, "is_staff", False):
        raise PermissionDenied("Only an administrator decides what is kept.")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def storage(request: HttpRequest) -> HttpResponse:
    """Show the page; a POST saves the rules, or (`look`) only tells what they would delete."""
    _staff(request)
    data = request.POST if request.method == "POST" else None
    rows: list[dict[str, Any]] = []
    for kind, rule in retention.rules():
        form = RuleForm(data, instance=rule, prefix=kind.name)
        valid = form.is_valid() if data is not None else True
        rows.append({"kind": kind, "form": form, "valid": valid})
    valid = all(row["valid"] for row in rows)
    if data is not None and valid and "look" not in data:
        for row in rows:
            rule = row["form"].save(commit=False)
            rule.updated_at = timezone.now()
            rule.save()
        messages.success(request, "Saved. The next clean-up, within ten minutes, keeps to it.")
        return redirect("storage")
    for row in rows:
        rule = row["form"].instance
        row["figure"] = (
            retention.figure(rule, fresh="look" in (data or ())) if row["valid"] else None
        )
    return render(
        request,
        "shell/storage.html",
        {
            "rules": rows,
            "free": free_bytes(),
            "least": settings.MIN_FREE_BYTES,
            "has_room": has_room(),
            "embedded": settings.EMBEDDED,
            "backups": snapshots.snapshots(),
            "recoveries": reports.reports(),
            "looked": data is not None and valid,
        },
        status=200 if valid else 422,
    )


@login_required
@require_POST
def dismiss(request: HttpRequest, name: str) -> HttpResponse:
    """Take note of a recovery."""
    _staff(request)
    reports.dismiss(name)
    return redirect("storage")
