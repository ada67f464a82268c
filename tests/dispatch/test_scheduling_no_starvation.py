"""A job waits for grouped work at most a known time, however much of that comes in."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dispatch.scheduling import PATIENCE_LOADS, choose
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
