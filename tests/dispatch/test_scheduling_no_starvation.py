"""A job waits for grouped work at most a known time, however much of that comes in."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dispatch.scheduling import AGEING_SECONDS, PATIENCE_LOADS, choose
from tests.dispatch.scheduling_cases import MODELS, candidate, checked, state


def seconds_until(wanted, stream, *, load_seconds, run_seconds):
    """Simulate one server while `stream` queues a job at each end of one; return the wait."""
    server = state(loaded="x.safetensors", load_seconds=load_seconds)
    arrived = {job.id: 0.0 for job in wanted}
    queue, now = list(wanted), 0.0
    waits = {}
    while len(waits) < len(wanted):
        job = candidate(next(stream))
        arrived[job.id] = now
        queue.append(job)
        seen = [replace(job, waited=now - arrived[job.id]) for job in queue]
        chosen = choose(server, seen).candidate
        if chosen.id in {job.id for job in wanted}:
            waits[chosen.id] = now
        now += run_seconds + (0 if server.has_loaded(chosen.checkpoint) else load_seconds)
        server = replace(server, loaded=f"{chosen.checkpoint}.safetensors")
        queue = [job for job in queue if job.id != chosen.id]
    return max(waits.values())


def endless(*names):
    while True:
        yield from names


@checked
@given(load_seconds=st.floats(1, 120), run_seconds=st.floats(0.5, 60))
def test_endless_newer_jobs_with_the_loaded_model_do_not_starve_another(load_seconds, run_seconds):
    waited = seconds_until(
        [candidate("y")], endless("x"), load_seconds=load_seconds, run_seconds=run_seconds
    )
    patience = PATIENCE_LOADS * load_seconds
    assert patience < waited <= patience + run_seconds, "and up to then the work stays grouped"


@checked
@given(
    models=st.lists(st.sampled_from(MODELS), min_size=1, max_size=5),
    stream=st.lists(st.sampled_from(MODELS), min_size=1, max_size=5),
)
def test_every_job_gets_its_turn_in_any_mix(models, stream):
    load_seconds, run_seconds = 20.0, 5.0
    waited = seconds_until(
        [candidate(name) for name in models],
        endless(*stream),
        load_seconds=load_seconds,
        run_seconds=run_seconds,
    )
    bound = PATIENCE_LOADS * load_seconds + len(models) * (load_seconds + run_seconds)
    assert waited <= bound


class Shop:
    """One server that makes a picture in RUN seconds, and owners that take turns."""

    RUN = 60.0

    def __init__(self):
        self.server = state(loaded="x.safetensors")
        self.now, self.arrived, self.queue, self.turns = 0.0, {}, [], {}
        self.started = []

    def order(self, owner, priority, checkpoint="x", **fields):
        job = candidate(checkpoint, owner=owner, priority=priority, **fields)
        self.arrived[job.id] = self.now
        self.queue.append(job)
        return job

    def serve(self):
        seen = [
            replace(
                job,
                queued_for=self.now - self.arrived[job.id],
                turn=self.turns.get(job.owner, 0.0),
            )
            for job in self.queue
        ]
        chosen = choose(self.server, seen).candidate
        self.queue = [job for job in self.queue if job.id != chosen.id]
        self.started.append(chosen)
        self.now += self.RUN
        self.turns[chosen.owner] = self.now
        return chosen


@checked
@given(priority=st.integers(2, 10), count=st.integers(1, 4))
def test_an_endless_stream_of_somebodys_urgent_jobs_does_not_starve_others(priority, count):
    shop = Shop()
    others = {shop.order("modest", priority).id for _ in range(count)}
    steps = priority - 1
    bound = steps * AGEING_SECONDS + 2 * shop.RUN * (count + 1)
    while others & {job.id for job in shop.queue}:
        shop.order("urgent", 1)
        shop.serve()
        assert shop.now <= bound
    assert shop.now >= steps * AGEING_SECONDS, "up to then the priority counts"


@checked
@given(
    hours=st.floats(0, 100),
    urgent=st.integers(1, 5),
    low=st.integers(6, 10),
    checkpoint=st.sampled_from("xy"),
)
def test_ones_own_urgent_job_comes_before_ones_own_old_ones(hours, urgent, low, checkpoint):
    shop = Shop()
    for _ in range(5):
        shop.order("me", low)
    shop.now = hours * 3600
    urgent = shop.order("me", urgent, checkpoint)
    assert shop.serve().id == urgent.id


def test_in_a_class_priority_ages_but_background_work_stays_behind():
    shop = Shop()
    shop.order("modest", 1, lane_class=1)
    shop.now = 1000 * AGEING_SECONDS
    interactive = shop.order("urgent", 10)
    assert shop.serve().id == interactive.id


def test_an_old_job_lifts_no_job_of_its_owner_that_comes_after_it():
    shop = Shop()
    old = shop.order("modest", 5)
    shop.now = 4 * AGEING_SECONDS
    late = shop.order("modest", 9)
    shop.order("urgent", 1)
    shop.order("urgent", 1)
    started = [shop.serve() for _ in range(4)]
    assert started[-1].id == late.id
    assert old.id in {job.id for job in started[:2]}
