"""Rows that every request reads or writes, by statements that are made once.

Django builds a statement anew each time it runs, and sends signals that nobody here listens to:
for a row by its key that takes several times as long as the database does. Everything else goes
through querysets.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection, connections, models

__all__ = ["Reader", "Rows", "converted", "insert", "param"]

_Row = TypeVar("_Row", bound=models.Model)
_Converter = tuple[int, Callable[[Any, Any, Any], Any], Any]


# --- Reading ------------------------------------------------------------------------------


@lru_cache
def _columns(
    model: type[models.Model], names: tuple[str, ...], vendor: str
) -> tuple[tuple[str, ...], tuple[_Converter, ...]]:
    """Return the columns of these fields, and what makes their values Python's."""
    columns, converters = [], []
    for place, name in enumerate(names):
        field: Any = model._meta.get_field(name)
        columns.append(f"t.{connection.ops.quote_name(str(field.column))}")
        expression = field.get_col(model._meta.db_table)
        own = expression.get_db_converters(connection)
        for converter in [*connection.ops.get_db_converters(expression), *own]:
            converters.append((place, converter, expression))
    return tuple(columns), tuple(converters)


def _convert(
    rows: Iterable[Sequence[Any]], converters: Sequence[_Converter], database: Any
) -> Iterator[list[Any]]:
    for raw in rows:
        values = list(raw)
        for place, converter, expression in converters:
            if values[place] is not None:  # every converter of ours passes None on
                values[place] = converter(values[place], expression, database)
        yield values


def converted(
    model: type[models.Model], names: tuple[str, ...], rows: Iterable[Sequence[Any]]
) -> Iterator[list[Any]]:
    """Yield what the database gave for these fields of a model as Python's values."""
    database = connections[DEFAULT_DB_ALIAS]
    return _convert(rows, _columns(model, names, database.vendor)[1], database)


@lru_cache
def _plan(
    model: type[models.Model], rest: str, more: tuple[str, ...], vendor: str
) -> tuple[str, tuple[str, ...], tuple[_Converter, ...]]:
    """Return the statement, the names of the model's values, and what makes them Python's."""
    fields = model._meta.concrete_fields
    columns, converters = _columns(model, tuple(field.name for field in fields), vendor)
    selected = ", ".join([*columns, *more])
    table = connection.ops.quote_name(model._meta.db_table)
    statement = f"SELECT {selected} FROM {table} t {rest}"
    return statement, tuple(field.attname for field in fields), converters


class Reader(Generic[_Row]):
    """Reads rows of a model, which the statement calls `t`; `more` are further columns."""

    def __init__(self, model: type[_Row], rest: str, *more: str) -> None:
        self._model = model
        self._rest = rest
        self._more = more

    def all(self, *params: Any) -> list[_Row]:
        """Return all rows."""
        return [row for row, _ in self.with_more(*params)]

    def first(self, *params: Any) -> _Row | None:
        """Return the first row, or None."""
        return next(iter(self.all(*params)), None)

    def with_more(self, *params: Any) -> list[tuple[_Row, list[Any]]]:
        """Return all rows, each with its further columns as the database has them."""
        database = connections[DEFAULT_DB_ALIAS]  # not its proxy, which looks it up each time
        plan = _plan(self._model, self._rest, self._more, database.vendor)
        statement, names, converters = plan
        with database.cursor() as cursor:
            cursor.execute(statement, [param(value) for value in params])
            found = cursor.fetchall()
        rows = []
        for values in _convert(found, converters, database):
            own, more = values[: len(names)], values[len(names) :]
            rows.append((self._model.from_db(database.alias, names, own), more))
        return rows


def param(value: Any) -> Any:
    """Return a value as statements of plain SQL take it."""
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    if isinstance(value, UUID) and not connection.features.has_native_uuid_field:
        return value.hex
    return value


# --- Writing ------------------------------------------------------------------------------

# What SQLite takes of these fields as it is. Half of a row are such values, and asking the field
# takes ten times as long. Of these classes alone: others may make something else of a value.
_TAKEN_AS_IT_IS: dict[type, type] = {
    **dict.fromkeys((models.CharField, models.TextField), str),
    models.BooleanField: bool,
    **dict.fromkeys(
        (
            models.IntegerField,
            models.BigIntegerField,
            models.PositiveIntegerField,
            models.PositiveSmallIntegerField,
            models.PositiveBigIntegerField,
        ),
        int,
    ),
}


@lru_cache
def _statement(
    model: type[models.Model], vendor: str
) -> tuple[str, tuple[Any, ...], tuple[type | None, ...]]:
    """Return the statement, its fields, and of which type the value of each needs no change."""
    fields = tuple(f for f in model._meta.concrete_fields if not isinstance(f, models.AutoField))
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    insertion = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({marks})"
    plain = [_TAKEN_AS_IT_IS.get(type(f)) if vendor == "sqlite" else None for f in fields]
    return insertion, fields, tuple(plain)


def insert(row: models.Model) -> None:
    """Insert a new row; an automatic key is not read back. Raises IntegrityError."""
    database = connections[DEFAULT_DB_ALIAS]
    statement, fields, plain = _statement(type(row), database.vendor)
    with database.cursor() as cursor:
        cursor.execute(statement, _values(row, fields, plain, database))
    row._state.adding = False


def _values(
    row: models.Model, fields: Sequence[Any], plain: Sequence[type | None], database: Any
) -> list[Any]:
    values = []
    for field, kind in zip(fields, plain, strict=True):
        value = field.pre_save(row, True)
        if kind is None or type(value) is not kind:
            value = field.get_db_prep_save(value, database)
        values.append(value)
    return values


class Rows:
    """Many new rows of one model, in the database's own values.

    Making these takes longer than writing them: made before the transaction, they do not keep
    others from writing. What is known only inside of it is `set` there.
    """

    def __init__(self, rows: Sequence[models.Model]) -> None:
        self._rows = rows
        database = connections[DEFAULT_DB_ALIAS]
        self._statement, self._fields, plain = _statement(type(rows[0]), database.vendor)
        self._values = [_values(row, self._fields, plain, database) for row in rows]

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
