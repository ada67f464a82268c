"""What the servers have, as last read: a large list is parsed again only when it changed."""

from collections.abc import Iterable
from typing import Any

from django.db import connection

from dispatch.inventory import ServerInventory
from dispatch.models import Inventory

__all__ = ["inventories"]

# When it changed, as the database writes it, and what it was then.
_read: dict[int, tuple[Any, ServerInventory]] = {}


def inventories(server_ids: Iterable[int]) -> dict[int, ServerInventory]:
    """Return the inventories of these servers, oldest server first.

    One query while nothing changed.
    """
    wanted = set(server_ids)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT server_id, updated_at FROM {Inventory._meta.db_table} ORDER BY server_id"
        )
        stamps = {pk: at for pk, at in cursor.fetchall() if pk in wanted}
    changed = [pk for pk, at in stamps.items() if _read.get(pk, (None, None))[0] != at]
    for row in Inventory.objects.filter(pk__in=changed) if changed else ():
        # A row that changed since then is newer than its stamp, and so is read once more.
        _read[row.pk] = (stamps[row.pk], ServerInventory.from_json(row.data))
    return {pk: _read[pk][1] for pk in stamps if pk in _read}
