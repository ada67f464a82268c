"""The jobs that a choice is made from: of each owner the first, not the first of all.

A queue may hold a hundred thousand jobs of one owner before the one job of another, or before the
first that this server can do. So the queue is never walked: with a few steps through an index each
owner is found, and of each the first jobs that are due. What waits for a time or for other jobs is
not in these indexes (`jobs.readiness`). Plain SQL, because a GPU waits for it.

What is due is said here a second time, beside `JobQuerySet.due`; a test holds them together, and
the claim asks `due` again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.db import connection

from jobs.choices import LaneClass, Status
from jobs.models import Job, Turn
from jobs.querysets import SCOPE

__all__ = [
    "HEAD",
    "OWNERS",
    "Better",
    "Level",
    "heads",
    "levels",
    "waiting_loras",
    "waiting_models",
]

# Jobs looked at for one choice, owners among them, and models or sets of LoRAs that wait. Few jobs
# are enough: those with the loaded model are looked for by themselves, and so are the owners.
HEAD = 24
OWNERS = 100
_VALUES = 200
_LEAST_EACH = 3

# The literals are what lets a planner see that the partial indexes fit.
_CHOOSABLE = """
    {q}.status = 'pending' AND {q}.deleted_at IS NULL AND NOT {q}.held
    AND NOT {q}.blocked AND {q}.put_off_until IS NULL
    AND {q}.app_type = %(app_type)s AND {q}.target_server_alias = %(target)s
"""
_ON_LEVEL = f"{_CHOOSABLE} AND {{q}}.lane_class = %(lane)s AND {{q}}.priority = %(priority)s"

_WAITS = f"""
    EXISTS (
        SELECT 1 FROM jobs_job q WHERE {_CHOOSABLE.format(q="q")}
        AND q.lane_class = lanes.lane AND q.priority = priorities.priority
    )
"""
_LEVELS = f"""
    WITH lanes(lane, rank) AS (
        VALUES ('{LaneClass.INTERACTIVE}', 0), ('{LaneClass.BACKGROUND}', 1)
    ),
    priorities(priority) AS (VALUES {", ".join(f"({n})" for n in range(1, 11))})
    SELECT lane, priority FROM lanes CROSS JOIN priorities
    WHERE {_WAITS}
    ORDER BY rank, priority
"""

# One step through an index for each value that waits.
_NEXT = f"""
    (SELECT q.{{column}} FROM jobs_job q WHERE {_ON_LEVEL.format(q="q")} AND q.{{column}} > {{than}}
     AND NOT (q.{{column}} = '') ORDER BY q.{{column}} LIMIT 1)
"""
_VALUES_OF_LEVEL = f"""
    WITH RECURSIVE known(name) AS (
        SELECT {_NEXT.replace("{than}", "''")}
        UNION ALL
        SELECT {_NEXT.replace("{than}", "known.name")} FROM known WHERE known.name IS NOT NULL
    )
    SELECT name FROM known WHERE name IS NOT NULL LIMIT {_VALUES}
"""

_SCOPE = SCOPE.replace("owner_id", "q.owner_id").replace("api_key_id", "q.api_key_id")
_NEXT_OWNER = f"""
    (SELECT {_SCOPE} FROM jobs_job q WHERE {_ON_LEVEL.format(q="q")} {{only}}
     AND {_SCOPE} {{than}} ORDER BY {_SCOPE} LIMIT 1)
"""
_DUE = f"""
    (q.not_before IS NULL OR q.not_before <= %(now)s)
    AND (q.retry_at IS NULL OR q.retry_at <= %(now)s)
    AND (q.deadline IS NULL OR q.deadline > %(now)s OR q.images_made > 0)
    AND NOT EXISTS (SELECT 1 FROM jobs_attempt a WHERE a.job_id = q.id AND a.cleared_at IS NULL)
    AND NOT EXISTS (
        SELECT 1 FROM jobs_jobdependency d JOIN jobs_job p ON p.id = d.parent_id
        WHERE d.job_id = q.id AND p.status <> '{Status.COMPLETED}' AND (
            d.on_failure = 'cancel' OR (
                p.status IN ('{Status.PENDING}', '{Status.PROCESSING}') AND p.deleted_at IS NULL
            )
        )
    )
"""
_FIRST_OF_OWNER = f"""
    SELECT q.id FROM jobs_job q
    WHERE {_ON_LEVEL.format(q="q")} {{only}} AND {_SCOPE} = owners.scope AND {_DUE} AND {{able}}
    ORDER BY q.position, q.id LIMIT %(each)s
"""
_OWNERS = f"""
    WITH RECURSIVE owners(scope) AS (
        SELECT {_NEXT_OWNER.replace("{than}", "{first} %(after)s")}
        UNION ALL
        SELECT {_NEXT_OWNER.replace("{than}", "> owners.scope")} FROM owners
        WHERE owners.scope IS NOT NULL
    )
    SELECT scope FROM owners WHERE scope IS NOT NULL LIMIT %(owners)s
"""
_COLUMNS = (
    "id",
    "app_type",
    "checkpoint",
    "loras",
    "target_server_alias",
    "lane_class",
    "priority",
    "position",
    "created_at",
    "avoid_servers",
    "not_before",
    "retry_at",
    "owner_id",
    "api_key_id",
)
# The job does not avoid this server.
_ABLE = {
    "sqlite": "instr(q.avoid_servers, %(quoted)s) = 0",
    "postgresql": "position(%(quoted)s in q.avoid_servers::text) = 0",
}
_NOT_IN = "AND q.checkpoint NOT IN ({marks})"
_EQUAL = "AND q.checkpoint = %(checkpoint)s"
# Another server has more of its LoRAs, unless it avoids a server: then who knows.
_BETTER = "AND NOT (q.loras IN ({loras}) {but} AND q.avoid_servers = '[]')"
_BUT = "AND q.checkpoint NOT IN ({marks})"


@dataclass(frozen=True)
class Level:
    """Jobs among which neither class nor priority decides."""

    lane_class: str
    priority: int

    @property
    def order(self) -> tuple[int, int]:
        """Return its place among the levels: what is less is served first."""
        return int(self.lane_class != LaneClass.INTERACTIVE), self.priority


def levels(app_type: str, alias: str) -> list[Level]:
    """Return the levels on which jobs wait, the first to be served first."""
    found: set[Level] = set()
    with connection.cursor() as cursor:
        for target in ("", alias):
            cursor.execute(_LEVELS, {"app_type": app_type, "target": target})
            found |= {Level(lane, priority) for lane, priority in cursor.fetchall()}
    return sorted(found, key=lambda level: level.order)


def waiting_models(level: Level, app_type: str, alias: str) -> set[str]:
    """Return the checkpoints that the jobs of a level ask for, as they call them."""
    return _waiting("checkpoint", level, app_type, alias)


def waiting_loras(level: Level, app_type: str, alias: str) -> set[str]:
    """Return the LoRAs that the jobs of a level ask for, as `Job.loras` has those of a job."""
    return _waiting("loras", level, app_type, alias)


def _waiting(column: str, level: Level, app_type: str, alias: str) -> set[str]:
    names: set[str] = set()
    with connection.cursor() as cursor:
        for target in ("", alias):
            statement = _VALUES_OF_LEVEL.format(column=column)
            cursor.execute(statement, _values(level, app_type, target))
            names |= {name for (name,) in cursor.fetchall()}
    return names


@dataclass(frozen=True)
class Better:
    """LoRAs (as in `Job.loras`) that others have more of, but with these checkpoints nobody."""

    loras: Sequence[str]
    but: Sequence[str] = ()


def heads(
    level: Level,
    app_type: str,
    alias: str,
    now: datetime,
    *,
    without: Sequence[str] = (),
    better: Sequence[Better] = (),
    checkpoint: str = "",
) -> Iterator[Job]:
    """Yield of each owner the first jobs of a level that are due and that this server may do.

    `without`: checkpoints that the server lacks; `better`: what another server does better;
    `checkpoint`: only jobs with this one. Where more than OWNERS wait, those after the one who was
    served last.
    """
    extra: dict[str, Any] = {}

    def marks(values: Sequence[str]) -> str:
        names = {f"name{len(extra) + n}": value for n, value in enumerate(values)}
        extra.update(names)
        return ", ".join(f"%({name})s" for name in names)

    which = [_NOT_IN.format(marks=marks(without))] if without else []
    if checkpoint:
        which.append(_EQUAL)
        extra["checkpoint"] = checkpoint
    for some in better:
        but = _BUT.format(marks=marks(some.but)) if some.but else ""
        which.append(_BETTER.format(loras=marks(some.loras), but=but))
    only = " ".join(which)
    for target in ("", alias):
        values = _values(level, app_type, target) | extra
        owners = _owners(level, only, values)
        if owners:
            yield from _firsts(owners, only, values, alias, now)


def _owners(level: Level, only: str, values: Mapping[str, Any]) -> list[str]:
    """Return who has jobs there, at most OWNERS."""

    def ask(first: str, after: str) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(
                _OWNERS.format(only=only, first=first),
                {**values, "after": after, "owners": OWNERS + 1},
            )
            return [scope for (scope,) in cursor.fetchall()]

    owners = ask(">=", "")
    if len(owners) <= OWNERS:
        return owners
    turns = Turn.objects.filter(lane_class=level.lane_class).order_by("-at")
    last = turns.values_list("scope", flat=True).first() or ""
    # In a circle: who was left out now comes nearer with each turn.
    after = ask(">", last)
    return [*after, *owners][:OWNERS]


@lru_cache
def _statement(only: str, count: int, vendor: str) -> str:
    """Return the statement that reads the first jobs of so many owners."""
    owners = ", ".join(f"(%(owner{n})s)" for n in range(count))
    first = _FIRST_OF_OWNER.format(only=only, able=_ABLE[vendor])
    if vendor == "postgresql":
        joined = f"CROSS JOIN LATERAL ({first}) h JOIN jobs_job j ON j.id = h.id"
    else:
        joined = f"CROSS JOIN jobs_job j ON j.id IN ({first})"
    columns = ", ".join(f"j.{connection.ops.quote_name(name)}" for name in _COLUMNS)
    return f"WITH owners(scope) AS (VALUES {owners}) SELECT {columns} FROM owners {joined}"


def _firsts(
    owners: Sequence[str], only: str, values: Mapping[str, Any], alias: str, now: datetime
) -> Iterator[Job]:
    at: Any = Job._meta.get_field("not_before").get_db_prep_value(now, connection)
    named = {f"owner{n}": scope for n, scope in enumerate(owners)}
    named["quoted"] = f'"{alias}"'
    each = max(_LEAST_EACH, HEAD // len(owners))
    statement = _statement(only, len(owners), connection.vendor)
    yield from Job.objects.raw(statement, {**values, **named, "now": at, "each": each})


def _values(level: Level, app_type: str, target: str) -> dict[str, Any]:
    return {
        "app_type": app_type,
        "target": target,
        "lane": level.lane_class,
        "priority": level.priority,
    }
