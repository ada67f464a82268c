"""Two people, a lane and the background at once: the order is nobody's to corrupt.

A model in plain lists goes along with the services; whatever comes in whatever order, what waits
stands as the model has it, each job exactly once, and no two share a place.
"""

import contextlib
import random
import threading
import uuid
from collections.abc import Callable, Sequence

import pytest
from django.db import connections, transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apikeys.actors import SYSTEM, Actor
from jobs import services, transitions
from jobs.choices import Outcome, Status
from jobs.models import Job, Undo
from jobs.services import ranks, undo
from mobilesd.errors import Problem
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)
COUNT = 7

_WHERE = st.sampled_from(["before", "after", "top", "bottom", "first", "last"])
_JOB = st.integers(0, COUNT - 1)
_STEP = st.one_of(
    st.tuples(st.just("move"), _JOB, _WHERE, _JOB),
    st.tuples(st.just("many"), st.lists(_JOB, min_size=1, max_size=4), _WHERE, _JOB),
    st.tuples(st.just("cancel"), _JOB),
    st.tuples(st.just("cancel_many"), st.lists(_JOB, min_size=1, max_size=4)),
    st.tuples(st.just("delete"), _JOB),
    st.tuples(st.just("undo"), st.integers(0, 20)),
    st.tuples(st.just("start"), _JOB),
    st.tuples(st.just("put_back"), _JOB),
    st.tuples(st.just("finish"), _JOB),
    st.tuples(st.just("widen")),
)


class Queue:
    """The jobs by number; `order` has all that wait or may come back, `gone` those that don't."""

    def __init__(self, positions: Sequence[int]) -> None:
        Undo.objects.all().delete()
        Job.objects.all().delete()
        self.jobs = [
            factories.job(position=place, id=uuid.UUID(int=n + 1))
            for n, place in enumerate(positions)
        ]
        self.number = {job.pk: n for n, job in enumerate(self.jobs)}
        self.order = sorted(range(COUNT), key=lambda n: (positions[n], n))
        self.waits = set(range(COUNT))
        self.running: dict[int, uuid.UUID] = {}
        self.undos: list[tuple[Undo, set[int]]] = []

    def shown(self) -> list[int]:
        return [self.number[pk] for pk in Job.objects.queued().values_list("pk", flat=True)]

    def check(self) -> None:
        assert self.shown() == [n for n in self.order if n in self.waits]
        assert Job.objects.count() == COUNT, "nothing is lost"

    def do(self, step: tuple) -> None:
        name, *args = step
        with contextlib.suppress(Problem):  # refused, so nothing has changed
            getattr(self, name)(*args)
        self.check()

    def move(self, who: int, where: str, beside: int) -> None:
        goal = self._goal(where, beside)
        services.move(self.jobs[who].pk, goal, SYSTEM)
        self._put([who], where, beside)

    def many(self, who: list[int], where: str, beside: int) -> None:
        goal = self._goal(where, beside)
        done = services.move_many([self.jobs[n].pk for n in who], goal, SYSTEM)
        moved = [n for n in self.order if n in who and n in self.waits]
        assert [self.number[pk] for pk in done.jobs] == moved
        assert {self.number[left.job] for left in done.skipped} == set(who) - set(moved)
        self._put(moved, where, beside)

    def _goal(self, where: str, beside: int) -> services.Goal:
        return services.Goal(where, self.jobs[beside].pk if where in ("before", "after") else None)

    def _put(self, moved: list[int], where: str, beside: int) -> None:
        """Those that don't wait are passed by the way the services do: next to the neighbour."""
        rest = [n for n in self.order if n not in moved]
        waiting = [n for n in rest if n in self.waits]
        if where in ("top", "first"):  # all have one priority here
            at = rest.index(waiting[0]) if waiting else None
        elif where in ("bottom", "last"):
            at = rest.index(waiting[-1]) + 1 if waiting else None
        else:
            at = rest.index(beside) + (where == "after")
        if at is not None and moved:
            self.order = [*rest[:at], *moved, *rest[at:]]

    def cancel(self, who: int) -> None:
        done = services.cancel(self.jobs[who].pk, SYSTEM)
        self._took(done.undo, [who])

    def cancel_many(self, who: list[int]) -> None:
        done = services.cancel_many([self.jobs[n].pk for n in who], SYSTEM)
        took = {n for n in who if n in self.waits or n in self.running}
        assert done.count == len(took)
        self._took(done.undo, took)

    def delete(self, who: int) -> None:
        was = who in self.waits
        done = services.delete(self.jobs[who].pk, SYSTEM)
        self._took(done.undo, [who] if was else [])

    def _took(self, row: Undo | None, who) -> None:
        if row is not None:
            self.undos.append((row, set(who)))
        for n in who:
            self.waits.discard(n)
            self.running.pop(n, None)

    def undo(self, which: int) -> None:
        if not self.undos:
            return
        row, _ = self.undos[which % len(self.undos)]
        undo.undo(row.pk, SYSTEM)
        # Which jobs that brings back depends on what came between: the rows say it.
        states = dict(Job.objects.listed().values_list("pk", "status"))
        self.waits = {self.number[pk] for pk, status in states.items() if status == "pending"}

    def start(self, who: int) -> None:
        with transaction.atomic():
            attempt = transitions.claim(self.jobs[who].pk, server_alias="a", lane=uuid.uuid4())
        if attempt is not None:
            self.waits.discard(who)
            self.running[who] = attempt.token

    def put_back(self, who: int) -> None:
        self._end(who, again=True)

    def finish(self, who: int) -> None:
        self._end(who, again=False)

    def _end(self, who: int, *, again: bool) -> None:
        token = self.running.pop(who, None)
        if token is None:
            return
        with transaction.atomic():
            if again:
                ended = transitions.end_attempt(token, outcome=Outcome.LOST)
                assert ended is not None
                assert transitions.requeue(ended)
                self.waits.add(who)
            else:
                assert transitions.complete(token, generation_info={}, warnings=[])

    def widen(self) -> None:
        ranks.widen()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    positions=st.lists(st.integers(0, 9), min_size=COUNT, max_size=COUNT),
    steps=st.lists(_STEP, min_size=1, max_size=14),
)
@example([0] * COUNT, [("cancel", 6), ("move", 0, "bottom", 0), ("undo", 0)])
def test_whatever_comes_in_whatever_order_the_queue_stands_as_it_was_told(positions, steps):
    queue = Queue(positions)
    for step in steps:
        queue.do(step)


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


@pytest.mark.parametrize("seed", [1, 2])
def test_two_people_a_lane_and_the_background_at_once_lose_nobody(seed):
    """Real threads with connections of their own; each person only moves inside of their own."""
    people = [factories.user(), factories.user()]
    own = [
        [factories.job(owner=person, position=2 * n + side) for n in range(6)]
        for side, person in enumerate(people)
    ]
    everybody = [job.pk for jobs in own for job in jobs]

    def acting(side: int) -> Callable[[], None]:
        actor, chance = Actor.of_user(people[side]), random.Random(10 * seed + side)
        mine = [job.pk for job in own[side]]

        def act() -> None:
            for _ in range(8):
                first, second, *rest = chance.sample(mine, 4)
                try:
                    match chance.randrange(4):
                        case 0:
                            services.move(first, services.Goal("before", second), actor)
                        case 1:
                            services.move_many([first, *rest], services.Goal("top"), actor)
                        case 2:
                            row = services.cancel(first, actor).undo
                            if row is not None:
                                undo.undo(row.pk, actor)
                        case 3:
                            row = services.cancel_many([first, *rest], actor).undo
                            if row is not None:
                                undo.undo(row.pk, actor)
                except Problem:
                    pass  # it has started meanwhile

        return act

    def lane() -> None:
        for pk in everybody[::4]:
            with transaction.atomic():
                attempt = transitions.claim(pk, server_alias="a", lane=uuid.uuid4())
            if attempt is None:
                continue
            with transaction.atomic():
                ended = transitions.end_attempt(attempt.token, outcome=Outcome.LOST)
                if ended is not None:
                    transitions.requeue(ended)

    def background() -> None:
        for _ in range(4):
            ranks.widen()

    errors = at_once([acting(0), acting(1), lane, background])
    assert errors == []
    jobs = list(Job.objects.all())
    assert {job.pk for job in jobs} == set(everybody)
    places = [job.position for job in jobs if job.status == Status.PENDING]
    assert len(set(places)) == len(places), "each has a place of its own"
    assert {job.status for job in jobs} <= {"pending", "cancelled"}
    left = {job.pk for job in jobs if job.status == "cancelled"}
    assert not left, "each cancel was taken back, runs that were cut off too"
