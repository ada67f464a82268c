"""The pages of keys: what there is, a form, what one was used for, and its secret, once."""

import json
from typing import Any

import segno
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apikeys import forms, services
from apikeys.actors import Actor
from apikeys.chart import key_chart
from apikeys.fields import grace_seconds, read_fields
from apikeys.models import ApiKey
from apikeys.ports import Usage, ports
from apikeys.scopes import IN_WORDS
from mobilesd.errors import Problem
from mobilesd.http.addresses import is_own, own_address
from mobilesd.http.pages import go_to

__all__ = ["add", "delete", "edit", "key", "keys", "revoke", "rotate", "shown_once", "switch"]

SHOWN = 200
_STATES = {
    "active": ("good", "Active"),
    "off": ("off", "Switched off"),
    "expired": ("warn", "Expired"),
    "revoked": ("bad", "Revoked"),
}
# The API's names of the fields -> those of the form.
_FIELD_OF = {"gpu_seconds_per_day": "gpu_minutes", "expires_at": "expires"}
_SWITCHES = {
    "on": ({"is_active": True}, "{} works again."),
    "off": ({"is_active": False}, "{} is switched off. Programs that use it are refused."),
}


def _actor(request: HttpRequest) -> Actor:
    return Actor.of_user(request.user)


@login_required
@require_safe
def keys(request: HttpRequest) -> HttpResponse:
    """List the keys: one's own, and for staff all others."""
    rows = ApiKey.objects.visible_to(_actor(request)).select_related("owner").order_by("-created")
    own = rows.filter(owner=request.user.pk)[:SHOWN]
    others = rows.exclude(owner=request.user.pk)[:SHOWN]
    context = {
        "own": [_in_words(row) for row in own],
        "others": [_in_words(row) for row in others],
        "shown": SHOWN,
    }
    return render(request, "apikeys/keys.html", context)


def _in_words(row: ApiKey) -> dict[str, Any]:
    tone, words = _STATES[row.state]
    return {"row": row, "tone": tone, "words": words}


@login_required
@require_safe
def key(request: HttpRequest, prefix: str) -> HttpResponse:
    """Show what a key may do, what it was used for, and everything that changes it."""
    row = services.find(prefix, _actor(request))
    used = ports.usage([row])[row.prefix]
    requests, errors = services.requests_of([row])[row.prefix]
    context = {
        "item": _in_words(row),
        "may": [IN_WORDS.get(s, s) for s in row.scopes if s in row.counting_scopes],
        "may_not": [IN_WORDS.get(s, s) for s in row.scopes if s not in row.counting_scopes],
        "requests": requests,
        "errors": errors,
        "quotas": _quotas(row, used),
        "used": used,
        "chart": key_chart(row),
    }
    return render(request, "apikeys/key.html", context)


def _quotas(row: ApiKey, used: Usage) -> list[dict[str, Any]]:
    bars = [
        ("Jobs", "", row.jobs_per_day, used.jobs, used.jobs_free_at),
        ("Run time", "seconds", row.gpu_seconds_per_day, used.gpu_seconds, used.gpu_free_at),
    ]
    return [
        {"name": name, "unit": unit, "limit": limit, "used": amount, "free_at": free_at}
        for name, unit, limit, amount, free_at in bars
        if limit is not None
    ]


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """Make a key, and show it: the only time."""
    if request.method != "POST":
        return _form(request, forms.empty(request.GET))
    typed = forms.read(request)
    try:
        fields = read_fields(forms.to_fields(typed))
        if typed["whose"] == "installation":
            fields["owner"] = ""
        row, token = services.create(fields, _actor(request))
    except Problem as problem:
        return _form(request, typed, problem)
    return shown_once(request, row, token, status=201)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, prefix: str) -> HttpResponse:
    """Change a key."""
    row = services.find(prefix, _actor(request))
    if request.method != "POST":
        return _form(request, forms.of_key(row), row=row)
    typed = forms.read(request)
    try:
        services.change(prefix, read_fields(forms.to_fields(typed)), _actor(request))
    except Problem as problem:
        return _form(request, typed, problem, row=row)
    return go_to(request, reverse("key", args=[prefix]), "The key is changed.")


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def rotate(request: HttpRequest, prefix: str) -> HttpResponse:
    """Ask how long the secret so far shall work, then show the new one: the only time."""
    row = services.find(prefix, _actor(request))
    if row.revoked:
        return redirect("key", prefix)
    if request.method != "POST":
        context = {"row": row, "graces": forms.GRACES.items()}
        return render(request, "apikeys/rotate.html", context)
    typed = request.POST.get("grace", "")
    seconds = grace_seconds(int(typed) if typed in forms.GRACES else None)
    row, token = services.rotate(prefix, seconds, _actor(request))
    return shown_once(request, row, token)


@login_required
@require_POST
def switch(request: HttpRequest, prefix: str) -> HttpResponse:
    """Switch a key off for a while, or on again."""
    wanted = _SWITCHES.get(request.POST.get("to", ""))
    if wanted is None:
        raise Problem("That is nothing that a key can be switched to.")
    changes, words = wanted
    row = services.change(prefix, changes, _actor(request))
    return go_to(request, reverse("key", args=[prefix]), words.format(row.name))


@login_required
@require_POST
def revoke(request: HttpRequest, prefix: str) -> HttpResponse:
    """Refuse a key for good."""
    row = services.revoke(prefix, _actor(request))
    return go_to(request, reverse("key", args=[prefix]), f"{row.name} is revoked, for good.")


@login_required
@require_POST
def delete(request: HttpRequest, prefix: str) -> HttpResponse:
    """Delete a key; its jobs stay."""
    services.delete(prefix, _actor(request))
    return go_to(request, reverse("keys"), "The key is deleted. Its jobs and pictures stay.")


def shown_once(request: HttpRequest, row: ApiKey, token: str, status: int = 200) -> HttpResponse:
    """Answer with a secret: in the body of this answer, and nowhere else."""
    base = own_address(request)
    pairing = json.dumps({"url": base, "token": token}, separators=(",", ":"))
    context = {
        "row": row,
        "token": token,
        "secret": token.partition(".")[2],
        "base": base,
        "only_here": is_own(base),
        "code": segno.make(pairing, error="m").svg_data_uri(border=3, dark="#000", light="#fff"),
        "until": row.previous_until,
    }
    return render(request, "apikeys/shown_once.html", context, status=status)


def _form(
    request: HttpRequest,
    typed: dict[str, Any],
    problem: Problem | None = None,
    *,
    row: ApiKey | None = None,
) -> HttpResponse:
    errors = {}
    for name, sentences in (problem.fields if problem else {}).items():
        errors[_FIELD_OF.get(name, name)] = " ".join(_it(text, name) for text in sentences)
    context = {
        "typed": typed,
        "row": row,
        "errors": errors,
        "problem": problem,
        "limits_open": row is not None or errors.keys() - {"name", "description", "scopes"},
        **forms.choices(_actor(request), row),
    }
    status = 200 if problem is None else 422
    return render(request, "apikeys/key_form.html", context, status=status)


def _it(sentence: str, name: str) -> str:
    """Let a sentence begin with "It" instead of the API's name of the field, which stands above."""
    if sentence.startswith(f"{name} "):
        return f"It {sentence.removeprefix(name).lstrip()}"
    return sentence
