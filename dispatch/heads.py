"""The jobs that a choice is made from: of each owner the first, not the first of all.

A queue may hold a hundred thousand jobs of one owner before the one job of another, or before the
first that this server can do. So the queue is never walked: with a few steps through an index each
owner is found, and of each the first jobs that are due. Plain SQL, because a GPU waits for it.

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

__all__ = ["HEAD", "OWNERS", "Level", "heads", "levels", "waiting_models"]

# Jobs looked at for one choice, owners among them, and models that wait. Few jobs are enough:
# those with the loaded model are looked for by themselves, and so are the owners.
HEAD = 24
OWNERS = 100
_MODELS = 200
_LEAST_EACH = 3

# The literals are what lets a planner see that the partial indexes fit.
_CHOOSABLE = """
    {q}.status = 'pending' AND {q}.deleted_at IS NULL AND NOT {q}.held
    AND {q}.app_type = %(app_type)s AND {q}.target_server_alias = %(target)s
"""
# Jobs that were put off stand in an index of their own: by time, not by place.
_PLAIN = "AND q.not_before IS NULL"
_TIMED = "AND q.not_before IS NOT NULL"
_ON_LEVEL = f"{_CHOOSABLE} AND {{q}}.lane_class = %(lane)s AND {{q}}.priority = %(priority)s"

_WAITS = f"""
    EXISTS (
        SELECT 1 FROM jobs_job q WHERE {_CHOOSABLE.format(q="q")}
        AND q.lane_class = lanes.lane AND q.priority = priorities.priority {{which}}
    )
"""
_LEVELS = f"""
    WITH lanes(lane, rank) AS (
        VALUES ('{LaneClass.INTERACTIVE}', 0), ('{LaneClass.BACKGROUND}', 1)
    ),
    priorities(priority) AS (VALUES {", ".join(f"({n})" for n in range(1, 11))})
    SELECT lane, priority FROM lanes CROSS JOIN priorities
    WHERE {_WAITS.format(which=_PLAIN)} OR {_WAITS.format(which=_TIMED)}
    ORDER BY rank, priority
"""
_PLACE = f"{_ON_LEVEL.format(q='q')} {_PLAIN}"

# One step through the index for each model that waits.
_NEXT_MODEL = f"""
    (SELECT q.checkpoint FROM jobs_job q WHERE {_PLACE} AND q.checkpoint > {{than}}
     ORDER BY q.checkpoint LIMIT 1)
"""
_MODELS_OF_LEVEL = f"""
    WITH RECURSIVE models(name) AS (
        SELECT {_NEXT_MODEL.format(than="''")}
        UNION ALL
        SELECT {_NEXT_MODEL.format(than="models.name")} FROM models WHERE models.name IS NOT NULL
    )
    SELECT name FROM models WHERE name IS NOT NULL LIMIT {_MODELS}
"""

_SCOPE = SCOPE.replace("owner_id", "q.owner_id").replace("api_key_id", "q.api_key_id")
_NEXT_OWNER = f"""
    (SELECT {_SCOPE} FROM jobs_job q WHERE {_ON_LEVEL.format(q="q")} {{only}}
     AND {_SCOPE} {{than}} ORDER BY {_SCOPE} LIMIT 1)
"""
_DUE = f"""
    (q.retry_at IS NULL OR q.retry_at <= %(now)s)
    AND (q.deadline IS NULL OR q.deadline > %(now)s)
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
    {{order}} LIMIT %(each)s
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


@dataclass(frozen=True)
class Level:
    """Jobs among which neither class nor priority decides."""

    lane_class: str
    priority: int


def levels(app_type: str, alias: str) -> list[Level]:
    """Return the levels on which jobs wait, the first to be served first."""
    found: set[Level] = set()
    with connection.cursor() as cursor:
        for target in ("", alias):
            cursor.execute(_LEVELS, {"app_type": app_type, "target": target})
            found |= {Level(lane, priority) for lane, priority in cursor.fetchall()}
    return sorted(
        found, key=lambda level: (level.lane_class != LaneClass.INTERACTIVE, level.priority)
    )


def waiting_models(level: Level, app_type: str, alias: str) -> set[str]:
    """Return the checkpoints that the jobs of a level ask for, as they call them."""
    names: set[str] = set()
    with connection.cursor() as cursor:
        for target in ("", alias):
            cursor.execute(_MODELS_OF_LEVEL, _values(level, app_type, target))
            names |= {name for (name,) in cursor.fetchall()}
    return names


def heads(
    level: Level,
    app_type: str,
    alias: str,
    now: datetime,
    *,
    without: Sequence[str] = (),
    checkpoint: str = "",
) -> Iterator[Job]:
    """Yield of each owner the first jobs of a level that are due and that this server may do.

    `without`: checkpoints that the server lacks; `checkpoint`: only jobs with this one. Where
    more than OWNERS wait, those after the one who was served last.
    """
    only = _EQUAL if checkpoint else ""
    extra: dict[str, Any] = {"checkpoint": checkpoint} if checkpoint else {}
    if without:
        names = {f"without{n}": name for n, name in enumerate(without)}
        only += _NOT_IN.format(marks=", ".join(f"%({name})s" for name in names))
        extra |= names
    for target in ("", alias):
        values = _values(level, app_type, target) | extra
        for which in (_PLAIN, _TIMED):
            owners = _owners(level, f"{which} {only}", values)
            if owners:
                yield from _firsts(owners, which, only, values, alias, now)


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
def _statement(which: str, only: str, count: int, vendor: str) -> str:
    """Return the statement that reads the first jobs of so many owners."""
    owners = ", ".join(f"(%(owner{n})s)" for n in range(count))
    order, when = "ORDER BY q.position, q.id", which
    if which == _TIMED:
        order, when = "ORDER BY q.not_before, q.id", f"{which} AND q.not_before <= %(now)s"
    first = _FIRST_OF_OWNER.format(only=f"{when} {only}", able=_ABLE[vendor], order=order)
    if vendor == "postgresql":
        joined = f"CROSS JOIN LATERAL ({first}) h JOIN jobs_job j ON j.id = h.id"
    else:
        joined = f"CROSS JOIN jobs_job j ON j.id IN ({first})"
    columns = ", ".join(f"j.{connection.ops.quote_name(name)}" for name in _COLUMNS)
    return f"WITH owners(scope) AS (VALUES {owners}) SELECT {columns} FROM owners {joined}"


def _firsts(
    owners: Sequence[str],
    which: str,
    only: str,
    values: Mapping[str, Any],
    alias: str,
    now: datetime,
) -> Iterator[Job]:
    at: Any = Job._meta.get_field("not_before").get_db_prep_value(now, connection)
    named = {f"owner{n}": scope for n, scope in enumerate(owners)}
    named["quoted"] = f'"{alias}"'
    each = max(_LEAST_EACH, HEAD // len(owners))
    statement = _statement(which, only, len(owners), connection.vendor)
    yield from Job.objects.raw(statement, {**values, **named, "now": at, "each": each})


def _values(level: Level, app_type: str, target: str) -> dict[str, Any]:
    return {
        "app_type": app_type,
        "target": target,
        "lane": level.lane_class,
        "priority": level.priority,
    }
