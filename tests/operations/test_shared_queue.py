"""One queue, two people and an administrator: each gets the order that was asked for, and no more.

Whatever anybody does, everybody else's jobs keep their order; who may only move their own takes no
place of another's. The model is what stood there before, and what was asked for.
"""

import random
import uuid
from collections.abc import Sequence

import pytest
from django.db import transaction

from apikeys.actors import Actor
from jobs import services, transitions
from jobs.choices import Outcome
from jobs.models import Job, Undo
from jobs.services import planning, ranks, undo
from mobilesd.errors import Problem
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)
COUNT = 8
LEVELS = (3, 5)
STEPS = 60

Levels = dict[int, list[int]]


class Shared:
    """The queue as everybody sees it: by priority, the numbers of the jobs that wait."""

    def __init__(self, owners: Sequence[int], levels: Sequence[int]) -> None:
        Undo.objects.all().delete()
        Job.objects.all().delete()
        people = [factories.user(), factories.user()]
        self.owners = owners
        self.actors = [*(Actor.of_user(person) for person in people), Actor.of_user(_boss())]
        self.jobs = [
            factories.job(owner=people[owner], priority=level, position=n // 2, id=_id(n))
            for n, (owner, level) in enumerate(zip(owners, levels, strict=True))
        ]
        self.undos: list[tuple[int, Undo]] = []

    def standing(self) -> Levels:
        found: Levels = {level: [] for level in LEVELS}
        for pk, level in Job.objects.queued().values_list("pk", "priority"):
            found[level].append(pk.int)
        return found

    def sees(self, who: int, job: int) -> bool:
        return who == 2 or self.owners[job] == who

    def do(self, step: tuple) -> None:
        name, *args = step
        before = self.standing()
        try:
            getattr(self, name)(before, *args)
        except Problem:
            assert self.standing() == before, "refused, so nothing has changed"

    # --- What is asked for --------------------------------------------------------------------
    def move(self, before: Levels, who: int, jobs: list[int], where: str, beside: int) -> None:
        own = [n for n in range(COUNT) if self.sees(who, n)]
        if own and beside:  # else somebody else's may be named
            *jobs, beside = list(dict.fromkeys(own[n % len(own)] for n in [*jobs, beside]))
        if not jobs:
            return
        goal = services.Goal(where, _id(beside) if where in ("before", "after") else None)
        if len(jobs) == 1:
            services.move(_id(jobs[0]), goal, self.actors[who])
        else:
            services.move_many([_id(n) for n in jobs], goal, self.actors[who])
        moved = [n for n in _flat(before) if n in jobs and self.sees(who, n)]
        after = self.standing()
        # Own jobs take over each other's places, and may so come to stand behind a stranger's.
        for own in (True, False):
            others = [n for n in range(COUNT) if self.sees(who, n) is not own]
            self._keeps_the_rest(before, after, [*moved, *others])
        for level in LEVELS:
            here = [n for n in moved if n in after[level]]
            own = [n for n in after[level] if self.sees(who, n)]
            if here:
                rest = [n for n in own if n not in here]
                assert own == _beside(rest, here, where, beside)
            if set(before[level]) == set(after[level]):
                self._takes_no_strange_place(who, before[level], after[level])

    def arrange(self, before: Levels, who: int, order: list[int]) -> None:
        wanted = planning.visible([_id(n) for n in order], self.actors[who])
        planning.apply_order(wanted, self.actors[who])
        after = self.standing()
        for level in LEVELS:
            own = [n for n in order if n in before[level] and self.sees(who, n)]
            assert [n for n in after[level] if self.sees(who, n)] == own
            self._takes_no_strange_place(who, before[level], after[level])

    def prioritise(self, before: Levels, who: int, job: int, level: int) -> None:
        services.patch(_id(job), self.actors[who], {"priority": level}, {})
        after = self.standing()
        assert job in after[level]
        self._keeps_the_rest(before, after, [job])

    def cancel(self, before: Levels, who: int, jobs: list[int]) -> None:
        done = services.cancel_many([_id(n) for n in jobs], self.actors[who])
        if done.undo is not None:
            self.undos.append((who, done.undo))
        gone = [n for n in jobs if self.sees(who, n)]
        after = self.standing()
        assert not set(gone) & set(_flat(after))
        self._keeps_the_rest(before, after, gone)

    def retry(self, before: Levels, who: int, job: int) -> None:
        services.retry(_id(job), self.actors[who])
        after = self.standing()
        assert job in _flat(after)
        self._keeps_the_rest(before, after, [job])

    def take_back(self, before: Levels, who: int, which: int) -> None:
        mine = [row for actor, row in self.undos if actor == who]
        if mine:
            undo.undo(mine[which % len(mine)].pk, self.actors[who])
            after = self.standing()
            back = set(_flat(after)) - set(_flat(before))
            assert all(self.sees(who, n) for n in back)
            self._keeps_the_rest(before, after, sorted(back))

    def clear(self, before: Levels, who: int) -> None:
        done = services.clear_finished(self.actors[who])
        if done.undo is not None:
            self.undos.append((who, done.undo))
        assert self.standing() == before

    # --- What happens meanwhile -----------------------------------------------------------------
    def run(self, before: Levels, job: int, comes_back: bool) -> None:
        with transaction.atomic():
            attempt = transitions.claim(_id(job), server_alias="a", lane=uuid.uuid4())
        if attempt is None:
            return
        with transaction.atomic():
            if comes_back:
                ended = transitions.end_attempt(attempt.token, outcome=Outcome.LOST)
                assert ended is not None
                transitions.requeue(ended)
                transitions.clear(attempt.token)
            else:
                transitions.complete(attempt.token, generation_info={}, warnings=[])
        after = self.standing()
        self._keeps_the_rest(before, after, [] if comes_back else [job])

    def widen(self, before: Levels) -> None:
        ranks.widen()
        assert self.standing() == before

    # --- What must hold -------------------------------------------------------------------------
    def _keeps_the_rest(self, before: Levels, after: Levels, touched: Sequence[int]) -> None:
        for level in LEVELS:
            rest = [n for n in before[level] if n not in touched]
            assert [n for n in after[level] if n not in touched] == rest

    def _takes_no_strange_place(self, who: int, before: list[int], after: list[int]) -> None:
        strange = [None if self.sees(who, n) else n for n in before]
        assert [None if self.sees(who, n) else n for n in after] == strange


def _id(number: int) -> uuid.UUID:
    return uuid.UUID(int=number)


def _flat(levels: Levels) -> list[int]:
    return [n for level in LEVELS for n in levels[level]]


def _beside(rest: list[int], moved: list[int], where: str, beside: int) -> list[int]:
    at = {"top": 0, "bottom": len(rest)}.get(where)
    if at is None:
        at = rest.index(beside) + (where == "after")
    return [*rest[:at], *moved, *rest[at:]]


def _boss():
    from django.contrib.auth import get_user_model

    return get_user_model().objects.filter(is_staff=True).first() or factories.staff("boss")


def _step(chance: random.Random) -> tuple:
    who = chance.randrange(3)
    jobs = chance.sample(range(COUNT), chance.randint(1, 3))
    others = [
        ("arrange", who, chance.sample(range(COUNT), COUNT)),
        ("prioritise", who, jobs[0], chance.choice(LEVELS)),
        ("cancel", who, jobs),
        ("retry", who, jobs[0]),
        ("retry", 2, jobs[0]),
        ("take_back", who, chance.randrange(10)),
        ("clear", who),
        ("run", jobs[0], True),
        ("run", jobs[0], chance.random() < 0.5),
        ("widen",),
    ]
    where = chance.choice(["before", "after", "before", "after", "top", "bottom"])
    move = ("move", who, jobs, where, chance.randrange(COUNT))
    return move if chance.random() < 0.5 else chance.choice(others)


@pytest.mark.parametrize("seed", range(6))
def test_each_gets_the_order_that_was_asked_for_and_no_more(seed):
    """Seeded and not searched: most steps do something only where many jobs wait."""
    chance = random.Random(seed)
    owners = chance.sample([0, 1] * (COUNT // 2), COUNT)
    queue = Shared(owners, [chance.choice((5, 5, 5, 3)) for _ in owners])
    for number in range(STEPS):
        step = _step(chance)
        try:
            queue.do(step)
        except AssertionError as error:
            raise AssertionError(f"step {number}, {step}: {error}") from error
        if sum(map(len, queue.standing().values())) < COUNT // 2:
            Job.objects.exclude(status="completed").update(status="pending", deleted_at=None)
            Job.objects.filter(status="completed").update(status="pending", finished_at=None)
