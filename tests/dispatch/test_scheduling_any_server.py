"""Several servers: one that lacks the model leaves a job to one that has it, if that is sooner."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dispatch.scheduling import RUN_SECONDS, choose, hindrance
from tests.dispatch.scheduling_cases import (
    ALIASES,
    MODELS,
    candidate,
    checked,
    listed,
    some_jobs,
    some_servers,
    state,
)


def others(servers, own):
    return [server for server in servers if server.alias != own.alias]


def test_job_is_left_to_the_server_that_has_its_model_loaded_and_is_free_sooner():
    idle = state("a", loaded="y.safetensors", load_seconds=20)
    job = candidate("x")
    for free_in, chosen in ((0.0, None), (19.9, None), (20.0, job), (600.0, job)):
        busy = state("b", loaded="x.safetensors", free_in=free_in)
        choice = choose(idle, [job], [busy])
        assert choice.candidate == chosen
        assert choice.left_to == ({} if chosen else {job.id: "b"})


def test_while_one_job_is_left_the_next_is_taken():
    idle = state("a", loaded="y.safetensors")
    busy = state("b", loaded="x.safetensors", free_in=2)
    left, taken = candidate("x"), candidate("y")
    assert choose(idle, [left, taken], [busy]).candidate == taken


def test_idle_server_does_not_leave_a_whole_queue_to_another():
    """What it leaves queues up there: the third job would wait longer than a load here takes."""
    idle = state("a", loaded="y.safetensors", load_seconds=2 * RUN_SECONDS)
    busy = state("b", loaded="x.safetensors", free_in=1)
    jobs = [candidate("x") for _ in range(10)]
    choice = choose(idle, jobs, [busy])
    assert choice.candidate == jobs[2]
    assert set(choice.left_to) == {jobs[0].id, jobs[1].id}


def test_job_that_waited_too_long_is_not_left_any_more():
    idle = state("a", loaded="y.safetensors", load_seconds=20)
    busy = state("b", loaded="x.safetensors", free_in=1)
    assert choose(idle, [candidate("x", waited=61.0)], [busy]).candidate is not None


def test_job_is_left_to_nobody_who_can_not_take_it():
    idle = state("a", loaded="y.safetensors")
    job = candidate("x", avoid=frozenset("c"))
    for rival in (
        state("b", loaded="x.safetensors", paused=True),
        state("b", loaded="x.safetensors", enabled=False),
        state("b", loaded="x.safetensors", healthy=False),
        state("b", loaded="x.safetensors", app_type="other"),
        state("b", loaded="x.safetensors", has_lane=False),
        state("b", loaded="x.safetensors", checkpoints=listed("y")),
        state("c", loaded="x.safetensors"),
        state("a", loaded="x.safetensors"),
    ):
        assert choose(idle, [job], [rival]).candidate == job, rival


def test_job_for_one_server_is_left_to_no_other():
    idle = state("a", loaded="y.safetensors")
    job = candidate("x", target="a")
    assert choose(idle, [job], [state("b", loaded="x.safetensors")]).candidate == job


@checked
@given(some_servers(), some_jobs())
def test_no_job_is_left_by_all_servers(servers, jobs):
    for job in jobs:
        able = [s for s in servers if hindrance(job, s) is None]
        choices = [choose(s, [job], others(servers, s)) for s in able]
        if able:
            assert any(choice.candidate == job for choice in choices)
        for choice in choices:
            assert (choice.candidate is None) == (job.id in choice.left_to)


@checked
@given(some_servers(), some_jobs())
def test_job_is_left_only_to_one_who_begins_before_a_load_here_would_end(servers, jobs):
    own, *rivals = servers
    by_alias = {server.alias: server for server in rivals}
    by_id = {job.id: job for job in jobs}
    for job_id, alias in choose(own, jobs, rivals).left_to.items():
        other, job = by_alias[alias], by_id[job_id]
        assert other.has_loaded(job.checkpoint)
        assert not own.has_loaded(job.checkpoint)
        assert other.free_in < own.load_seconds


def simulate(models, servers, *, run_seconds):
    """Run jobs that are all there from the start; return the time of the last end and the loads."""
    queue = [candidate(name) for name in models]
    free_at = dict.fromkeys(servers, 0.0)
    now, loads = 0.0, 0
    while queue:
        idle_before = len(queue)
        for alias in sorted(servers):
            if free_at[alias] > now:
                continue
            seen = {
                name: replace(server, free_in=max(0.0, free_at[name] - now))
                for name, server in servers.items()
            }
            jobs = [replace(job, waited=now) for job in queue]
            chosen = choose(seen.pop(alias), jobs, list(seen.values())).candidate
            if chosen is None:
                continue
            queue = [job for job in queue if job.id != chosen.id]
            if not servers[alias].has_loaded(chosen.checkpoint):
                loads += 1
                free_at[alias] = now + servers[alias].load_seconds
            free_at[alias] = max(free_at[alias], now) + run_seconds
            servers[alias] = replace(servers[alias], loaded=f"{chosen.checkpoint}.safetensors")
        ahead = [at for at in free_at.values() if at > now]
        assert ahead or len(queue) < idle_before, "all are idle, and nobody takes a job"
        now = min(ahead, default=now)
    return max(free_at.values()), loads


@checked
@given(
    models=st.lists(st.sampled_from(MODELS), min_size=1, max_size=25),
    loaded=st.lists(st.sampled_from(["", "x", "y", "z"]), min_size=1, max_size=3),
    run_seconds=st.sampled_from([1.0, 10.0, 40.0]),
)
def test_servers_together_finish_everything_and_none_waits_for_the_other(
    models, loaded, run_seconds
):
    servers = {
        alias: state(alias, loaded=f"{name}.safetensors" if name else "")
        for alias, name in zip(ALIASES, loaded, strict=False)
    }
    end, loads = simulate(models, servers, run_seconds=run_seconds)
    assert end <= len(models) * (run_seconds + 20)
    assert loads <= len(models)


def test_two_servers_with_a_model_each_keep_to_it():
    servers = {
        "a": state("a", loaded="x.safetensors"),
        "b": state("b", loaded="y.safetensors"),
    }
    end, loads = simulate(["x", "y"] * 10, servers, run_seconds=5)
    assert loads == 0
    assert end == 50
