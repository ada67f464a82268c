"""Moves in any order and at once: no job is lost or doubled, and nobody else's loses its place."""

import random
import threading
import uuid
from collections.abc import Callable, Sequence
from functools import partial

import pytest
from django.db import connections, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apikeys.actors import SYSTEM, Actor
from jobs import services, transitions
from jobs.models import Job
from mobilesd.errors import Conflict
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)

_MOVES = st.lists(
    st.tuples(
        st.integers(0, 7), st.sampled_from(["before", "after", "top", "bottom"]), st.integers(0, 7)
    ),
    min_size=1,
    max_size=8,
)
_POSITIONS = st.lists(st.integers(0, 6), min_size=8, max_size=8)


def order() -> list[Job]:
    return list(Job.objects.queued())


def goal_of(where: str, neighbour: Job) -> services.Goal:
    return services.Goal(where, neighbour.pk if where in ("before", "after") else None)


def expected(before: Sequence[Job], job: Job, where: str, neighbour: Job) -> list[Job]:
    rest = [row for row in before if row != job]
    at = {
        "top": 0,
        "bottom": len(rest),
        "before": rest.index(neighbour),
        "after": rest.index(neighbour) + 1,
    }[where]
    return [*rest[:at], job, *rest[at:]]


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(positions=_POSITIONS, moves=_MOVES, mine=st.booleans())
def test_each_move_puts_the_job_where_it_was_sent_and_leaves_the_rest_in_order(
    positions: list[int], moves: list[tuple[int, str, int]], mine: bool
) -> None:
    """Positions that are the same, or next to each other, are what runs out of room."""
    Job.objects.all().delete()
    actor = Actor(key_prefix=factories.key()[0].prefix) if mine else SYSTEM
    jobs = [
        factories.job(position=place, id=uuid.UUID(int=n + 1), api_key_id=actor.key_prefix)
        for n, place in enumerate(positions)
    ]
    for who, where, neighbour in moves:
        if who == neighbour:
            continue
        wanted = expected(order(), jobs[who], where, jobs[neighbour])
        services.move(jobs[who].pk, goal_of(where, jobs[neighbour]), actor)
        assert order() == wanted


def test_a_members_moves_keep_everybody_elses_places() -> None:
    chance = random.Random(7)
    member = factories.user()
    actor = Actor.of_user(member)
    rows = [
        factories.job(owner=member if chance.random() < 0.5 else None, position=100 * n)
        for n in range(30)
    ]
    mine = [job for job in rows if job.owner == member]
    places = {job.pk: n for n, job in enumerate(order()) if job.owner_id is None}
    for _ in range(60):
        job, neighbour = chance.sample(mine, 2)
        where = chance.choice(["before", "after", "top", "bottom"])
        services.move(job.pk, goal_of(where, neighbour), actor)
        assert {j.pk: n for n, j in enumerate(order()) if j.owner_id is None} == places


def at_once(acts: Sequence[Callable[[], object]]) -> list[BaseException]:
    barrier, errors = threading.Barrier(len(acts)), []

    def run(act: Callable[[], object]) -> None:
        try:
            barrier.wait()
            act()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_moves_of_many_at_once_lose_and_double_nobody() -> None:
    """Into one gap without room, from threads of real connections, with claims in between."""
    jobs = [factories.job(position=n) for n in range(20)]
    claimed = jobs[10]

    def moves(own: Sequence[Job], seed: int) -> Callable[[], None]:
        chance = random.Random(seed)

        def act() -> None:
            for _ in range(8):
                job, neighbour = chance.choice(own), chance.choice(jobs[:3])
                if job != neighbour:
                    services.move(
                        job.pk, goal_of(chance.choice(["before", "after"]), neighbour), SYSTEM
                    )

        return act

    def claim() -> None:
        with transaction.atomic():
            assert transitions.claim(claimed.pk, server_alias="a", lane=uuid.uuid4())

    errors = at_once([moves(jobs[n::4], n) for n in range(4)] + [claim])
    assert [error for error in errors if not isinstance(error, Conflict)] == []
    left = order()
    assert len(left) == 19
    assert {job.pk for job in left} == {job.pk for job in jobs if job != claimed}
    assert len({job.position for job in left}) == 19, "each has a place of its own"


def test_two_moves_at_once_are_one_after_the_other() -> None:
    for _ in range(5):
        jobs = [factories.job(position=n) for n in range(4)]
        ids = [job.pk for job in jobs]
        at_once(
            [
                partial(services.move, ids[3], services.Goal("before", ids[0]), SYSTEM),
                partial(services.move, ids[0], services.Goal("after", ids[2]), SYSTEM),
            ]
        )
        found = [ids.index(job.pk) for job in order()]
        assert found in ([3, 1, 2, 0], [1, 2, 3, 0]), "of either sequence"
        Job.objects.all().delete()
