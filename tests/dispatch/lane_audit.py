"""Who took a job without owning its server: the database itself writes it down.

A trigger sees each claim and each adoption in its own transaction, where nothing can come between
the row and the lease that must stand behind it (protocol rule 2). What a lane did wrongly, and
what became of it by luck, are told apart that way.
"""

import contextlib
from collections.abc import Iterator

from django.db import connection

from dispatch.models import Server
from jobs.models import Attempt

__all__ = ["forget", "recording", "without_lease"]

_WHEN = f"""
    WHEN NEW.ended_at IS NULL AND NOT EXISTS (
        SELECT 1 FROM {Server._meta.db_table} s
        WHERE s.alias = NEW.server_alias AND s.lane_token = NEW.lane
    ) BEGIN INSERT INTO lane_audit VALUES ('%s of ' || NEW.token || ' by ' || NEW.lane); END
"""
_TABLE = Attempt._meta.db_table
_TRIGGERS = {
    "lane_audit_claim": f"AFTER INSERT ON {_TABLE} {_WHEN % 'claim'}",
    "lane_audit_adopt": f"AFTER UPDATE OF lane ON {_TABLE} {_WHEN % 'adoption'}",
}


@contextlib.contextmanager
def recording() -> Iterator[None]:
    """Record while the block runs. SQLite only, where lanes are tested most."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE lane_audit (what TEXT)")
        for name, body in _TRIGGERS.items():
            cursor.execute(f"CREATE TRIGGER {name} {body}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            for name in _TRIGGERS:
                cursor.execute(f"DROP TRIGGER {name}")
            cursor.execute("DROP TABLE lane_audit")


def without_lease() -> list[str]:
    """Return what was claimed or adopted by a lane that did not own the server."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT what FROM lane_audit")
        return [what for (what,) in cursor.fetchall()]


def forget() -> None:
    """Begin anew."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM lane_audit")
