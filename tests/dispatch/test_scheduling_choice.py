"""What one server takes next: never a hindered job, strict order, the loaded model first."""

from hypothesis import given
from hypothesis import strategies as st

from dispatch.scheduling import PATIENCE_LOADS, choose, hindrance
from models_catalog.resolve import KnownModel
from tests.dispatch.scheduling_cases import (
    candidate,
    checked,
    listed,
    some_jobs,
    some_servers,
    state,
)


@checked
@given(some_servers(), some_jobs())
def test_hindered_job_is_never_chosen_or_left(servers, jobs):
    own, *others = servers
    choice = choose(own, jobs, others)
    if choice.candidate is not None:
        assert hindrance(choice.candidate, own) is None
    by_id = {job.id: job for job in jobs}
    for job_id in choice.left_to:
        assert hindrance(by_id[job_id], own) is None


@checked
@given(some_servers(), some_jobs())
def test_class_and_priority_come_strictly_first(servers, jobs):
    own, *others = servers
    choice = choose(own, jobs, others)
    able = [j for j in jobs if hindrance(j, own) is None and j.id not in choice.left_to]
    if choice.candidate is None:
        assert able == []
    else:
        assert choice.candidate.rank[:2] == min(job.rank[:2] for job in able)


@checked
@given(some_servers(), some_jobs(), st.randoms())
def test_choice_depends_on_no_order_of_what_is_given(servers, jobs, random):
    own, *others = servers
    first = choose(own, jobs, others)
    random.shuffle(jobs)
    random.shuffle(others)
    again = choose(own, jobs, others)
    assert again == first


@checked
@given(some_servers(), some_jobs())
def test_loaded_checkpoint_is_preferred_inside_a_group_until_somebody_is_impatient(servers, jobs):
    own, *others = servers
    choice = choose(own, jobs, others)
    if choice.candidate is None:
        return
    group = [
        job
        for job in sorted(jobs, key=lambda j: j.rank)
        if hindrance(job, own) is None
        and job.id not in choice.left_to
        and job.rank[:2] == choice.candidate.rank[:2]
    ]
    overtaken = group[: group.index(choice.candidate)]
    patience = PATIENCE_LOADS * own.load_seconds
    assert all(job.waited <= patience for job in overtaken)
    if overtaken:
        assert own.has_loaded(choice.candidate.checkpoint)
    if not own.has_loaded(choice.candidate.checkpoint):
        before = up_to_the_impatient(group, patience)
        assert not any(own.has_loaded(job.checkpoint) for job in before)


def up_to_the_impatient(group, patience):
    """Return the jobs up to the first that has waited too long."""
    found = []
    for job in group:
        found.append(job)
        if job.waited > patience:
            break
    return found


def test_loaded_checkpoint_goes_before_an_older_job_with_another():
    older, newer = candidate("y"), candidate("x")
    assert choose(state(loaded="x.safetensors"), [older, newer]).candidate == newer
    assert choose(state(loaded="y.safetensors"), [older, newer]).candidate == older
    assert choose(state(loaded="z.safetensors"), [older, newer]).candidate == older
    assert choose(state(), [older, newer]).candidate == older


def test_job_that_waited_three_loads_is_overtaken_no_more():
    server = state(loaded="x.safetensors", load_seconds=10)
    newer = candidate("x")
    for waited, chosen in ((30.0, "x"), (30.1, "y")):
        older = candidate("y", number=1, waited=waited)
        assert choose(server, [newer, older]).candidate.checkpoint == chosen


def test_second_of_two_jobs_is_not_overtaken_either_once_it_is_impatient():
    moved_up = candidate("y", position=1)
    impatient = candidate("z", position=2, waited=1e6)
    newer = candidate("x", position=3)
    server = state(loaded="x.safetensors")
    assert choose(server, [newer, impatient, moved_up]).candidate == moved_up
    assert choose(server, [newer, impatient]).candidate == impatient


def test_priority_beats_the_loaded_checkpoint_and_class_beats_priority():
    server = state(loaded="x.safetensors")
    loaded = candidate("x", priority=5)
    urgent = candidate("y", priority=4)
    background = candidate("x", lane_class=1, priority=1)
    assert choose(server, [loaded, urgent, background]).candidate == urgent
    assert choose(server, [loaded, background]).candidate == loaded


def test_job_without_a_checkpoint_takes_what_is_loaded():
    other, any_will_do = candidate("y"), candidate("")
    server = state(loaded="x.safetensors")
    assert choose(server, [other, any_will_do]).candidate == any_will_do


def test_loaded_checkpoint_is_known_by_all_its_names():
    model = KnownModel("Pony/x.safetensors", "0123456789", "0123456789ab" * 5, ("Pony_x",))
    server = state(loaded="Pony/x.safetensors", checkpoints=(model, *listed("y")))
    for name in ("x", "Pony\\x.safetensors", "0123456789", "Pony_x", "pony/X.safetensors"):
        assert server.has_loaded(name), name
    assert not server.has_loaded("y")
    assert server.has_loaded("")


def test_loaded_checkpoint_is_known_without_lists_as_well():
    server = state(loaded="a\\b.safetensors", checkpoints=None)
    assert server.has_loaded("a/B.safetensors")
    assert not server.has_loaded("b")
    assert not state(loaded="", checkpoints=None).has_loaded("b")


def test_no_jobs_is_no_choice():
    assert choose(state(), []).candidate is None
