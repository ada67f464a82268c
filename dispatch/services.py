"""Adding, changing and removing servers, while lanes drive them.

Rows are changed by UPDATE of the named columns only: saving a whole row would write back a lease
that a lane has taken since.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from apikeys.actors import Actor
from dispatch import wake
from dispatch.address import checked_alias, checked_url
from dispatch.health import HealthReport, check
from dispatch.models import (
    COMPANION_TOKEN,
    PASSWORD,
    Health,
    Interrupt,
    Inventory,
    Server,
    Timing,
    hold_servers,
)
from dispatch.wake_on_lan import checked_mac
from jobs import events
from jobs.choices import Status
from jobs.hours import checked_opening, opening_of
from jobs.models import Attempt, Job, JobProgress, Undo, hold_queue
from jobs.services import undo
from jobs.services.kept import keep, put_back
from mobilesd.errors import Conflict, NotFound, bad_field
from mobilesd.sealed import seal

__all__ = [
    "add_server",
    "delete_server",
    "edit_server",
    "find_server",
    "put_back_server",
    "retire_demo",
    "test_connection",
]

_MAX_DESCRIPTION = 500
_MAX_USERNAME = 200
_MAX_PASSWORD = 500
_COMPANION_TOKEN = (20, 200)
_WAKE_SECONDS = (30, 24 * 3600)
_YIELD_MB = (0, 1024 * 1024)
_NEVER_YIELDS = -1  # for REST, where a null is a field that is not there

# What our companion said, to another token or at another address.
_NO_COMPANION: dict[str, Any] = {
    "companion_ok": False,
    "companion_version": "",
    "companion_text": "",
}

# What is known of a backend, and no longer true of the one at another address.
_FORGOTTEN: dict[str, Any] = {
    **_NO_COMPANION,
    "health": Health.UNKNOWN,
    "health_text": "",
    "health_since": None,
    "checked_at": None,
    "probe_at": None,
    "failures_in_row": 0,
    "loaded_checkpoint": "",
    "poisoned_by": "",
}

_NO_LANE: dict[str, Any] = {
    "lane_token": None,
    "lane_host": "",
    "lane_pid": None,
    "lane_started": None,
    "heartbeat_at": None,
    "watched_until": None,
    "yields_since": None,
    "yield_text": "",
    "wake_text": "",
}


def find_server(alias: str) -> Server:
    """Return a server; raise NotFound (`server_not_found`)."""
    server = Server.objects.filter(alias=alias).first()
    if server is None:
        raise NotFound(
            f"There is no server {alias[:64]!r}.",
            error="server_not_found",
            hint="GET /api/v1/servers lists them.",
        )
    return server


def add_server(
    *,
    alias: str,
    url: str,
    app_type: str = "",
    description: str = "",
    username: str = "",
    password: str = "",
    companion_token: str = "",
    enabled: bool = True,
) -> Server:
    """Add a server and let the running system use it at once.

    The demo server is disabled in the same transaction, and its pending jobs go to any server.
    Raises InvalidInput, or Conflict (`already_exists`).
    """
    server = Server(
        alias=checked_alias(alias.strip()),
        url=checked_url(url),
        app_type=_checked_app_type(app_type or settings.DEFAULT_APP_TYPE),
        description=_checked_text("description", description, _MAX_DESCRIPTION),
        username=_checked_username(username),
        sealed_password=_sealed(password),
        sealed_companion_token=_sealed_token(companion_token),
        enabled=enabled,
    )
    try:
        with transaction.atomic():
            hold_servers()
            _refuse_twin(server.url, alias=server.alias)
            server.save(force_insert=True)
            retire_demo()
            _use_now(server)
    except IntegrityError:  # another request added the same alias a moment earlier
        raise _exists("alias", f"There is a server {server.alias!r} already.") from None
    return server


def edit_server(alias: str, changes: Mapping[str, Any]) -> Server:
    """Change some fields of a server: url, app_type, description, username, password,
    companion_token, enabled, paused, interrupt, wake_mac, wake_seconds, yield_below_mb, hours,
    time_zone, run_until.

    A password or token is kept unless it is given; "" removes it. Raises NotFound, InvalidInput,
    or Conflict (another server has the address; the old address still has work of ours).
    """
    values = _checked_changes(changes)
    with transaction.atomic():
        if "url" in values:
            hold_servers()
        server = _locked(alias)
        values |= checked_opening(changes, server.time_zone)
        if changes.get("paused") is False and opening_of(server).opens(timezone.now()) is None:
            values.setdefault("run_until", None)  # "until 06:30" has come, and it goes on
        if "password" in changes and _is_same_password(server, changes["password"]):
            del values["sealed_password"]  # sealed anew, it would look like another one
        moved = _differs(server, values, "url", "app_type")
        if moved:
            _refuse_twin(values.get("url", server.url), alias=alias, editing=True)
            _refuse_if_at_work(server, "change its address or app type")
        if moved or _differs(server, values, "username", "sealed_password"):
            values |= _FORGOTTEN
        elif "sealed_companion_token" in values:
            values |= _NO_COMPANION
        if moved:
            Inventory.objects.filter(server=server).delete()
        if values:
            Server.objects.filter(pk=server.pk).update(**values)
        server.refresh_from_db()
        _use_now(server, ask="companion_ok" in values)
    return server


def _differs(server: Server, values: Mapping[str, Any], *names: str) -> bool:
    return any(values.get(name, getattr(server, name)) != getattr(server, name) for name in names)


def _is_same_password(server: Server, password: str) -> bool:
    # One that can't be read any more reads as none, and is not the same as none.
    return password == server.password and bool(password) == bool(server.sealed_password)


def delete_server(alias: str, actor: Actor) -> Undo:
    """Remove a server; the jobs that name it stay and say so (design §5).

    Raises NotFound, or Conflict while the backend has, or may have, work of ours.
    """
    with transaction.atomic():
        server = _locked(alias)
        _refuse_if_at_work(server, "delete it")
        row = undo.remember(actor, "delete_server", {"server": keep([server, *_learned(server)])})
        server.delete()
        _tell(alias, "removed")
        # Jobs of its app type may wait for another reason now.
        wake.bump(app_type=server.app_type, enabled=True)
    return row


def _learned(server: Server) -> Iterable[Timing]:
    return Timing.objects.filter(server=server).order_by("pk")


def put_back_server(kept: Sequence[Mapping[str, Any]]) -> None:
    """Undo the deletion of a server, inside the caller's transaction; raise Conflict.

    What it has is asked anew. Its lane of before has no lease on the new row, so it only ends.
    """
    hold_servers()
    fields = kept[0]["fields"]
    if not fields["demo"]:
        _refuse_twin(fields["url"], alias=fields["alias"])
    try:
        [server, *_] = put_back(kept, {**_FORGOTTEN, **_NO_LANE})
    except IntegrityError:
        raise _exists("alias", f"There is a server {fields['alias']!r} already.") from None
    _use_now(server)


def test_connection(server: Server, *, timeout: float = 5) -> HealthReport:
    """Ask a server how it is, store what it says, and return it."""
    return check(server, timeout=timeout)


# --- Checks -------------------------------------------------------------------------------


def _checked_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    readers: dict[str, Callable[[Any], Any]] = {
        "url": checked_url,
        "app_type": _checked_app_type,
        "description": lambda text: _checked_text("description", text, _MAX_DESCRIPTION),
        "username": _checked_username,
        "enabled": bool,
        "paused": bool,
        "interrupt": _checked_interrupt,
        "wake_mac": checked_mac,
        "wake_seconds": lambda value: _checked_number("wake_seconds", value, _WAKE_SECONDS),
        "yield_below_mb": _checked_yield,
    }
    values = {name: readers[name](value) for name, value in changes.items() if name in readers}
    if values.get("yield_below_mb", 0) is None:
        values |= {"yields_since": None, "yield_text": ""}
    if "password" in changes:
        values["sealed_password"] = _sealed(changes["password"])
    if "companion_token" in changes:
        values["sealed_companion_token"] = _sealed_token(changes["companion_token"])
    return values


def _checked_app_type(app_type: str) -> str:
    known = list(settings.DISPATCHERS)
    if app_type not in known:
        raise bad_field("app_type", f"must be one of {', '.join(known)}, not {app_type[:60]!r}.")
    return app_type


def _checked_interrupt(word: str) -> str:
    if word not in Interrupt.values:
        raise bad_field("interrupt", f"must be one of {', '.join(Interrupt.values)}.")
    return word


def _checked_number(name: str, value: Any, bounds: tuple[int, int]) -> int:
    low, high = bounds
    if type(value) is not int or not low <= value <= high:
        raise bad_field(name, f"must be a whole number from {low} to {high}.")
    return int(value)


def _checked_yield(value: Any) -> int | None:
    if value in (None, _NEVER_YIELDS):
        return None
    return _checked_number("yield_below_mb", value, _YIELD_MB)


def _checked_text(name: str, text: str, longest: int) -> str:
    text = text.strip()
    if len(text) > longest:
        raise bad_field(name, f"is longer than {longest} characters.")
    return text


def _checked_username(text: str) -> str:
    if ":" in text or not text.isprintable():
        raise bad_field("auth.username", "must not hold a colon or control characters.")
    return _checked_text("auth.username", text, _MAX_USERNAME)


def _sealed(password: str) -> str:
    if len(password) > _MAX_PASSWORD:
        raise bad_field("auth.password", f"is longer than {_MAX_PASSWORD} characters.")
    return seal(password, purpose=PASSWORD) if password else ""


def _sealed_token(token: str) -> str:
    token, (shortest, longest) = token.strip(), _COMPANION_TOKEN
    if not token:
        return ""
    if not shortest <= len(token) <= longest or not token.isascii() or not token.isprintable():
        raise bad_field(
            "companion_token",
            f"must have {shortest} to {longest} letters, digits and signs.",
            "Copy it as a whole from where the server shows it.",
        )
    return seal(token, purpose=COMPANION_TOKEN)


def _exists(name: str, message: str, hint: str = "") -> Conflict:
    return Conflict(message, error="already_exists", fields={name: [message]}, hint=hint)


def _refuse_twin(url: str, *, alias: str, editing: bool = False) -> None:
    if not editing and (twin := Server.objects.filter(alias__iexact=alias).first()):
        raise _exists(
            "alias",
            f"There is a server {twin.alias!r} already.",
            "Choose another alias, or change that server.",
        )
    # Two lanes that drive one backend would interrupt and out-wait each other.
    others = Server.objects.filter(url=url, demo=False)
    if twin := others.exclude(alias=alias).first():
        raise _exists(
            "apiUrl",
            f"The server {twin.alias!r} has this address already.",
            "One address is one server. Change or delete the other one first.",
        )


def _locked(alias: str) -> Server:
    # SQLite has the write lock from BEGIN on; elsewhere a claim waits for this row's lock.
    Server.objects.select_for_update().filter(alias=alias).first()
    return find_server(alias)


def _refuse_if_at_work(server: Server, what: str) -> None:
    attempts = list(Attempt.objects.uncleared(server.alias).select_related("job"))
    if not attempts:
        return
    running = [attempt for attempt in attempts if attempt.ended_at is None]
    if not running:
        message = f"A cancelled picture may still be running on {server.alias}."
        hint = f"Wait until the server is rid of it, then {what}."
    else:
        seconds = _seconds_left(running)
        left = f" (about {seconds:.0f} s left)" if seconds is not None else ""
        message = f"{server.alias} is making a picture{left}."
        hint = f"Pause the server and wait, or cancel the job; then {what}."
    raise Conflict(
        message,
        hint=hint,
        extra={"jobs": [str(attempt.job_id) for attempt in attempts]},
    )


def _seconds_left(running: list[Attempt]) -> float | None:
    rows = JobProgress.objects.filter(job__in=[attempt.job_id for attempt in running])
    now = timezone.now()
    left = [
        max(0.0, row.eta_seconds - (now - row.updated_at).total_seconds())
        for row in rows
        if row.eta_seconds is not None
    ]
    return sum(left) if left else None


# --- Effects ------------------------------------------------------------------------------


def retire_demo() -> None:
    """Disable the demo server; call it inside the transaction of what takes its place."""
    demos = list(Server.objects.filter(demo=True).values_list("alias", flat=True))
    if not demos:
        return
    Server.objects.filter(demo=True, enabled=True).update(enabled=False)
    hold_queue()
    Job.objects.filter(
        status=Status.PENDING, deleted_at__isnull=True, target_server_alias__in=demos
    ).update(target_server_alias="", updated_at=timezone.now())
    for alias in demos:
        wake.bump(alias=alias)
        _tell(alias, Health.UNKNOWN)


def _use_now(server: Server, *, ask: bool = True) -> None:
    """Wake or start the server's lane and ask how it is, as soon as this commits."""
    _tell(server.alias, server.health)
    wake.bump(id=server.pk)
    if ask and server.enabled:
        transaction.on_commit(lambda: _ask(server.pk))


def _ask(server_id: int) -> None:
    from django_q.tasks import async_task

    async_task("dispatch.tasks.probe_server", server_id, cluster="background")


def _tell(alias: str, health: str) -> None:
    busy = Attempt.objects.open().filter(server_alias=alias).exists()
    events.emit(
        "server.status", events.ServerStatus(alias=alias, health=health, busy=busy), public=True
    )
