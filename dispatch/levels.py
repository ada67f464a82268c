"""The levels of the queue on which jobs wait that a server could take, and how SQL says so."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.db import connection

from jobs import querysets
from jobs.choices import LaneClass

__all__ = ["ON_LEVEL", "SCOPE", "Level", "levels", "of_level", "order_of"]

# Whose job `q` is.
SCOPE = querysets.SCOPE.replace("owner_id", "q.owner_id").replace("api_key_id", "q.api_key_id")

# The literals are what lets a planner see that the partial indexes fit.
_CHOOSABLE = """
    q.status = 'pending' AND q.deleted_at IS NULL AND NOT q.held
    AND NOT q.blocked AND q.put_off_until IS NULL
    AND q.app_type = %(app_type)s AND q.target_server_alias = {target}
"""
ON_LEVEL = f"""
    {_CHOOSABLE.format(target="%(target)s")}
    AND q.lane_class = %(lane)s AND q.priority = %(priority)s
"""
# A value instead of EXISTS, which PostgreSQL would make a join of, with all jobs that wait. In an
# order, because it would look for any row in the table itself.
_LEVELS = f"""
    WITH lanes(lane, rank) AS (
        VALUES ('{LaneClass.INTERACTIVE}', 0), ('{LaneClass.BACKGROUND}', 1)
    ),
    priorities(priority) AS (VALUES {", ".join(f"({n})" for n in range(1, 11))}),
    targets(target) AS (VALUES (''), (%(alias)s))
    SELECT lane, priority, target FROM lanes CROSS JOIN priorities CROSS JOIN targets
    WHERE (
        SELECT 1 FROM jobs_job q WHERE {_CHOOSABLE.format(target="targets.target")}
        AND q.lane_class = lanes.lane AND q.priority = priorities.priority
        ORDER BY q.checkpoint LIMIT 1
    ) = 1
    ORDER BY rank, priority, target
"""


@dataclass(frozen=True)
class Level:
    """Jobs among which neither class nor priority decides.

    `targets`: whom they are meant for, of any server ("") and the one that asks.
    """

    app_type: str
    lane_class: str
    priority: int
    targets: tuple[str, ...]

    @property
    def order(self) -> tuple[int, int]:
        """Return its place among the levels: what is less is served first."""
        return order_of(self.lane_class, self.priority)


def order_of(lane_class: str, priority: int) -> tuple[int, int]:
    """Return the place of a level among the others."""
    return int(lane_class != LaneClass.INTERACTIVE), priority


def levels(app_type: str, alias: str) -> list[Level]:
    """Return the levels on which jobs wait, the first to be served first."""
    found: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_LEVELS, {"app_type": app_type, "alias": alias})
        for lane, priority, target in cursor.fetchall():
            found[lane, priority].append(target)
    return [Level(app_type, *level, tuple(targets)) for level, targets in found.items()]


def of_level(level: Level, target: str) -> dict[str, Any]:
    """Return the values of ON_LEVEL."""
    return {
        "app_type": level.app_type,
        "target": target,
        "lane": level.lane_class,
        "priority": level.priority,
    }
