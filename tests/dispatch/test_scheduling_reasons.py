"""Why a job waits: a reason for each, from the same code that decides."""

import pytest
from hypothesis import given

from dispatch.reasons import why_waiting
from dispatch.scheduling import choose, hindrance
from tests.dispatch.scheduling_cases import (
    candidate,
    checked,
    listed,
    some_jobs,
    some_servers,
    state,
)

CODES = {
    "paused",
    "not_before",
    "server_offline",
    "server_busy",
    "server_removed",
    "no_free_lane",
    "model_missing",
    "no_server_for_app_type",
}


@checked
@given(some_servers(), some_jobs())
def test_every_job_has_a_reason_that_agrees_with_the_choice(servers, jobs):
    for job in jobs:
        reason = why_waiting(job, servers)
        assert reason.code in CODES
        assert reason.message.endswith((".", "tomorrow."))
        able = [server for server in servers if hindrance(job, server) is None]
        would_start = [s for s in able if choose(s, [job]).candidate == job]
        assert would_start == able
        if able:
            with_lane = [server for server in able if server.has_lane]
            assert reason.code == ("server_busy" if with_lane else "no_free_lane")
        elif reason.code == "server_busy":
            assert any(s.alias in job.avoid for s in servers), "it waits for another server"


@pytest.mark.parametrize(
    ("code", "fields", "servers"),
    [
        ("not_before", {"not_due": "It starts at 12:00 at the earliest."}, [state()]),
        ("server_removed", {"target": "gone"}, [state()]),
        ("no_server_for_app_type", {}, []),
        ("no_server_for_app_type", {}, [state(app_type="other")]),
        ("paused", {}, [state(paused=True)]),
        ("paused", {}, [state(enabled=False)]),
        ("paused", {"target": "a"}, [state(paused=True), state("b")]),
        ("server_offline", {}, [state(healthy=False)]),
        ("server_offline", {}, [state(healthy=False), state("b", paused=True)]),
        ("model_missing", {"checkpoint": "q"}, [state()]),
        ("model_missing", {"checkpoint": "q"}, [state(), state("b", paused=True)]),
        ("server_offline", {"checkpoint": "q"}, [state(), state("b", healthy=False)]),
        ("server_busy", {"checkpoint": "x"}, [state(free_in=5)]),
        ("server_busy", {"avoid": frozenset("a")}, [state()]),
        ("no_free_lane", {}, [state(has_lane=False)]),
        ("server_busy", {}, [state(has_lane=False), state("b")]),
    ],
)
def test_reason_is_the_one_nearest_to_going_away(code, fields, servers):
    assert why_waiting(candidate(**fields), servers).code == code


def test_missing_checkpoint_is_named_with_what_to_do():
    reason = why_waiting(candidate("q"), [state(), state("b")])
    assert reason.message == "No server has the checkpoint q."
    assert reason.action == "Copy the file to a server, or choose another checkpoint."
    assert why_waiting(candidate("q"), [state()]).message == "a does not have the checkpoint q."


def test_ambiguous_checkpoint_names_the_files_that_it_may_mean():
    server = state(checkpoints=listed("one/x", "two/x"))
    reason = why_waiting(candidate("x"), [server])
    assert reason.code == "model_missing"
    assert reason.message == "a has several checkpoints called x."
    assert "one/x.safetensors, two/x.safetensors" in reason.action
    both = why_waiting(candidate("x"), [server, state("b", checkpoints=listed("y"))])
    assert "No server" not in both.message


def test_server_whose_lists_are_unknown_is_given_the_benefit_of_the_doubt():
    assert hindrance(candidate("q"), state(checkpoints=None)) is None
