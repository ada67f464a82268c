"""What a choice is made from: of each owner the first due jobs, however long the queue is."""

import random
from datetime import timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from dispatch import heads
from dispatch.candidates import candidate_levels, candidates_for
from dispatch.models import Inventory
from dispatch.scheduling import choose
from jobs.choices import Outcome, Status
from jobs.hours import parse
from jobs.models import Job, JobDependency, QueueSettings, Turn
from jobs.transitions import claim
from tests import factories
from tests.due import due

pytestmark = pytest.mark.django_db


def seen(server, loaded=""):
    return {candidate.id for candidate in candidates_for(server, loaded)}


def having(server, *names):
    models = [{"name": name, "hashes": []} for name in names]
    Inventory.objects.create(server=server, data={"checkpoints": models}, updated_at=timezone.now())
    return server


def some_job(rng, owners, parents):
    now = timezone.now()
    some = rng.choice
    job = factories.job(
        owner=some(owners),
        held=rng.random() < 0.1,
        not_before=some([None, None, now - timedelta(hours=1), now + timedelta(hours=1)]),
        retry_at=some([None, None, now - timedelta(hours=1), now + timedelta(hours=1)]),
        deadline=some([None, None, now - timedelta(hours=1), now + timedelta(hours=1)]),
        deleted_at=some([None, None, None, now]),
        target_server_alias=some(["", "a", "b"]),
        avoid_servers=some([[], [], ["a"], ["b"]]),
        app_type=some(["forge", "forge", "forge", "other"]),
        lane_class=some(["interactive", "background"]),
        priority=some([1, 5]),
        checkpoint=some(["", "x", "y"]),
        images_made=some([0, 0, 1]),
    )
    if rng.random() < 0.2:
        factories.attempt(
            job, ended_at=now, outcome=Outcome.CANCELLED, cleared_at=some([None, now])
        )
    if parents and rng.random() < 0.4:
        JobDependency.objects.create(
            job=job, parent=some(parents), on_failure=some(["cancel", "run"])
        )
    return job


@pytest.mark.parametrize("seed", range(8))
def test_it_is_what_is_due_and_fits_the_server(seed):
    rng = random.Random(seed)
    server = factories.server()
    owners = [None, factories.user(), factories.user()]
    parents = [
        factories.job(status, app_type="other", deleted_at=deleted)
        for status in Status.values
        for deleted in (None, timezone.now())
    ]
    for _ in range(30):
        some_job(rng, owners, parents)
    wanted = {
        job.pk
        for job in due(timezone.now())
        if job.app_type == "forge"
        and job.target_server_alias in ("", "a")
        and "a" not in job.avoid_servers
    }
    assert seen(server) == wanted


@pytest.mark.parametrize("seed", range(4))
def test_a_claim_takes_what_is_due_and_nothing_else(seed):
    rng, now = random.Random(seed), timezone.now()
    owners = [None, factories.user()]
    parents = [factories.job(status, app_type="other") for status in Status.values]
    jobs = [some_job(rng, owners, parents) for _ in range(30)]
    if seed == 3:
        QueueSettings(paused_app_types=["forge", "comfyui"]).save()
    wanted = {job.pk for job in due(now) if job.target_server_alias in ("", "a")}
    assert wanted
    made = Job.objects.in_bulk([job.pk for job in jobs])
    taken = {pk for pk in made if claim(pk, server_alias="a", lane=uuid4())}
    assert taken == wanted & set(made)
    for job in Job.objects.filter(pk__in=taken):
        assert (job.status, job.server_alias, job.retry_at) == (Status.PROCESSING, "a", None)
        assert job.put_off_until == job.not_before
        assert job.attempts.get(ended_at=None).number == made[job.pk].attempts.count()
    assert Job.objects.filter(status=Status.PROCESSING, pk__in=made).count() == len(taken)


def test_levels_come_in_the_order_of_the_queue():
    server = factories.server()
    for lane_class, priority in [("background", 1), ("interactive", 5), ("interactive", 2)]:
        factories.job(lane_class=lane_class, priority=priority)
    assert [
        [candidate.rank[:2] for candidate in level] for level in candidate_levels(server, "")
    ] == [[(0, 2)], [(0, 5)], [(1, 1)]]


def test_one_job_behind_many_of_another_owner_is_seen():
    server, other = factories.server(), factories.user()
    for _ in range(heads.HEAD * 2):
        factories.job()
    late = factories.job(owner=other)
    assert late.pk in seen(server)
    assert len(seen(server)) < heads.HEAD * 2


def test_a_job_behind_many_that_this_server_can_not_do_is_seen():
    server = having(factories.server(), "x")
    for _ in range(heads.HEAD * 2):
        factories.job(checkpoint="nobody has it")
    late = factories.job(checkpoint="x")
    assert seen(server) == {late.pk}


def test_a_job_with_the_loaded_model_behind_many_others_is_seen_by_any_of_its_names():
    server = having(factories.server(), "x.safetensors", "y.safetensors")
    for _ in range(heads.HEAD * 2):
        factories.job(checkpoint="y")
    late = factories.job(checkpoint="x")
    assert late.pk in seen(server, "x.safetensors")


def test_of_more_owners_than_are_looked_at_all_get_their_turn(monkeypatch):
    monkeypatch.setattr(heads, "OWNERS", 3)
    server = factories.server()
    jobs = {factories.job(owner=factories.user(f"u{n}")).pk for n in range(10)}
    jobs |= {factories.job(owner=Job.objects.first().owner).pk for _ in range(10)}
    served = []
    while True:
        chosen = choose(_state(), candidates_for(server, "")).candidate
        if chosen is None:
            break
        claim(chosen.id, server_alias="a", lane=uuid4())
        served.append(chosen.owner)
    assert len(served) == len(jobs)
    assert len(set(served[:10])) == 10, "nobody twice before everybody had one"


def test_an_old_job_of_another_is_taken_though_more_urgent_ones_wait():
    from dispatch.lanes.claims import Claimer
    from dispatch.lease import take

    server, now = factories.server(), timezone.now()
    claimer = Claimer(take(server.pk), server.alias, None, None)
    for _ in range(3):
        factories.job(priority=1)
    urgent = claimer.next_candidate()
    assert urgent.rank[1] == 1
    claim(urgent.id, server_alias="a", lane=uuid4())
    old = factories.job(owner=factories.user(), created_at=now - timedelta(hours=3))
    assert claimer.next_candidate().id == old.pk
    late = Job.objects.filter(pk=old.pk)
    late.update(not_before=now - timedelta(minutes=5))
    assert claimer.next_candidate().rank[1] == 1, "it could not have started before"


def _state():
    from dispatch.states import server_states

    return server_states()[0]


def test_owners_take_turns_and_a_turn_is_taken_with_the_claim():
    server, other = factories.server(), factories.user()
    for _ in range(4):
        factories.job()
    for _ in range(2):
        factories.job(owner=other)
    order = []
    for _ in range(6):
        chosen = choose(_state(), candidates_for(server, "")).candidate
        claim(chosen.id, server_alias="a", lane=uuid4())
        order.append(chosen.owner)
    assert order == ["", f"user:{other.pk}", "", f"user:{other.pk}", "", ""]
    assert Turn.objects.count() == 2


@pytest.mark.parametrize("of", ["queue", "server"])
@pytest.mark.parametrize("until", [False, True])
def test_outside_of_the_hours_nothing_is_chosen_and_no_claim_succeeds(of, until):
    server, job = factories.server(), factories.job()
    now = timezone.now()
    closed = f"{now + timedelta(hours=2):%H:%M}-{now + timedelta(hours=3):%H:%M}"
    row = server if of == "server" else QueueSettings()
    if until:
        row.run_until = now - timedelta(seconds=1)
    else:
        assert not parse(closed).is_open(now, ZoneInfo("UTC"))
        row.hours = closed
    row.save()
    assert seen(server) == set()
    if of == "queue":
        assert claim(job.pk, server_alias="a", lane=uuid4()) is None


def test_a_run_that_would_begin_after_closing_time_is_not_handed_over():
    now = timezone.now()
    server = factories.server(run_until=now + timedelta(seconds=5))
    factories.job()
    assert list(candidate_levels(server, ""))
    assert not list(candidate_levels(server, "", timedelta(seconds=10)))


def test_no_claim_takes_a_job_past_its_deadline():
    job = factories.job(deadline=timezone.now() - timedelta(seconds=1))
    assert claim(job.pk, server_alias="a", lane=uuid4()) is None
