"""Inserting a row where each submission does it.

Django builds the statement anew for every row and sends signals that nobody here listens to: that
takes several times as long as the database does.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from django.db import connection, models

__all__ = ["Rows", "insert"]


@lru_cache
def _statement(model: type[models.Model], vendor: str) -> tuple[str, tuple[Any, ...]]:
    fields = tuple(f for f in model._meta.concrete_fields if not isinstance(f, models.AutoField))
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    return f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({marks})", fields


def insert(row: models.Model) -> None:
    """Insert a new row; an automatic key is not read back. Raises IntegrityError."""
    statement, fields = _statement(type(row), connection.vendor)
    with connection.cursor() as cursor:
        cursor.execute(statement, _values(row, fields))
    row._state.adding = False


def _values(row: models.Model, fields: Iterable[Any]) -> list[Any]:
    return [field.get_db_prep_save(field.pre_save(row, True), connection) for field in fields]


class Rows:
    """Many new rows of one model, in the database's own values.

    Making these takes longer than writing them: made before the transaction, they do not keep
    others from writing. What is known only inside of it is `set` there.
    """

    def __init__(self, rows: Sequence[models.Model]) -> None:
        self._rows = rows
        self._statement, self._fields = _statement(type(rows[0]), connection.vendor)
        self._values = [_values(row, self._fields) for row in rows]

    def set(self, name: str, values: Iterable[Any]) -> None:
        """Give all rows their value of one field."""
        place = next(n for n, field in enumerate(self._fields) if field.name == name)
        field = self._fields[place]
        for row, own, value in zip(self._rows, self._values, values, strict=True):
            setattr(row, name, value)
            own[place] = field.get_db_prep_save(value, connection)

    def insert(self) -> None:
        """Insert all rows; automatic keys are not read back. Raises IntegrityError."""
        with connection.cursor() as cursor:
            cursor.executemany(self._statement, self._values)
        for row in self._rows:
            row._state.adding = False
