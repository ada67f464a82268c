"""How the database gets to a list: along an index in the list's order, whatever the size.

Plans instead of times: they are the same on a busy machine, and what they show is what makes a
list of a million jobs as quick as one of a hundred.
"""

import itertools
import re

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext

from apikeys.actors import Actor
from jobs import narrowing
from jobs.api import filters
from jobs.api.filters import read_filter
from jobs.choices import Status
from jobs.querysets import Unindexed
from mobilesd.http.paging import PageRequest
from tests import factories

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL plans by its statistics."),
]

BATCH = "0b5c1a52-6d5e-4f0e-9a55-3a9d53a1f00d"
READERS = {
    "staff": Actor(sees_all_jobs=True),
    "owner": Actor(user_id=1),
    "key": Actor(key_prefix="abcdefgh"),
}
LISTS = [
    "",
    "status=failed",
    "status=failed&status=cancelled",
    "app_type=forge",
    "server=gpu",
    "source_info=a phone",
    "source=forge-extension/1.0.0 f3a9",
    "source=forge-extension f3a9&status=pending",
    "api_key=ijklmnop",
    f"batch={BATCH}",
    "created_after=2026-01-01T00:00:00Z",
    "created_before=2026-01-01T00:00:00Z",
    "status=failed&app_type=forge",
    "status=failed&status=completed&app_type=forge",
    "status=failed&server=gpu",
    "app_type=forge&server=gpu",
    "app_type=forge&created_after=2026-01-01T00:00:00Z",
    "api_key=ijklmnop&status=failed",
]
SEARCHES = ["q=lighthouse", "q=lighthouse&app_type=forge", "q=lighthouse&status=failed"]
_PLACE = "MjAyNi0wMS0wMVQwMDowMDowMCswMDowMHwwYjVjMWE1Mi02ZDVlLTRmMGUtOWE1NS0zYTlkNTNhMWYwMGQ"
PARTS = ["", "order=asc", f"cursor={_PLACE}", f"cursor={_PLACE}&order=asc"]


def _plans(query: str, reader: Actor) -> list[str]:
    """Return the plan of each query that a page costs."""
    asked = QueryDict(query)
    with CaptureQueriesContext(connection) as queries:
        read_filter(asked, reader).page(PageRequest.read(asked))
    plans = []
    with connection.cursor() as cursor:
        for query_made in queries.captured_queries:
            cursor.execute(f"EXPLAIN QUERY PLAN {query_made['sql']}")
            plans.append(" / ".join(row[3] for row in cursor.fetchall()))
    return plans


def _refuse_slow(plan: str) -> None:
    # A scan *using an index* is a walk in the list's order, which LIMIT ends.
    assert not re.search(r"SCAN jobs_job\b(?! USING)", plan), plan
    assert "TEMP B-TREE" not in plan, plan


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("query", LISTS)
@pytest.mark.parametrize("reader", READERS)
def test_a_list_is_a_walk_along_an_index(reader, query, part):
    plans = _plans(f"{query}&{part}", READERS[reader])
    # A key of the installation never sees what another one made: nothing is asked.
    assert bool(plans) == (reader != "key" or "api_key" not in query)
    for plan in plans:
        _refuse_slow(plan)


@pytest.mark.parametrize("query", ["", "status=failed", "app_type=forge", "server=gpu"])
def test_a_missing_index_is_noticed(query):
    """What the tests here rely on: a walk through the table itself is told from one along it."""
    with connection.cursor() as cursor:
        named = "SELECT name FROM sqlite_schema WHERE tbl_name = 'jobs_job' AND name LIKE 'job~_%' "
        cursor.execute(f"{named} ESCAPE '~' AND type = 'index'")
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP INDEX {name}")
    plans = _plans(query, READERS["staff"])
    for plan in plans:
        with pytest.raises(AssertionError, match=r"^SCAN jobs_job\b|SCAN jobs_job /"):
            _refuse_slow(plan)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("query", LISTS)
def test_only_staff_without_a_filter_walk_all_jobs(reader, query):
    """Every other list is the range of an index that its condition names."""
    if reader == "key" and "api_key" in query:
        return
    page = _plans(query, READERS[reader])[-1]
    if reader != "staff" or query.partition("=")[0] not in {"", "created_after", "created_before"}:
        assert "job_created" not in page, page
        assert "SEARCH jobs_job USING INDEX" in page, page


def _reads_rows(sql: str) -> bool:
    """Tell whether a query reads a column of a job's row, and not of the index alone."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}")
        steps = [row[1:7] for row in cursor.fetchall()]
        cursor.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'jobs_job'")
        root = cursor.fetchone()[0]
    tables = {step[1] for step in steps if step[0] == "OpenRead" and step[2] == root}
    return any(step[0] == "Column" and step[1] in tables for step in steps)


COUNTED = [
    (reader, query)
    for reader, query in itertools.product(READERS, LISTS)
    # A batch is small, and what somebody else's key made is not even asked for.
    if "batch" not in query
    and not (reader == "key" and "api_key" in query)
    # What is computed of a row ends no other index: a second condition reads the row.
    and not (("server" in query or "source=" in query) and "&" in query)
]


@pytest.mark.parametrize(("reader", "query"), COUNTED)
def test_counting_reads_no_row(reader, query):
    """Ten thousand rows cost 30 ms, ten thousand entries of an index one."""
    asked = QueryDict(query)
    with CaptureQueriesContext(connection) as queries:
        read_filter(asked, READERS[reader]).page(PageRequest.read(asked))
    *counts, page = [made["sql"] for made in queries.captured_queries]
    assert counts
    for sql in counts:
        assert not _reads_rows(sql), sql
    assert _reads_rows(page)


@pytest.mark.parametrize("few", [-1, 300])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("query", SEARCHES)
@pytest.mark.parametrize("reader", READERS)
def test_a_search_gets_to_jobs_by_their_words(reader, query, part, few, job, monkeypatch):
    monkeypatch.setattr(filters, "FEW", few)
    job("a lighthouse", Status.FAILED, owner_id=None)
    for plan in _plans(f"{query}&{part}", READERS[reader]):
        assert not re.search(r"SCAN jobs_job(text)?\b(?!_)", plan), plan
        if "jobs_jobtext_fts" in plan:
            assert "TEMP B-TREE" not in plan, plan


def test_the_narrowest_condition_leads(member, monkeypatch):
    """Without statistics SQLite could not know that somebody has few jobs, or a status."""
    monkeypatch.setattr(narrowing, "_FEW", 50)
    for _ in range(6):
        factories.job(app_type="forge", owner=member)
    for _ in range(3):
        factories.job(Status.FAILED, app_type="other", owner=factories.user())
    for query, reader, index in (
        ("app_type=forge&status=failed", READERS["staff"], "job_status_created"),
        ("app_type=other&status=pending", READERS["staff"], "job_app_type_created"),
        ("app_type=forge", Actor(user_id=0), "job_owner_created"),
        ("app_type=other", Actor(user_id=member.pk), "job_app_type_created"),
        ("api_key=ijklmnop", Actor(user_id=member.pk), "job_owner_key_created"),
    ):
        assert index in _plans(query, reader)[-1], (query, index)


def test_the_number_of_queries_does_not_grow(job, member):
    def cost(query: str) -> int:
        return len(_plans(query, Actor(user_id=member.pk)))

    queries = ["", "app_type=forge", "q=lighthouse", "q=lighthouse&status=pending"]
    job(owner=member)
    few = [cost(query) for query in queries]
    for _ in range(30):
        job(owner=member)
    assert [cost(query) for query in queries] == few
    assert few == [2, 4, 4, 5]


def test_a_hidden_column_is_itself_elsewhere():
    class Compiler:
        def compile(self, _):
            return "x", []

    hidden = Unindexed("status")
    hidden.source_expressions = ["x"]
    assert hidden.as_sqlite(Compiler(), connection)[0] == "+x"
    assert hidden.as_sql(Compiler(), connection)[0] == "x"
