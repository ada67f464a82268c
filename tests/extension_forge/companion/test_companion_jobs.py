"""Each token is run once at most; what was made is kept until it is fetched; a cancel is exact."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mobilesd_forge.companion.jobs import Jobs, Limits, NotTaken
from mobilesd_forge.companion.records import FINAL, Records

from tests.extension_forge.companion.conftest import Bench, eventually
from tests.extension_forge.companion.engines import HandEngine, answered


def test_jobs_run_one_after_the_other_in_the_order_in_which_they_came(bench):
    b = bench()
    for token in ("token-1", "token-22", "token-3"):
        b.submit(f"{token}-x")
    b.until("token-1-x", "running")
    assert b.state("token-22-x") == "queued"
    for _ in range(3):
        b.engine.finish()
    b.until("token-3-x", "done")
    assert b.engine.begun == ["token-1-x", "token-22-x", "token-3-x"]


def test_the_same_token_again_is_the_same_job(bench):
    b = bench()
    first, new = b.submit("token-01", prompt="a")
    again, newer = b.submit("token-01", prompt="b")
    assert (new, newer) == (True, False)
    assert again.token == first.token
    b.engine.finish()
    b.until("token-01", "done")
    assert b.submit("token-01")[0].state == "done"
    assert b.engine.begun == ["token-01"]


def test_a_job_is_on_disk_before_it_is_taken(bench, monkeypatch):
    b = bench()

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Records, "save", full)
    with pytest.raises(NotTaken, match="No space left"):
        b.submit("token-01")
    assert b.state("token-01") == "unknown"
    assert b.engine.begun == []


def test_the_answer_is_kept_with_its_status(bench):
    b = bench()
    b.make("token-01", answered(images=["eA=="]))
    b.make("token-02", answered(500, error="OutOfMemoryError"))
    assert b.state("token-01") == "done"
    assert b.state("token-02") == "failed"
    assert b.jobs.get("token-02").status == 500
    assert json.loads(b.answer("token-01")) == {"images": ["eA=="]}
    assert json.loads(b.answer("token-02")) == {"error": "OutOfMemoryError"}


def test_it_survives_the_program(bench):
    b = bench()
    b.make("token-01", answered(images=["eA=="]))
    b.restart()
    assert b.state("token-01") == "done"
    assert json.loads(b.answer("token-01")) == {"images": ["eA=="]}


def test_what_ran_or_waited_when_the_program_died_is_lost_and_never_run_again(bench):
    b = bench()
    b.submit("token-01")
    b.submit("token-02")
    b.until("token-01", "running")
    b.restart()
    assert [b.state(token) for token in ("token-01", "token-02")] == ["lost", "lost"]
    assert b.submit("token-01")[0].state == "lost"
    b.make("token-03")
    assert b.engine.begun == ["token-03"]


def test_an_answer_that_does_not_fit_on_the_disk_is_kept_in_memory(bench, monkeypatch):
    b = bench()
    b.submit("token-01")
    b.until("token-01", "running")

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Records, "save", full)
    b.engine.finish(answered(images=["eA=="]))
    b.until("token-01", "done")
    assert json.loads(b.answer("token-01")) == {"images": ["eA=="]}


def test_an_engine_that_breaks_fails_the_job_and_goes_on(bench):
    b = bench()
    b.make("token-01", RuntimeError("nothing left"))
    assert json.loads(b.answer("token-01"))["message"] == "nothing left"
    b.make("token-02", KeyboardInterrupt())
    b.make("token-03")
    assert b.state("token-03") == "done"


def test_the_next_one_begins_when_the_engine_is_free_and_not_only_when_the_answer_is_written(
    bench,
):
    """Else the GPU waits while pictures are encoded."""
    b = bench()
    b.engine.encoded.clear()
    b.submit("token-01")
    b.submit("token-02")
    b.engine.finish()
    eventually(lambda: b.engine.begun == ["token-01", "token-02"])
    assert b.state("token-01") == "running"
    b.engine.encoded.set()
    b.engine.finish()
    b.until("token-01", "done")
    b.until("token-02", "done")


# --- cancels ---------------------------------------------------------------------------------


def test_a_cancelled_one_that_waits_never_begins(bench):
    b = bench()
    b.submit("token-01")
    b.submit("token-02")
    b.until("token-01", "running")
    assert b.jobs.cancel("token-02").state == "cancelled"
    b.engine.finish()
    b.make("token-03")
    b.until("token-01", "done")
    assert b.engine.begun == ["token-01", "token-03"]


def test_a_cancelled_one_that_runs_stops_at_its_next_step_and_leaves_no_answer(bench):
    b = bench()
    b.submit("token-01")
    b.submit("token-02")
    b.until("token-01", "running")
    assert b.jobs.cancel("token-01").cancelling
    b.engine.step()
    b.until("token-01", "cancelled")
    assert b.answer("token-01") is None
    b.until("token-02", "running")
    b.engine.step()
    b.engine.finish()
    b.until("token-02", "done")
    assert b.engine.stopped == ["token-01"]


def test_one_that_ends_before_the_cancel_takes_effect_is_cancelled_all_the_same(bench):
    b = bench()
    b.submit("token-01")
    b.until("token-01", "running")
    b.jobs.cancel("token-01")
    b.engine.finish()
    b.until("token-01", "cancelled")
    assert b.answer("token-01") is None
    b.restart()
    assert b.state("token-01") == "cancelled"


def test_cancelling_what_is_over_drops_its_answer(bench):
    b = bench()
    b.make("token-01")
    assert b.jobs.cancel("token-01").state == "cancelled"
    assert b.answer("token-01") is None
    assert b.jobs.cancel("token-99") is None


# --- closing ---------------------------------------------------------------------------------


def test_what_was_closed_is_unknown_and_its_token_is_refused_also_after_a_restart(bench):
    b = bench()
    b.make("token-01")
    b.jobs.close("token-01")
    for _ in range(2):
        assert b.state("token-01") == "unknown"
        assert b.answer("token-01") is None
        with pytest.raises(NotTaken, match="given up"):
            b.submit("token-01")
        b.restart()


def test_a_token_that_never_came_can_be_closed_so_that_it_is_refused_when_it_comes_late(bench):
    b = bench()
    b.jobs.close("token-01")
    with pytest.raises(NotTaken):
        b.submit("token-01")
    assert b.engine.begun == []


def test_closing_ends_what_runs_or_waits(bench):
    b = bench()
    b.submit("token-01")
    b.submit("token-02")
    b.until("token-01", "running")
    b.jobs.close("token-02")
    b.jobs.close("token-01")
    b.engine.step()
    b.until("token-01", "unknown")
    assert b.engine.begun == b.engine.stopped == ["token-01"]
    b.make("token-03")
    assert b.engine.begun == ["token-01", "token-03"]


# --- bounds ----------------------------------------------------------------------------------


def test_answers_are_dropped_when_they_are_too_old_and_their_tokens_later(bench):
    b = bench(keep_seconds=100, closed_seconds=1000)
    b.make("token-01")
    b.now += 101
    b.make("token-02")
    assert [b.state(token) for token in ("token-01", "token-02")] == ["unknown", "done"]
    with pytest.raises(NotTaken):
        b.submit("token-01")
    b.now += 1001
    b.restart()
    b.jobs.close("token-02")
    b.restart()
    assert b.submit("token-01")[1]


def test_the_oldest_are_dropped_when_all_together_are_too_much(bench):
    b = bench(keep_bytes=2500)
    for number in range(4):
        b.now += 1
        b.make(f"token-0{number}", answered(images=["x" * 1000]))
    assert [b.state(f"token-0{number}") for number in range(4)] == [
        "unknown",
        "unknown",
        "done",
        "done",
    ]


def test_no_more_than_so_many_wait(bench):
    b = bench(waiting=2)
    b.submit("token-01")
    b.until("token-01", "running")
    b.submit("token-02")
    b.submit("token-03")
    with pytest.raises(NotTaken, match="Too many"):
        b.submit("token-04")


def test_a_file_that_can_not_be_read_is_left_alone(bench, caplog):
    b = bench()
    b.make("token-01")
    (b.folder / "token-02.job").write_text("no record")
    (b.folder / ".new-abc").write_text("half of a")
    b.restart()
    assert b.state("token-01") == "done"
    assert "token-02.job can't be read" in caplog.text
    assert not (b.folder / ".new-abc").exists()


# --- any order of all that -------------------------------------------------------------------

_ACTS = st.lists(
    st.tuples(
        st.sampled_from(["submit", "cancel", "close", "step", "finish", "restart"]),
        st.sampled_from(["token-01", "token-02", "token-03"]),
    ),
    max_size=14,
)


@given(acts=_ACTS)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_happens_a_token_is_run_once_and_a_cancel_is_never_undone(tmp_path_factory, acts):
    b = Bench(tmp_path_factory.mktemp("companion"), Limits())
    begun, unwanted = [], set()
    for act, token in acts:
        if act == "submit":
            try:
                b.submit(token)
            except NotTaken:
                assert token in unwanted
        elif act in ("cancel", "close"):
            known = b.jobs.cancel(token) if act == "cancel" else b.jobs.close(token)
            if act == "close" or known is not None:
                unwanted.add(token)
        elif act == "restart":
            begun += b.engine.begun
            b.restart()
        elif act == "step":
            b.engine.step(0)
        else:
            b.engine.finish()
        assert not {t for t in unwanted if b.state(t) in ("queued", "done", "failed")}
    begun += b.engine.begun
    b.jobs.stop()
    assert len(begun) == len(set(begun))
    for record in Records(b.folder).load():
        assert record.state in FINAL | {"queued"}


def test_a_program_that_stops_writes_nothing_more(tmp_path):
    engine = HandEngine()
    jobs = Jobs(engine, Records(tmp_path), Limits())
    jobs.start()
    jobs.submit("token-01", "txt2img", {})
    jobs.stop()
    engine.finish()
    [record] = Records(tmp_path).load()
    assert record.state == "queued"
