"""The page Servers: what there is, how it is, and for staff everything that changes it."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apikeys.actors import Actor
from dispatch import services
from dispatch.accuracy import errors_of
from dispatch.dispatchers.registry import dispatcher_class, labels
from dispatch.extension import folder_of
from dispatch.models import Health, Interrupt, Server
from jobs.hours import OPENING_FIELDS, opening_of
from jobs.live.replay import standing
from jobs.models import Attempt
from jobs.pages.actions import undo_of
from jobs.pages.hours import opening_changes, opening_form
from mobilesd.errors import Problem
from mobilesd.http.pages import acted, go_to

__all__ = ["add", "delete", "edit", "servers", "switch", "test"]

_SWITCHES = {
    "enable": ({"enabled": True}, "{} is switched on."),
    "disable": ({"enabled": False}, "{} is switched off."),
    "pause": ({"paused": True}, "{} is paused. What it is making now is finished."),
    "resume": ({"paused": False}, "{} goes on."),
}
# The API's names of the fields -> those of the form.
_FIELD_OF = {"apiUrl": "url", "auth.username": "username", "auth.password": "password"}


def _staff_only(request: HttpRequest) -> None:
    if not request.user.is_staff:
        raise Problem(
            "Only staff may change servers.",
            error="scope_missing",
            hint="Ask somebody who administrates this MobileSD.",
        )


@login_required
@require_safe
def servers(request: HttpRequest) -> HttpResponse:
    """List the servers, as a page or, for a page that is open, as its part."""
    stands = standing()
    rows = list(Server.objects.order_by("alias"))
    running = dict(
        Attempt.objects.open()
        .filter(server_alias__in=[row.alias for row in rows])
        .values_list("server_alias")
        .annotate(Count("pk"))
    )
    errors = errors_of(row.alias for row in rows)
    names = labels()
    context = {
        "page": "servers",
        "standing": stands,
        "labels": names,
        "extensions": [(name, label) for name, label in names.items() if folder_of(name)],
        "servers": [
            {
                "row": row,
                "running": running.get(row.alias, 0),
                "error": errors.get(row.alias),
                **_standing_in_words(row),
            }
            for row in rows
        ],
    }
    part = getattr(request, "htmx", False)
    return render(request, "dispatch/_servers.html" if part else "dispatch/servers.html", context)


def _standing_in_words(server: Server) -> dict[str, str]:
    if not server.enabled:
        return {"tone": "off", "words": "Switched off", "why": "It gets no jobs."}
    tones = {Health.HEALTHY: "good", Health.UNKNOWN: "off", Health.STARTING: "warn"}
    tone = tones.get(Health(server.health), "bad")
    words = Health(server.health).label
    if server.yields_since is not None and server.is_healthy and not server.paused:
        return {"tone": "warn", "words": "Gives way to others", "why": server.yield_text}
    if server.wake_text and server.health == Health.OFFLINE and not server.paused:
        why = f"{server.health_text} {server.wake_text}".strip()
        return {"tone": tone, "words": words, "why": why}
    if server.paused:
        return {
            "tone": "warn",
            "words": f"Paused · {words}",
            "why": server.health_text or "It gets no new jobs.",
        }
    opening, now = opening_of(server), timezone.now()
    if server.is_healthy and not opening.is_open(now):
        why = f"It {opening.why_closed(now)}"
        over = "1" if opening.opens(now) is None else ""
        return {"tone": "warn", "words": "Outside its hours", "why": why, "over": over}
    return {"tone": tone, "words": words, "why": server.health_text}


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """Add a server."""
    _staff_only(request)
    if request.method != "POST":
        return _form(request, {"app_type": "", "url": ""})
    typed = _typed(request)
    try:
        server = services.add_server(
            alias=typed["alias"],
            url=typed["url"],
            app_type=typed["app_type"],
            description=typed["description"],
            username=typed["username"],
            password=request.POST.get("password", ""),
        )
    except Problem as problem:
        return _form(request, typed, problem)
    return go_to(request, reverse("servers"), f"{server.alias} is added. It is being asked now.")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, alias: str) -> HttpResponse:
    """Change a server; an empty password field keeps the password."""
    _staff_only(request)
    server = services.find_server(alias)
    if request.method != "POST":
        return _form(request, _of(server), server=server)
    typed = _typed(request)
    names = ("url", "app_type", "description", "username", "interrupt")
    changes: dict[str, Any] = {name: typed[name] for name in names}
    if request.POST.get("forget_password"):
        changes["password"] = ""
    elif request.POST.get("password"):
        changes["password"] = request.POST["password"]
    if request.POST.get("forget_companion_token"):
        changes["companion_token"] = ""
    elif request.POST.get("companion_token"):
        changes["companion_token"] = request.POST["companion_token"]
    changes["wake_mac"] = typed["wake_mac"]
    changes["wake_seconds"] = _number(typed["wake_seconds"]) if typed["wake_mac"] else None
    changes["yield_below_mb"] = _number(typed["yield_below_mb"]) if typed["yields"] else None
    if changes["wake_seconds"] is None:
        del changes["wake_seconds"]
    changes |= opening_changes(typed)
    try:
        services.edit_server(alias, changes)
    except Problem as problem:
        return _form(request, typed, problem, server=server)
    return go_to(request, reverse("servers"), f"{alias} is changed.")


@login_required
@require_POST
def test(request: HttpRequest, alias: str) -> HttpResponse:
    """Ask a server how it is, now."""
    _staff_only(request)
    report = services.test_connection(services.find_server(alias))
    if report.health != Health.HEALTHY:
        raise Problem(
            f"{alias}: {report.text or Health(report.health).label}",
            error="server_not_ready",
        )
    words = f"{alias} answers, in {report.latency_ms:.0f} ms."
    return acted(request, words, reverse("servers"))


@login_required
@require_POST
def switch(request: HttpRequest, alias: str) -> HttpResponse:
    """Switch a server on or off, pause it or let it go on."""
    _staff_only(request)
    wanted = _SWITCHES.get(request.POST.get("to", ""))
    if wanted is None:
        raise Problem("That is nothing that a server can be switched to.")
    changes, words = wanted
    services.edit_server(alias, changes)
    return acted(request, words.format(alias), reverse("servers"))


@login_required
@require_POST
def delete(request: HttpRequest, alias: str) -> HttpResponse:
    """Remove a server; its jobs stay."""
    _staff_only(request)
    row = services.delete_server(alias, Actor.of_user(request.user))
    words = f"{alias} is deleted. Its jobs and pictures stay."
    return acted(request, words, reverse("servers"), undo_of(row))


def _of(server: Server) -> dict[str, str]:
    names = ("alias", "url", "app_type", "description", "username", "interrupt")
    return {
        **{name: str(getattr(server, name)) for name in names},
        "wake_mac": server.wake_mac,
        "wake_seconds": str(server.wake_seconds),
        "yields": "1" if server.yield_below_mb is not None else "",
        "yield_below_mb": str(server.yield_below_mb or 0),
    }


def _typed(request: HttpRequest) -> dict[str, str]:
    names = (
        *("alias", "url", "app_type", "description", "username", "interrupt"),
        *("wake_mac", "wake_seconds", "yields", "yield_below_mb"),
        *(*OPENING_FIELDS, "was_run_until"),
    )
    return {name: request.POST.get(name, "").strip() for name in names}


def _number(text: str) -> int | str:
    """Return a typed number, or what was typed: the service says what is wrong with it."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text


def _form(
    request: HttpRequest,
    typed: dict[str, str],
    problem: Problem | None = None,
    *,
    server: Server | None = None,
) -> HttpResponse:
    errors: dict[str, str] = {}
    for name, sentences in (problem.fields if problem else {}).items():
        field = _FIELD_OF.get(name, name)
        errors[field] = " ".join(_in_words(sentence, name) for sentence in sentences)
    context = {
        "page": "servers",
        "typed": typed,
        "server": server,
        "opening": opening_form(server, typed if problem else None) if server else None,
        "errors": errors,
        "problem": problem,
        "labels": labels(),
        "interrupts": Interrupt.choices,
        "companion_hint": dispatcher_class(server.app_type).companion_hint if server else "",
    }
    status = 200 if problem is None else 422
    return render(request, "dispatch/server_form.html", context, status=status)


def _in_words(sentence: str, name: str) -> str:
    """Let a sentence begin with "It" instead of the API's name of the field, which stands above."""
    if sentence.startswith(f"{name} "):
        return f"It {sentence.removeprefix(name).lstrip()}"
    return sentence
