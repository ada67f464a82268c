"""The kinds of jobs that wait: with one checkpoint, one set of LoRAs, the same servers to avoid.

That is all of a job that tells whether a server can do it. Kinds are few where jobs are many, so a
queue of jobs that this server can't do is not walked: an index leads from kind to kind, and inside
of one from owner to owner (`job_kinds`).
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection

from dispatch.levels import ON_LEVEL, SCOPE, Level, of_level

__all__ = ["Kind", "Waiting", "kinds_of", "marks", "owners_of_kinds", "waiting_models"]

# Checkpoints, and kinds of jobs, that are looked at for one choice.
MOST_MODELS = 1000
MOST = 500

_NEXT_MODEL = f"""
    (SELECT q.checkpoint FROM jobs_job q WHERE {ON_LEVEL} {{than}} ORDER BY q.checkpoint LIMIT 1)
"""
_MODELS = f"""
    WITH RECURSIVE known(name) AS (
        SELECT {_NEXT_MODEL.format(than="")}
        UNION ALL
        SELECT {_NEXT_MODEL.format(than="AND q.checkpoint > known.name")} FROM known
        WHERE known.name IS NOT NULL
    )
    SELECT name FROM known WHERE name IS NOT NULL LIMIT %(most)s
"""
_NEXT = f"""
    (SELECT q.id FROM jobs_job q WHERE {ON_LEVEL} {{than}}
     ORDER BY q.checkpoint, q.loras, q.avoid_servers LIMIT 1)
"""
_FIRST = _NEXT.format(than="AND q.checkpoint = models.name")
# Not as one comparison of rows, for which SQLite would use the first column of the index alone.
_THAN = (
    "AND q.checkpoint = kinds.checkpoint AND q.loras = kinds.loras"
    " AND q.avoid_servers > kinds.avoids",
    "AND q.checkpoint = kinds.checkpoint AND q.loras > kinds.loras",
)
# A step by the key of the next row, because SQLite's joins can't look at their left side (LATERAL).
_KINDS = f"""
    WITH RECURSIVE models(name) AS (VALUES {{models}}),
    kinds(checkpoint, loras, avoids) AS (
        SELECT j.checkpoint, j.loras, j.avoid_servers FROM models CROSS JOIN jobs_job j
        WHERE j.id = {_FIRST}
        UNION ALL
        SELECT j.checkpoint, j.loras, j.avoid_servers FROM kinds CROSS JOIN jobs_job j
        WHERE j.id = COALESCE({", ".join(_NEXT.format(than=than) for than in _THAN)})
    )
    SELECT checkpoint, loras, CAST(avoids AS text) FROM kinds LIMIT %(most)s
"""
_NEXT_OWNER = f"""
    (SELECT {SCOPE} FROM jobs_job q WHERE {ON_LEVEL} AND q.checkpoint = {{kind}}.checkpoint
     AND q.loras = {{kind}}.loras AND q.avoid_servers = {{kind}}.avoids {{than}}
     ORDER BY {SCOPE} LIMIT 1)
"""
_OWNERS = f"""
    WITH RECURSIVE kinds(checkpoint, loras, avoids) AS (VALUES {{kinds}}),
    owners(checkpoint, loras, avoids, scope) AS (
        SELECT checkpoint, loras, avoids, {_NEXT_OWNER.format(kind="kinds", than="")} FROM kinds
        UNION ALL
        SELECT checkpoint, loras, avoids,
            {_NEXT_OWNER.format(kind="owners", than=f"AND {SCOPE} > owners.scope")}
        FROM owners WHERE scope IS NOT NULL
    )
    SELECT checkpoint, loras, CAST(avoids AS text), scope FROM owners WHERE scope IS NOT NULL
    LIMIT %(most)s
"""
_MARK = {"sqlite": "%({name})s", "postgresql": "CAST(%({name})s AS {type})"}


class Kind(NamedTuple):
    """A kind of jobs, as the database writes it."""

    checkpoint: str
    loras: str
    avoids: str

    @property
    def avoided(self) -> frozenset[str]:
        """Return the servers that these jobs avoid."""
        return frozenset(json.loads(self.avoids))


@dataclass(frozen=True)
class Waiting:
    """What waits on a level, as a server sees it.

    `lacks` are the checkpoints that it does not have, `able` the kinds that it can do, `left` those
    that it leaves alone though it has the checkpoint; not `whole`: there are more of them.
    """

    lacks: Sequence[str]
    able: Sequence[Kind]
    left: Sequence[Kind]
    whole: bool


def waiting_models(level: Level) -> tuple[list[str], bool]:
    """Return the checkpoints that the jobs of a level ask for, as they call them ("": any), and
    whether these are all."""
    found: dict[str, None] = {}
    with connection.cursor() as cursor:
        for target in level.targets:
            cursor.execute(_MODELS, {**of_level(level, target), "most": MOST_MODELS + 1})
            found |= dict.fromkeys(name for (name,) in cursor.fetchall())
    return list(found)[:MOST_MODELS], len(found) <= MOST_MODELS


def kinds_of(level: Level, models: Sequence[str]) -> tuple[list[Kind], bool]:
    """Return the kinds of a level's jobs with these checkpoints, and whether these are all."""
    if not models:
        return [], True
    names = {f"model{n}": name for n, name in enumerate(models)}
    statement = _KINDS.format(models=", ".join(f"(%({name})s)" for name in names))
    found: dict[Kind, None] = {}
    with connection.cursor() as cursor:
        for target in level.targets:
            cursor.execute(statement, {**of_level(level, target), **names, "most": MOST + 1})
            found |= dict.fromkeys(Kind(*row) for row in cursor.fetchall())
    return list(found)[:MOST], len(found) <= MOST


def owners_of_kinds(
    level: Level, target: str, kinds: Sequence[Kind], most: int
) -> list[tuple[Kind, str]]:
    """Return who has jobs of these kinds, at most so many pairs."""
    if not kinds:
        return []
    values: dict[str, Any] = {**of_level(level, target), "most": most}
    statement = _OWNERS.format(kinds=marks(kinds, values))
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [(Kind(*kind), scope) for *kind, scope in cursor.fetchall()]


def marks(rows: Iterable[Sequence[str]], values: dict[str, Any]) -> str:
    """Return rows of SQL that begin with a kind, whose values are added to `values`."""
    # No cast on SQLite: what has a type of its own is not looked up in an index of expressions.
    mark = _MARK[connection.vendor]
    written = []
    for number, row in enumerate(rows):
        names = [f"row{number}_{place}" for place in range(len(row))]
        values.update(zip(names, row, strict=True))
        types = ("text", "text", "jsonb", *("text" for _ in row[3:]))
        written.append(
            ", ".join(mark.format(name=n, type=t) for n, t in zip(names, types, strict=True))
        )
    return ", ".join(f"({row})" for row in written)
