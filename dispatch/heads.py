"""The jobs that a choice is made from: of each owner the first, not the first of all.

A queue may hold a hundred thousand jobs of one owner before the one job of another, or before the
first that this server can do. So the queue is never walked: with a few steps through an index each
owner is found, and of each the first jobs that are due. What waits for a time or for other jobs is
not in these indexes (`jobs.readiness`). Plain SQL, because a GPU waits for it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from dispatch.kinds import Kind, Waiting, marks, owners_of_kinds
from dispatch.levels import ON_LEVEL, SCOPE, Level, of_level
from jobs.due import DUE
from jobs.models import Job, Turn
from mobilesd.rows import converted, param

__all__ = ["HEAD", "OWNERS", "Head", "heads"]

# Jobs looked at for one choice, and owners among them. Few jobs are enough: those with the loaded
# model are looked for by themselves, and so are the owners.
HEAD = 24
OWNERS = 100
_LEAST_EACH = 3
# Jobs looked at kind by kind. Where it would be more, most of what waits can be done, and those
# that can't are stepped over.
_LOOKED_AT = 600


class Head(NamedTuple):
    """A job that waits, in what the scheduler asks of it; `scope` is whose turn it takes."""

    scope: str
    position: int
    pk: UUID
    app_type: str
    checkpoint: str
    loras: str
    target_server_alias: str
    lane_class: str
    priority: int
    created_at: datetime
    avoid_servers: list[str]
    not_before: datetime | None
    retry_at: datetime | None


_Row = tuple[Any, ...]
_Pair = tuple[Kind, str]
_COLUMNS = tuple("id" if name == "pk" else name for name in Head._fields if name != "scope")

# --- Owner by owner -----------------------------------------------------------------------

_NEXT_OWNER = f"""
    (SELECT {SCOPE} FROM jobs_job q WHERE {ON_LEVEL} {{only}}
     AND {SCOPE} {{than}} ORDER BY {SCOPE} LIMIT 1)
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
# The job does not avoid this server.
_ABLE = {
    "sqlite": "instr(q.avoid_servers, %(quoted)s) = 0",
    "postgresql": "position(%(quoted)s in q.avoid_servers::text) = 0",
}
_FIRST_OF_OWNER = f"""
    SELECT q.id FROM jobs_job q
    WHERE {ON_LEVEL} {{only}} AND {SCOPE} = heads.scope AND {DUE} AND {{able}}
    ORDER BY q.position, q.id LIMIT %(each)s
"""
_LACKS = "AND q.checkpoint NOT IN ({marks})"
_LEAVES = "AND (q.checkpoint, q.loras, q.avoid_servers) NOT IN (VALUES {marks})"
_EQUAL = "AND q.checkpoint = %(checkpoint)s"

# --- Kind by kind -------------------------------------------------------------------------

_FIRST_OF_KIND = f"""
    SELECT q.id FROM jobs_job q
    WHERE {ON_LEVEL} AND q.checkpoint = heads.checkpoint AND q.loras = heads.loras
    AND q.avoid_servers = heads.avoids AND {SCOPE} = heads.scope AND {DUE}
    ORDER BY q.position, q.id LIMIT %(each)s
"""


def heads(
    level: Level, alias: str, now: datetime, waiting: Waiting, loaded: Sequence[str] = ()
) -> list[Head]:
    """Return of each owner the first jobs of a level that are due and that this server may do.

    And once more those with one of the `loaded` names of a checkpoint. Where more than OWNERS
    wait, those after the one who was served last.
    """
    found: dict[UUID, Head] = {}
    for target in level.targets:
        pairs = _pairs(level, target, waiting)
        for name in ("", *loaded):
            few = None if pairs is None else _by_kinds(level, target, now, pairs, name)
            if few is None:
                few = _by_owners(level, target, alias, now, waiting, name)
            found |= {head.pk: head for head in few}
    return list(found.values())


def _pairs(level: Level, target: str, waiting: Waiting) -> list[_Pair] | None:
    """Return the kinds that this server can do, each with who has such jobs; None if the first
    ones are found sooner by stepping over the others."""
    if not waiting.whole or not (waiting.lacks or waiting.left):
        return None
    pairs = owners_of_kinds(level, target, waiting.able, _LOOKED_AT + 1)
    return pairs if len(pairs) <= _LOOKED_AT else None


def _by_kinds(
    level: Level, target: str, now: datetime, pairs: Sequence[_Pair], checkpoint: str
) -> list[Head] | None:
    """Return the first jobs of each owner, of those kinds with a checkpoint ("": all); None if
    these are too many to look at."""
    some = [pair for pair in pairs if checkpoint in ("", pair[0].checkpoint)]
    owners = set(_next_owners(level, sorted({scope for _, scope in some})))
    each = _each(len(owners))
    if len(some) * each > _LOOKED_AT:
        return None
    values = {**of_level(level, target), "now": param(now), "each": each}
    rows = marks([(*kind, scope) for kind, scope in some if scope in owners], values)
    if not rows:
        return []
    names = "checkpoint, loras, avoids, scope"
    statement = _reading(f"heads({names}) AS (VALUES {rows})", _FIRST_OF_KIND)
    of_owners: defaultdict[str, list[_Row]] = defaultdict(list)
    for row in sorted(_read(statement, values), key=lambda row: row[1:3]):  # by place and id
        of_owners[row[0]].append(row)
    return _heads(row for rows in of_owners.values() for row in rows[:each])


def _by_owners(
    level: Level, target: str, alias: str, now: datetime, waiting: Waiting, checkpoint: str
) -> list[Head]:
    """Return the first jobs of each owner, stepping over those that this server can't do."""
    values = of_level(level, target)
    which = []
    if waiting.lacks:
        names = {f"lacks{n}": name for n, name in enumerate(waiting.lacks)}
        values.update(names)
        which.append(_LACKS.format(marks=", ".join(f"%({name})s" for name in names)))
    if waiting.left:
        which.append(_LEAVES.format(marks=marks(waiting.left, values)))
    if checkpoint:
        which.append(_EQUAL)
        values["checkpoint"] = checkpoint
    only = " ".join(which)
    owners = _owners(level, only, values)
    if not owners:
        return []
    values |= {f"owner{n}": scope for n, scope in enumerate(owners)}
    values |= {"quoted": f'"{alias}"', "now": param(now), "each": _each(len(owners))}
    return _heads(_read(_statement(only, len(owners), connection.vendor), values))


def _each(owners: int) -> int:
    return max(_LEAST_EACH, HEAD // max(1, owners))


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
    # In a circle: who was left out now comes nearer with each turn.
    return [*ask(">", _served_last(level)), *owners][:OWNERS]


def _next_owners(level: Level, owners: Sequence[str]) -> Sequence[str]:
    """Return those whose turn comes next, of all owners in their order."""
    if len(owners) <= OWNERS:
        return owners
    last = _served_last(level)
    return [*(scope for scope in owners if scope > last), *owners][:OWNERS]


def _served_last(level: Level) -> str:
    turns = Turn.objects.filter(lane_class=level.lane_class).order_by("-at")
    return turns.values_list("scope", flat=True).first() or ""


@lru_cache
def _statement(only: str, count: int, vendor: str) -> str:
    """Return the statement that reads the first jobs of so many owners."""
    owners = ", ".join(f"(%(owner{n})s)" for n in range(count))
    first = _FIRST_OF_OWNER.format(only=only, able=_ABLE[vendor])
    return _reading(f"heads(scope) AS (VALUES {owners})", first)


def _reading(each: str, first: str) -> str:
    """Return the statement that reads for each row of a table the first jobs."""
    if connection.vendor == "postgresql":
        joined = f"CROSS JOIN LATERAL ({first}) h JOIN jobs_job j ON j.id = h.id"
    else:
        joined = f"CROSS JOIN jobs_job j ON j.id IN ({first})"
    columns = ", ".join(f"j.{connection.ops.quote_name(name)}" for name in _COLUMNS)
    return f"WITH {each} SELECT heads.scope, {columns} FROM heads {joined}"


def _read(statement: str, values: Mapping[str, Any]) -> list[_Row]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[_Row] = cursor.fetchall()
        return rows


def _heads(rows: Iterable[_Row]) -> list[Head]:
    """Return rows as Python has them; whose they are is a text already."""
    rows = list(rows)
    read = converted(Job, _COLUMNS, [row[1:] for row in rows])
    return [Head(row[0], *values) for row, values in zip(rows, read, strict=True)]
