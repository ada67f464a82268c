"""The page of notifiers: what there is, a test, on and off."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apikeys.actors import Actor
from jobs.live.replay import standing
from jobs.models import Notice, Notifier
from jobs.notifications import services
from jobs.notifications.addresses import service_of
from jobs.notifications.words import KINDS, STAFF_KINDS
from mobilesd.errors import Problem
from mobilesd.http.pages import acted, go_to

__all__ = ["add", "delete", "edit", "notifiers", "switch", "test"]

_SHORT = {
    "done": "done",
    "failed": "failed",
    "stalled": "stalled",
    "queue_empty": "queue empty",
    "server_offline": "server offline",
    "backup_failed": "backup failed",
    "database_damaged": "database damaged",
}
_TYPED = ("name", "quiet_hours", "time_zone")


def _actor(request: HttpRequest) -> Actor:
    return Actor.of_user(request.user)


def _standing_in_words(notifier: Notifier, waiting: int) -> dict[str, str]:
    if not notifier.is_active:
        return {"tone": "off", "words": "Switched off", "why": ""}
    if notifier.last_error:
        return {"tone": "bad", "words": "Failing", "why": notifier.last_error}
    if waiting:
        many = "message waits" if waiting == 1 else "messages wait"
        return {"tone": "good", "words": "On", "why": f"{waiting} {many} to be sent."}
    return {"tone": "good", "words": "On", "why": ""}


@login_required
@require_safe
def notifiers(request: HttpRequest) -> HttpResponse:
    """List the notifiers, as a page or, for a page that is open, as its part."""
    stands = standing()
    rows = services.own(_actor(request)).order_by("-created_at")
    shown = [
        {
            "row": row,
            "service": service_of(row.sealed_url),
            "told": [_SHORT[kind] for kind in row.kinds if kind in _SHORT],
            **_standing_in_words(row, _waiting(row)),
        }
        for row in rows
    ]
    part = getattr(request, "htmx", False)
    return render(
        request,
        "notifiers/_list.html" if part else "notifiers/list.html",
        {"page": "notifiers", "standing": stands, "notifiers": shown},
    )


def _waiting(notifier: Notifier) -> int:
    return Notice.objects.filter(
        notifier=notifier, sent_at__isnull=True, given_up_at__isnull=True
    ).count()


@login_required
@never_cache  # an address that was refused comes back in the form, and may hold a secret
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """Add a notifier; its address is not shown again."""
    if request.method != "POST":
        staff = STAFF_KINDS if _actor(request).sees_all_jobs else ()
        return _form(request, {"url": ""}, ["done", "failed", *staff])
    typed = {name: request.POST.get(name, "").strip() for name in ("url", *_TYPED)}
    kinds = request.POST.getlist("kinds")
    try:
        services.create(_actor(request), {**typed, "kinds": kinds})
    except Problem as problem:
        return _form(request, typed, kinds, problem)
    return go_to(request, reverse("notifiers"), "It is added. Send it a test now.")


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, notifier_id: UUID) -> HttpResponse:
    """Change a notifier; an empty address field keeps the address, which is never shown."""
    row = services.find(notifier_id, _actor(request))
    if request.method != "POST":
        typed = {"url": "", **{name: getattr(row, name) for name in _TYPED}}
        return _form(request, typed, row.kinds, notifier=row)
    typed = {name: request.POST.get(name, "").strip() for name in ("url", *_TYPED)}
    kinds = request.POST.getlist("kinds")
    given = {name: text for name, text in typed.items() if text or name != "url"}
    try:
        services.edit(notifier_id, _actor(request), {**given, "kinds": kinds})
    except Problem as problem:
        return _form(request, typed, kinds, problem, notifier=row)
    return go_to(request, reverse("notifiers"), "It is changed.")


def _form(
    request: HttpRequest,
    typed: dict[str, str],
    chosen: list[str],
    problem: Problem | None = None,
    *,
    notifier: Notifier | None = None,
) -> HttpResponse:
    fields = problem.fields if problem else {}
    context: dict[str, Any] = {
        "page": "notifiers",
        "typed": typed,
        "kinds": [
            (kind, words, kind in chosen)
            for kind, words in KINDS.items()
            if kind in chosen or kind not in STAFF_KINDS or _actor(request).sees_all_jobs
        ],
        "errors": {name: _sentences(name, texts) for name, texts in fields.items()},
        "problem": problem,
        "notifier": notifier,
        "service": service_of(notifier.sealed_url) if notifier else "",
    }
    return render(request, "notifiers/form.html", context, status=422 if problem else 200)


def _sentences(name: str, texts: Sequence[str]) -> str:
    """Let a sentence begin with "It" instead of the API's name of the field, which stands above."""
    return " ".join(f"It {text.removeprefix(name).lstrip()}" for text in texts)


@login_required
@require_POST
def test(request: HttpRequest, notifier_id: UUID) -> HttpResponse:
    """Send a test."""
    services.test(notifier_id, _actor(request))
    return acted(request, "A test is on its way.", reverse("notifiers"))


@login_required
@require_POST
def switch(request: HttpRequest, notifier_id: UUID) -> HttpResponse:
    """Switch a notifier on or off."""
    on = request.POST.get("to") == "on"
    services.edit(notifier_id, _actor(request), {"is_active": on})
    words = "It tells what happens from now on." if on else "It is switched off."
    return acted(request, words, reverse("notifiers"))


@login_required
@require_POST
def delete(request: HttpRequest, notifier_id: UUID) -> HttpResponse:
    """Delete a notifier."""
    services.delete(notifier_id, _actor(request))
    return acted(request, "It is deleted.", reverse("notifiers"))
