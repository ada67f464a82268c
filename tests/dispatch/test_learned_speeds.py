"""What is learned of a server's speed, and what a run is expected to take by it."""

import pytest

from dispatch import standing
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def server():
    return factories.server().pk


def expected(server, kind="txt2img", *, loads=False, checkpoint="x"):
    return standing.expected_seconds(server, checkpoint, kind, 10, loads=loads)


def test_nothing_is_expected_of_what_never_ran(server):
    assert expected(server) is None
    standing.learn_run(server, "y", "txt2img", 2)
    standing.learn_load(server, "x", 5)
    assert expected(server) is None


def test_each_kind_is_learned_by_itself(server):
    for _ in range(3):
        standing.learn_run(server, "x", "txt2img", 2)
        standing.learn_run(server, "x", "img2img", 6)
    assert (expected(server), expected(server, "img2img")) == (20, 60)


def test_the_newest_runs_count_most(server):
    for seconds in (10, 2, 2, 2, 2, 2, 2, 2, 2, 2):
        standing.learn_run(server, "x", "txt2img", seconds)
    assert 20 < expected(server) < 25


def test_the_first_runs_count_the_same(server):
    for seconds in (6, 3, 3):
        standing.learn_run(server, "x", "txt2img", seconds)
    assert expected(server) == pytest.approx(40)


def test_what_passes_before_the_first_step_belongs_to_the_run(server):
    for _ in range(3):
        standing.learn_run(server, "x", "img2img", 2, 1)
    assert expected(server, "img2img") == pytest.approx(30)


@pytest.mark.parametrize("runs_before", [0, 1, 5])
def test_a_load_that_nobody_announced_does_not_spoil_the_speed(server, runs_before):
    """A server that was started anew says that a model is selected, and loads it when asked."""
    for _ in range(runs_before):
        standing.learn_run(server, "x", "txt2img", 2, 0.1)
    standing.learn_run(server, "x", "txt2img", 2, 8)
    assert expected(server) == pytest.approx(20, rel=0.06)


def test_speeds_of_before_kinds_were_told_apart_hold_until_there_are_better_ones(server):
    standing.learn_run(server, "x", "", 4)
    assert expected(server) == 40
    standing.learn_run(server, "x", "txt2img", 2)
    assert (expected(server), expected(server, "img2img")) == (20, 40)


def test_a_load_counts_as_it_was_measured_or_like_others_of_this_server(server):
    standing.learn_run(server, "x", "txt2img", 2)
    assert expected(server, loads=True) == 20 + 20, "nothing is known: what is usual"
    standing.learn_load(server, "y", 5)
    assert expected(server, loads=True) == 20 + 5
    standing.learn_load(server, "x", 9)
    assert expected(server, loads=True) == 20 + 9
