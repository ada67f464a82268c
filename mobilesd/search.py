"""Finding rows by words, newest first, with SQLite's FTS5 or PostgreSQL's full text.

A searched table has one row a text: `id` is the text's rank (`first_rank`: it grows with the
creation of what the text belongs to), `words` is what `indexed` made of the text and its facets.
The database keeps its index of `words` itself, in the transaction of the row. Because ranks grow
with creation, both the newest matches and the matches after a cursor are the beginning of a walk
along the index, however many rows match.

Words are language-neutral: runs of letters and digits, folded in case and without diacritics; a
CJK character is a word of its own. Nothing that a client sends reaches a query's syntax.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

from django.db import connection
from django.db.models import BigIntegerField, Lookup

from mobilesd.errors import bad_field

__all__ = [
    "RANKS_PER_MOMENT",
    "Expression",
    "OneOf",
    "SearchIndex",
    "Text",
    "Window",
    "expression",
    "facet",
    "first_rank",
    "indexed",
    "moment_of",
]

MAX_QUERY = 400  # characters
MAX_TERMS = 16
MAX_WORDS = 10_000  # a text's words beyond these are not found; PostgreSQL counts to 16,383
MAX_WORD = 64
MIN_PREFIX = 2  # a shorter one is merged from too large a part of the index

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")
_DIACRITICS = re.compile("[\u0300-\u036f]")
_TERM = re.compile(r'(-?)(?:"([^"]*)"?|([^\s"]+))')

# Facets begin with a letter that no word has: `_words` writes w for it.
_WYNN = "ƿ"
_EVERY_TEXT = _WYNN

# Of which row (as the database has it), created when, with which words.
Text = tuple[Any, datetime, str]

_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
RANKS_PER_MOMENT = 4096
_MIN_RANK, _MAX_RANK = -(2**63), 2**63 - 1


def _words(text: str) -> list[str]:
    if not text.isascii():
        bare = _DIACRITICS.sub("", unicodedata.normalize("NFKD", text))
        text = unicodedata.normalize("NFKC", bare).casefold().replace(_WYNN, "w")
    return [word[:MAX_WORD] for word in _WORD.findall(text.lower())]


def facet(name: str, value: object) -> str:
    """Return the word that stands for a property of a row, and that no client can search for."""
    digest = blake2b(f"{name}={value}".encode(errors="surrogatepass"), digest_size=8)
    return _WYNN + digest.hexdigest()


def indexed(texts: Iterable[str], facets: Iterable[str]) -> str:
    """Return the `words` of a row: what its texts say, and its facets."""
    words = _words("\n".join(texts))[:MAX_WORDS]
    return " ".join([*words, *facets, _EVERY_TEXT])


def first_rank(at: datetime) -> int:
    """Return the smallest rank of what was created at this time.

    RANKS_PER_MOMENT ranks belong to each microsecond, for what was created together. Times that
    nothing was created at, before 1950 and after 2090, are taken for the nearest of these.
    """
    rank = (at - _EPOCH) // _MICROSECOND * RANKS_PER_MOMENT
    return max(_MIN_RANK + RANKS_PER_MOMENT, min(rank, _MAX_RANK - RANKS_PER_MOMENT))


def moment_of(rank: int) -> datetime:
    """Return when what has this rank was created."""
    return _EPOCH + rank // RANKS_PER_MOMENT * _MICROSECOND


@dataclass(frozen=True)
class _Term:
    words: tuple[str, ...]  # several are a phrase
    prefix: bool = False
    excluded: bool = False

    def keeps(self, padded: str) -> bool:
        end = "" if self.prefix else " "
        return (f" {' '.join(self.words)}{end}" in padded) != self.excluded


@dataclass(frozen=True)
class Expression:
    """What is searched for: all of the terms, none of the excluded ones."""

    terms: tuple[_Term, ...]

    def within(self, facets: Iterable[str]) -> "Expression":
        """Keep only the texts with these facets."""
        return Expression((*self.terms, *(_Term((word,)) for word in facets)))

    def matches(self, words: str) -> bool:
        """Tell whether a row with these `words` is found, as the database's index would."""
        padded = f" {words} "
        return all(term.keeps(padded) for term in self.terms)

    def for_fts5(self) -> str:
        """Return the expression in the language of FTS5."""

        def written(term: _Term) -> str:
            return f'"{" ".join(term.words)}"' + (" *" if term.prefix else "")

        wanted = [written(term) for term in self.terms if not term.excluded]
        unwanted = [written(term) for term in self.terms if term.excluded]
        text = f"({' AND '.join(wanted or [_EVERY_TEXT])})"
        return f"{text} NOT ({' OR '.join(unwanted)})" if unwanted else text

    def for_tsquery(self) -> str:
        """Return the expression in the language of PostgreSQL's to_tsquery."""

        def written(term: _Term) -> str:
            words = [f"'{word}'" for word in term.words]
            if term.prefix:
                words[-1] += ":*"
            return ("!" if term.excluded else "") + f"({' <-> '.join(words)})"

        return " & ".join([f"'{_EVERY_TEXT}'", *map(written, self.terms)])


def expression(text: str, name: str = "q") -> Expression:
    """Read what a person typed: words, `begin*`, "a phrase", -without.

    Raises InvalidInput that names the parameter for what is too long or has no word.
    """
    if len(text) > MAX_QUERY:
        raise bad_field(name, f"is longer than {MAX_QUERY} characters.", "Search for fewer words.")
    terms = []
    for minus, phrase, word in _TERM.findall(text):
        found = tuple(_words(phrase or word))
        prefix = word.endswith("*") and bool(found)
        if prefix and len(found[-1]) < MIN_PREFIX and found[-1].isascii():
            raise bad_field(name, f"has a * after fewer than {MIN_PREFIX} letters.")
        if found:
            terms.append(_Term(found, prefix, excluded=bool(minus)))
    if not terms:
        raise bad_field(name, "has no word to search for.", "Send some letters or digits.")
    if len(terms) > MAX_TERMS:
        raise bad_field(name, f"has more than {MAX_TERMS} words.", "Search for fewer words.")
    return Expression(tuple(terms))


@BigIntegerField.register_lookup
class OneOf(Lookup):
    """Matches any of many whole numbers, which are one parameter: `id__one_of=array("q", …)`.

    Django takes 20 ms to prepare a statement with a thousand parameters; running it takes two.
    An array, because Django looks into each member of a list.
    """

    lookup_name = "one_of"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, params = self.process_lhs(compiler, connection)
        return f"{column} = ANY(%s)", (*params, self.rhs.tolist())

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, tuple[Any, ...]]:
        column, params = self.process_lhs(compiler, connection)
        numbers = json.dumps(self.rhs.tolist())
        return f"{column} IN (SELECT value FROM json_each(%s))", (*params, numbers)


@dataclass(frozen=True)
class Window:
    """The ranks that are looked at, both ends included."""

    low: int = _MIN_RANK
    high: int = _MAX_RANK


_SQLITE_CREATE = (
    # The text itself is only in the table; without columnsize there is one row less to write.
    """CREATE VIRTUAL TABLE {table}_fts USING fts5(words, content='{table}', content_rowid='id',
       columnsize=0, tokenize='unicode61 remove_diacritics 0')""",
    # Merging 12 small segments at once, not 4, halves what a text costs its submission.
    "INSERT INTO {table}_fts({table}_fts, rank) VALUES ('automerge', 12)",
    """CREATE TRIGGER {table}_fts_insert AFTER INSERT ON {table} BEGIN
         INSERT INTO {table}_fts(rowid, words) VALUES (new.id, new.words);
       END""",
    """CREATE TRIGGER {table}_fts_delete AFTER DELETE ON {table} BEGIN
         INSERT INTO {table}_fts({table}_fts, rowid, words) VALUES ('delete', old.id, old.words);
       END""",
    """CREATE TRIGGER {table}_fts_update AFTER UPDATE OF words ON {table} BEGIN
         INSERT INTO {table}_fts({table}_fts, rowid, words) VALUES ('delete', old.id, old.words);
         INSERT INTO {table}_fts(rowid, words) VALUES (new.id, new.words);
       END""",
)
_SQLITE_DROP = (
    "DROP TRIGGER {table}_fts_update",
    "DROP TRIGGER {table}_fts_delete",
    "DROP TRIGGER {table}_fts_insert",
    "DROP TABLE {table}_fts",
)
_POSTGRES_CREATE = (
    """ALTER TABLE {table} ADD COLUMN lexemes tsvector
       GENERATED ALWAYS AS (to_tsvector('simple', words)) STORED""",
    "CREATE INDEX {table}_lexemes ON {table} USING gin (lexemes)",
)
_POSTGRES_DROP = ("ALTER TABLE {table} DROP COLUMN lexemes",)

_RANKS: Mapping[str, str] = {
    "sqlite": """SELECT rowid FROM {table}_fts
                 WHERE {table}_fts MATCH %s AND rowid BETWEEN %s AND %s
                 ORDER BY rowid {order} LIMIT %s""",
    "postgresql": """SELECT id FROM {table}
                     WHERE lexemes @@ to_tsquery('simple', %s) AND id BETWEEN %s AND %s
                     ORDER BY id {order} LIMIT %s""",
}
_COUNT: Mapping[str, str] = {
    "sqlite": """SELECT COUNT(*) FROM (SELECT 1 FROM {table}_fts
                 WHERE {table}_fts MATCH %s AND rowid BETWEEN %s AND %s LIMIT %s)""",
    "postgresql": """SELECT COUNT(*) FROM (SELECT 1 FROM {table}
                     WHERE lexemes @@ to_tsquery('simple', %s) AND id BETWEEN %s AND %s
                     LIMIT %s) AS found""",
}


@dataclass(frozen=True)
class SearchIndex:
    """The index of one searched table; `owner` is its column that names what a text belongs to."""

    table: str
    owner: str

    def create(self, editor: Any) -> None:
        """Make the index of a table that is there and empty (for migrations)."""
        self._run(editor, _SQLITE_CREATE, _POSTGRES_CREATE)

    def drop(self, editor: Any) -> None:
        """Take the index away (for migrations)."""
        self._run(editor, _SQLITE_DROP, _POSTGRES_DROP)

    def _run(self, editor: Any, sqlite: Sequence[str], postgres: Sequence[str]) -> None:
        vendor = editor.connection.vendor
        for statement in sqlite if vendor == "sqlite" else postgres:
            editor.execute(statement.format(table=self.table))

    def add(self, texts: Iterable[Text]) -> None:
        """Insert texts.

        Each goes behind those created at the same time. Plain SQL, because each submission runs
        it. The caller keeps other writers of the same moment away: SQLite's write lock, elsewhere
        a lock of its own.
        """
        rows = []
        for owner, created_at, words in texts:
            first = first_rank(created_at)
            rows.append([first - 1, owner, words, first, first + RANKS_PER_MOMENT - 1])
        with connection.cursor() as cursor:
            cursor.executemany(
                f"""INSERT INTO {self.table} (id, {self.owner}, words)
                    SELECT COALESCE(MAX(id), %s) + 1, %s, %s FROM {self.table}
                    WHERE id BETWEEN %s AND %s""",
                rows,
            )

    def ranks(
        self, wanted: Expression, window: Window, limit: int, *, descending: bool
    ) -> list[int]:
        """Return the ranks of the first matches from one end of the window on."""
        order = "DESC" if descending else "ASC"
        rows = self._ask(_RANKS, wanted, window, limit, order=order)
        return [row[0] for row in rows]

    def among(self, wanted: Expression, ranks: Sequence[int]) -> list[int]:
        """Return those of these ranks whose texts match; for some hundreds at the most.

        FTS5 begins anew for each rank, which takes 50 times as long as reading the words.
        """
        if not ranks:
            return []
        places = ", ".join(["%s"] * len(ranks))
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT id, words FROM {self.table} WHERE id IN ({places})", [*ranks])
            return [rank for rank, words in cursor if wanted.matches(words)]

    def count(self, wanted: Expression, window: Window, at_most: int) -> int:
        """Return how many texts in the window match; stops counting at `at_most`."""
        found: int = self._ask(_COUNT, wanted, window, at_most)[0][0]
        return found

    def _ask(
        self,
        sql: Mapping[str, str],
        wanted: Expression,
        window: Window,
        limit: int,
        order: str = "",
    ) -> list[Any]:
        sqlite = connection.vendor == "sqlite"
        text = wanted.for_fts5() if sqlite else wanted.for_tsquery()
        with connection.cursor() as cursor:
            cursor.execute(
                sql[connection.vendor].format(table=self.table, order=order),
                [text, window.low, window.high, limit],
            )
            return list(cursor.fetchall())
