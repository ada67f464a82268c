"""The scheduler played forward: nobody starves, every job is made once, loads are saved."""

import io
import json
from dataclasses import replace
from itertools import pairwise
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from dispatch.scheduling import PATIENCE_LOADS, Candidate, choose
from dispatch.simulation import Machine, Work, fifo, play, policy
from tests.dispatch.scheduling_cases import MODELS, checked, state

LOAD, RUN = 20.0, 5.0


def machine(alias="a", **fields):
    return Machine(state(alias, loaded="x.safetensors", load_seconds=LOAD), {"": 1.0}, **fields)


def work(number, checkpoint="x", *, owner="", at=0.0, units=RUN, lane_class=0, priority=5):
    job = Candidate(
        id=UUID(int=number),
        app_type="forge",
        checkpoint=checkpoint,
        rank=(lane_class, priority, number, ""),
        waited=-at,
        owner=owner,
    )
    return Work(job, units, at)


def works():
    one = st.tuples(
        st.sampled_from(MODELS), st.sampled_from("ABC"), st.floats(0, 300), st.integers(0, 1)
    )
    return st.lists(one, min_size=1, max_size=25).map(
        lambda rows: [
            work(n, name, owner=owner, at=at, lane_class=lane)
            for n, (name, owner, at, lane) in enumerate(rows, 1)
        ]
    )


@checked
@given(works(), st.integers(1, 3), st.sampled_from([policy, fifo]))
def test_every_job_is_made_once_and_no_server_does_two_at_a_time(jobs, servers, pick):
    course = play([machine("abc"[n]) for n in range(servers)], jobs, pick)
    assert sorted(step.job for step in course.steps) == [w.job.id for w in jobs]
    assert course.left == 0
    arrivals = {w.job.id: w.at for w in jobs}
    for alias in "abc":
        own = [step for step in course.steps if step.server == alias]
        assert all(a.end <= b.start for a, b in pairwise(own))
    assert all(step.start >= arrivals[step.job] for step in course.steps)


@checked
@given(works())
def test_no_server_is_idle_while_an_own_job_waits(jobs):
    course = play([machine()], jobs)
    busy = sum(step.end - step.start for step in course.steps)
    assert course.seconds <= max(w.at for w in jobs) + busy + 1e-6


@checked
@given(
    heavy=st.integers(20, 200),
    owners=st.integers(1, 6),
    models=st.lists(st.sampled_from(MODELS), min_size=6, max_size=6),
)
def test_nobody_starves_beside_somebody_with_a_long_queue(heavy, owners, models):
    """Each of the others has one job, submitted behind all of the first one's."""
    jobs = [work(n, "x", owner="first") for n in range(1, heavy + 1)]
    jobs += [
        work(heavy + n, models[n - 1], owner=f"other {n}", at=1.0) for n in range(1, owners + 1)
    ]
    course = play([machine()], jobs)
    starts = {step.job: step.start for step in course.steps}
    waits = [starts[UUID(int=heavy + n)] for n in range(1, owners + 1)]
    bound = PATIENCE_LOADS * LOAD * (1 + len(set(models))) + (owners + 2) * (LOAD + 2 * RUN)
    assert max(waits) <= bound


def test_owners_take_turns_whatever_the_length_of_their_queues():
    jobs = [work(n, owner="A") for n in range(1, 7)]
    jobs += [work(n, owner="B") for n in range(7, 10)]
    order = [step.job.int for step in play([machine()], jobs).steps]
    assert order == [1, 7, 2, 8, 3, 9, 4, 5, 6]


def test_the_turn_counts_inside_a_class_and_priority_only():
    urgent = work(9, owner="A", priority=1)
    jobs = [work(1, owner="B"), urgent, work(2, owner="A", lane_class=1)]
    assert [step.job.int for step in play([machine()], jobs).steps] == [9, 1, 2]


@pytest.mark.parametrize("background", range(1, 5))
def test_an_interactive_job_goes_before_the_next_of_a_background_batch(background):
    """The boundary is the end of a job: one POST makes all pictures of its n_iter."""
    batch = [work(n, lane_class=1, units=4 * RUN) for n in range(1, background + 1)]
    urgent = work(9, "y", at=RUN)
    order = [step.job.int for step in play([machine()], [*batch, urgent]).steps]
    assert order.index(9) == 1


def test_the_loaded_model_goes_before_somebody_elses_turn_but_not_for_long():
    server = state(loaded="x.safetensors", load_seconds=LOAD)
    mine = Candidate(UUID(int=1), "forge", "x", rank=(0, 5, 1, ""), owner="A", turn=5.0)
    other = Candidate(UUID(int=2), "forge", "y", rank=(0, 5, 2, ""), owner="B", turn=1.0)
    assert choose(server, [mine, other]).candidate == mine
    waits = PATIENCE_LOADS * LOAD + 1
    assert choose(server, [mine, other], later=waits).candidate == other
    assert choose(server, [mine, other], later=waits, at_most=1).candidate == mine


def test_nothing_starts_outside_of_a_window():
    jobs = [work(n) for n in range(1, 10)]
    course = play([machine(opens=100, closes=117)], jobs)
    assert [step.start for step in course.steps] == [100, 105, 110, 115]
    assert course.left == 5


def trace(tmp_path, **parts):
    file = tmp_path / "trace.json"
    file.write_text(json.dumps(parts))
    return file


def test_the_command_compares_the_scheduler_with_a_plain_queue(tmp_path):
    jobs = [{"checkpoint": "xy"[n % 2], "units": 4, "at": 0} for n in range(20)]
    servers = [{"alias": "a", "loaded": "x", "unit_seconds": 1, "load_seconds": 30}]
    out = io.StringIO()
    call_command("simulate", trace(tmp_path, servers=servers, jobs=jobs), stdout=out)
    ours, plain = out.getvalue().splitlines()[1:]
    assert "loads     1" in ours and "makespan      110.0" in ours
    assert "loads    19" in plain and "makespan      650.0" in plain


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"jobs": []}, "'servers'"),
        ({"servers": [], "jobs": []}, "no server"),
        ({"servers": [{}], "jobs": [5]}, "jobs[0]"),
        ({"servers": [{}], "jobs": [{"units": "many"}]}, "jobs[0].units"),
        ({"servers": [{"load_seconds": -1}], "jobs": []}, "servers[0].load_seconds"),
    ],
)
def test_what_is_wrong_with_a_trace_is_named(tmp_path, parts, named):
    with pytest.raises(CommandError) as caught:
        call_command("simulate", trace(tmp_path, **parts))
    assert named in str(caught.value)


# --- What is there later, and not for ever


def starts(course):
    return {step.job.int: step.start for step in course.steps}


def test_a_job_that_needs_others_starts_when_the_last_of_them_has_ended():
    first, second = work(1, units=5), work(2, units=7)
    child = replace(work(3), after=frozenset([first.job.id, second.job.id]), at=1.0)
    grandchild = replace(work(4), after=frozenset([child.job.id]))
    course = play([machine("a"), machine("b")], [grandchild, child, second, first])
    assert starts(course) == {1: 0, 2: 0, 3: 7, 4: 12}
    assert {step.job.int: step.waited for step in course.steps}[3] == 0


def test_a_job_whose_parent_never_runs_is_left_with_it():
    parent = work(1, "nobody has it")
    child = replace(work(2), after=frozenset([parent.job.id]))
    course = play([machine()], [parent, child, work(3)])
    assert (starts(course), course.left) == ({3: 0}, 2)


def test_a_job_past_its_deadline_is_left_and_the_next_one_is_made():
    late = [replace(work(n), until=RUN) for n in range(2, 20)]
    course = play([machine()], [work(1), *late, work(30)])
    assert (starts(course), course.left) == ({1: 0, 30: RUN}, 18)


def test_what_does_not_fit_into_a_window_starts_in_the_next_one():
    course = play(
        [machine(opens=100, closes=108, later=((1000, 1008), (2000, 2001)))],
        [work(n) for n in range(1, 8)],
    )
    assert list(starts(course).values()) == [100, 105, 1000, 1005, 2000]
    assert course.left == 2


def test_a_server_that_closes_leaves_its_work_to_the_others():
    """It holds the model, but will not open again: nobody waits for it for ever."""
    closing = replace(machine("b"), free_at=10, closes=5)
    other = replace(machine("a"), state=state("a", loaded="y.safetensors", load_seconds=LOAD))
    course = play([other, closing], [work(1, "x")])
    assert [(step.server, step.loads) for step in course.steps] == [("a", True)]


def test_a_model_that_was_loaded_meanwhile_is_waited_for():
    other = replace(machine("b"), state=state("b", loaded="", load_seconds=LOAD))
    jobs = [work(1, "y"), work(2, "x"), work(3, "x"), work(4, "y")]
    course = play([machine("a"), other], jobs)
    last = course.steps[-1]
    assert (last.job.int, last.server, last.loads, last.start) == (4, "b", False, LOAD + RUN)


def test_each_kind_of_work_has_a_speed_of_its_own():
    known = machine(kind_seconds={("img2img", "x.safetensors"): 3.0})
    course = play([known], [replace(work(1), kind="img2img"), replace(work(2), kind="txt2img")])
    assert [step.end - step.start for step in course.steps] == [3 * RUN, RUN]


def test_it_stops_when_it_is_told_to_and_says_what_it_did_not_reach():
    asked = iter([False, False, True])
    course = play([machine()], [work(n) for n in range(1, 6)], stop=lambda: next(asked))
    assert (len(course.steps), course.unplayed, course.left) == (2, 3, 0)


@checked
@given(works(), st.integers(1, 3))
def test_what_is_looked_up_is_what_the_scheduler_would_find_out(jobs, servers):
    """Each choice of a played queue is the one that a lane makes of the same rows."""

    def both(server, some, others, later, at_most, facts):
        chosen = policy(server, some, others, later, at_most, facts)
        turned = [replace(job, turn=facts.turns.get((job.rank[0], job.owner), 0.0)) for job in some]
        there = [
            replace(state, free_in=facts.free_in(state))
            for alias, state in facts.states.items()
            if alias not in facts.gone
        ]
        plain = choose(server, turned, there, later=later, at_most=at_most).candidate
        assert (plain.id if plain else None) == chosen
        return chosen

    loaded = ["x.safetensors", "y.safetensors", ""]
    known = [
        Machine(
            state("abc"[n], loaded=loaded[n], load_seconds=LOAD),
            {"": 1.0},
            closes=60.0 if n else float("inf"),
        )
        for n in range(servers)
    ]
    play(known, jobs, both)
