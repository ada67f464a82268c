"""How a server stands: its health, its failures in a row, and what is learned of its speed."""

from datetime import timedelta
from random import uniform

from django.db.models import Avg, F
from django.utils import timezone

from dispatch.dispatchers.base import Probe
from dispatch.models import Health, Server, Timing
from dispatch.scheduling import DEFAULT_LOAD_SECONDS
from jobs import events
from jobs.choices import Kind

__all__ = [
    "ASIDE_AFTER",
    "expected_seconds",
    "learn_load",
    "learn_run",
    "note_companion",
    "note_failure",
    "note_success",
    "probe_delay",
    "set_health",
]

ASIDE_AFTER = 3
_ASIDE_FIRST_SECONDS = 30
_ASIDE_LAST_SECONDS = 600
_OFFLINE_FIRST_SECONDS = 2
_OFFLINE_LAST_SECONDS = 30
_SPREAD = 0.2
_WEIGHT = 0.3  # of the newest run in the moving averages


def probe_delay(health: str, failures: int, since_seconds: float) -> float:
    """Return the seconds until the next look at a server in this state.

    An offline one is looked at often at first and then every half minute; one set aside waits
    longer after each further failure.
    """
    if health == Health.ASIDE:
        doubled = _ASIDE_FIRST_SECONDS * 2 ** min(max(failures - ASIDE_AFTER, 0), 10)
        return float(min(doubled, _ASIDE_LAST_SECONDS))
    if health == Health.HEALTHY:
        return 60.0
    return float(min(max(_OFFLINE_FIRST_SECONDS, since_seconds / 4), _OFFLINE_LAST_SECONDS))


def set_health(server_id: int, health: str, text: str = "") -> bool:
    """Store a server's health, with an event if it changed; call it in a transaction."""
    now = timezone.now()
    server = Server.objects.filter(pk=server_id).first()
    if server is None:  # deleted while it was being asked
        return False
    changed = server.health != health
    since = server.health_since if server.health_since and not changed else now
    delay = probe_delay(health, server.failures_in_row, (now - since).total_seconds())
    Server.objects.filter(pk=server_id).update(
        health=health,
        health_text=text[:300],
        health_since=since,
        checked_at=now,
        # Spread, so that servers that went down together are not all asked at once.
        probe_at=now + timedelta(seconds=delay * uniform(1 - _SPREAD, 1)),
        # Whoever waits for this server has to look again.
        wake_seq=F("wake_seq") + (1 if changed else 0),
    )
    if health == Health.HEALTHY:
        Server.objects.filter(pk=server_id).exclude(wake_text="").update(wake_text="")
    if changed:
        events.emit(
            "server.status",
            events.ServerStatus(
                alias=server.alias, health=health, busy=server.lane_token is not None
            ),
            public=True,
        )
    return changed


def note_companion(server_id: int, probe: Probe) -> None:
    """Store what a look at a healthy server found of our companion there, if that is new."""
    if probe.health != Health.HEALTHY:
        return
    found = probe.companion
    now = {
        "companion_ok": bool(found and found.ok),
        "companion_version": found.version[:50] if found else "",
        "companion_text": found.text[:300] if found else "",
    }
    Server.objects.filter(pk=server_id).exclude(**now).update(**now)


def note_success(server_id: int, loaded_checkpoint: str, version: str = "") -> None:
    """Note a finished run: nothing failed in a row, and this checkpoint is loaded now."""
    values: dict[str, object] = {"failures_in_row": 0, "poisoned_by": ""}
    if loaded_checkpoint:
        values["loaded_checkpoint"] = loaded_checkpoint
        Server.objects.filter(pk=server_id).exclude(loaded_checkpoint=loaded_checkpoint).update(
            loaded_since=timezone.now()
        )
    if version:
        values["version"] = version[:100]
    Server.objects.filter(pk=server_id).update(**values)
    if Server.objects.filter(pk=server_id, health=Health.ASIDE).exists():
        # Two answers came at once, and the one that was read first was the error.
        set_health(server_id, Health.HEALTHY)


def note_failure(server_id: int) -> bool:
    """Count a failure that may be the server's; after three in a row it is set aside.

    Call it in a transaction. Returns whether the server was set aside.
    """
    Server.objects.filter(pk=server_id).update(failures_in_row=F("failures_in_row") + 1)
    failures = Server.objects.values_list("failures_in_row", flat=True).get(pk=server_id)
    if failures < ASIDE_AFTER:
        return False
    set_health(
        server_id,
        Health.ASIDE,
        f"It failed {failures} times in a row. It is tried again later.",
    )
    return True


def learn_run(
    server_id: int, checkpoint: str, kind: str, unit_seconds: float, before: float = 0.0
) -> None:
    """Take a run's speed into the average of this server, checkpoint and kind.

    An upscale has no checkpoint: it is learned by its upscaler.

    `before` passed until the first step, per unit as well. It belongs to the run as a rule; but a
    server may load late what it said that it had, and then one run would spoil the average.
    """
    row, _ = Timing.objects.get_or_create(server_id=server_id, checkpoint=checkpoint, kind=kind)
    old, both = row.unit_seconds, unit_seconds + before
    loaded = abs(unit_seconds - old) < abs(both - old) if row.runs else before > unit_seconds / 2
    new = _averaged(old, row.runs, unit_seconds if loaded else both)
    Timing.objects.filter(pk=row.pk).update(runs=F("runs") + 1, unit_seconds=new)


def learn_load(server_id: int, checkpoint: str, seconds: float) -> None:
    """Take the duration of a model load into the average of this server and checkpoint."""
    row, _ = Timing.objects.get_or_create(server_id=server_id, checkpoint=checkpoint, kind="")
    new = _averaged(row.load_seconds, row.loads, seconds)
    Timing.objects.filter(pk=row.pk).update(loads=F("loads") + 1, load_seconds=new)


def _averaged(old: float, count: int, new: float) -> float:
    """Return the average with one more value: of the first few all count the same."""
    return old + max(_WEIGHT, 1 / (count + 1)) * (new - old)


def expected_seconds(
    server_id: int, checkpoint: str, kind: str, units: float, *, loads: bool
) -> float | None:
    """Return how long a run should take; None where nothing like it has run."""
    rows = {row.kind: row for row in Timing.objects.filter(server=server_id, checkpoint=checkpoint)}
    # Without a kind, of a version that did not tell kinds apart, and made no upscales.
    former = rows.get("") if kind != Kind.UPSCALE else None
    known = [row for row in (rows.get(kind), former) if row is not None and row.runs]
    if not known:
        return None
    return known[0].unit_seconds * units + (_load_seconds(server_id, rows.get("")) if loads else 0)


def _load_seconds(server_id: int, known: Timing | None) -> float:
    if known is not None and known.loads:
        return known.load_seconds
    others = Timing.objects.filter(server=server_id, loads__gt=0)
    mean: float | None = others.aggregate(mean=Avg("load_seconds"))["mean"]
    return mean if mean is not None else DEFAULT_LOAD_SECONDS
