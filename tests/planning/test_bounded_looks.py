"""A lane's look takes as many steps before a long queue as before a short one.

Steps of SQLite's machine instead of times: they are the same on a busy computer.
"""

import re
from contextlib import contextmanager
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dispatch import heads, kinds
from dispatch.candidates import candidate_levels
from dispatch.lanes.claims import Claimer
from dispatch.lease import take
from dispatch.levels import levels
from dispatch.models import Inventory
from jobs.models import Job
from jobs.transitions import claim
from tests import factories

pytestmark = pytest.mark.django_db
on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="the steps of SQLite")

FEW, MANY = 60, 600
FILM = {"positive_prompt": "a cat <lora:film:1>", "seed": 1}
# What stands before the one job that the server can do.
AHEAD = {
    "a LoRA that another server has": {"generation_params": FILM},
    "that LoRA, with the loaded checkpoint": {"generation_params": FILM, "checkpoint": "x"},
    "a checkpoint that it lacks": {"checkpoint": "nobody's"},
    "made elsewhere, as it failed here": {"avoid_servers": ["a"]},
    "a checkpoint that is not loaded": {"checkpoint": "y"},
    "nothing special": {},
}


def having(server, *loras):
    models = [{"name": name} for name in ("x", "y")]
    data = {"checkpoints": models, "loras": list(loras)}
    Inventory.objects.create(server=server, data=data, updated_at=timezone.now())
    return server


@pytest.fixture
def server():
    having(factories.server("b"), "film")
    return having(factories.server("a", loaded_checkpoint="x"))


def wait(count, **fields):
    now = timezone.now()
    rows = [factories.job(**fields)]
    rows += [
        Job(app_type="forge", created_at=now, updated_at=now, **fields) for _ in range(count - 1)
    ]
    Job.objects.bulk_create(rows[1:])


@contextmanager
def steps():
    counted = [0]

    def count():
        counted[0] += 1

    connection.ensure_connection()
    connection.connection.set_progress_handler(count, 10)
    try:
        yield counted
    finally:
        connection.connection.set_progress_handler(None, 10)


@on_sqlite
@pytest.mark.parametrize("ahead", AHEAD)
def test_a_look_and_its_claim_take_no_more_steps_before_a_longer_queue(server, ahead):
    claimer = Claimer(take(server.pk), "a", None, None)
    taken = []
    for more in (FEW, FEW, MANY):  # what is read once is read at the first time
        wait(more, **AHEAD[ahead])
        factories.job(owner=factories.user(f"u{len(taken)}"), checkpoint="x", position=2**62)
        with steps() as counted:
            chosen = claimer.next_candidate()
            assert claim(chosen.id, server_alias="a", lane=uuid4())
        taken.append(counted[0])
    assert taken[2] < taken[1] * 1.3


@on_sqlite
def test_every_statement_of_a_look_and_a_claim_finds_its_rows_by_an_index(server):
    for fields in AHEAD.values():
        wait(2, **fields)
    claimer = Claimer(take(server.pk), "a", None, None)
    with CaptureQueriesContext(connection) as queries:
        chosen = claimer.next_candidate()
        claim(chosen.id, server_alias="a", lane=uuid4())
    plans = [plan for query in queries.captured_queries for plan in plan_of(query["sql"])]
    looked = [plan for plan in plans if re.match(r"SEARCH q\b", plan)]
    assert any(re.search(r"job_kinds \(.*avoid_servers=\? AND <expr>=\?", plan) for plan in looked)
    for plan in plans:
        assert not re.match(r"SCAN (q|j|a|d|p|t|jobs_job|jobs_attempt)\b(?! USING)", plan), plan
    for plan in looked:
        assert re.search(r"INDEX (job_kinds|job_turns|job_models|sqlite_autoindex)", plan), plan


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the plan of PostgreSQL")
def test_postgresql_looks_each_level_up_instead_of_joining_all_that_wait():
    with CaptureQueriesContext(connection) as queries:
        levels("forge", "a")
    [query] = queries.captured_queries
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {query['sql']}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "SubPlan" in plan
    assert not re.search(r"Aggregate|Semi Join|Hash", plan), plan


def plan_of(statement):
    if not re.match(r"\s*(SELECT|WITH|UPDATE)", statement):
        return []
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}")
        return [row[3] for row in cursor.fetchall()]


def test_a_look_asks_as_many_statements_however_many_wait(server):
    asked = []
    for count in (3, 3, 300):  # the inventories are read at the first time
        wait(count, generation_params=FILM)
        factories.job(checkpoint="x")
        with CaptureQueriesContext(connection) as queries:
            list(candidate_levels(server, "x"))
        asked.append(len(queries))
    assert asked[1] == asked[2] < 20


# --- Kind by kind, or owner by owner -----------------------------------------------------------


def some_queue(rng):
    owners = [None, factories.user(), factories.user()]
    for _ in range(60):
        loras = "".join(f"<lora:{name}:1>" for name in ("film", "ink") if rng.random() < 0.3)
        factories.job(
            owner=rng.choice(owners),
            generation_params={"positive_prompt": f"a cat {loras}", "seed": 1},
            checkpoint=rng.choice(["", "x", "y", "nobody's"]),
            avoid_servers=rng.choice([[], [], ["a"], ["b"], ["b", "c"]]),
            target_server_alias=rng.choice(["", "", "a"]),
            lane_class=rng.choice(["interactive", "background"]),
            position=rng.randrange(1000),
        )


def found(server, loaded):
    return [{job.id for job in level} for level in candidate_levels(server, loaded)]


@pytest.mark.parametrize("owners", [2, 100])
@pytest.mark.parametrize("seed", range(4))
def test_both_ways_find_the_same_jobs(server, monkeypatch, seed, owners):
    import random

    some_queue(random.Random(seed))
    monkeypatch.setattr(heads, "HEAD", 4)
    monkeypatch.setattr(heads, "OWNERS", owners)
    by_kinds = found(server, "x")
    monkeypatch.setattr(heads, "_LOOKED_AT", 0)
    by_owners = found(server, "x")
    if owners > 2:
        assert by_kinds == by_owners
    assert all(by_kinds)
    assert all(by_owners)


@pytest.mark.parametrize("name", ["MOST", "MOST_MODELS"])
def test_with_more_kinds_than_are_looked_at_nothing_is_lost(server, monkeypatch, name):
    for number in range(5):
        factories.job(checkpoint=f"nobody's {number}")
        factories.job(avoid_servers=["a", str(number)])
    late = factories.job(checkpoint="x")
    monkeypatch.setattr(kinds, name, 2)
    [level] = found(server, "x")
    assert late.pk in level
