"""What became of a job, in words: pure, from rows that need no database."""

import uuid
from datetime import UTC, datetime, timedelta

from jobs.choices import Outcome, Status
from jobs.models import Attempt, Event, Job
from jobs.timeline import Origin, timeline

NOBODY = Origin()
START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def job(**fields):
    return Job(created_at=START, updated_at=START, **fields)


def attempt(number: int, taken: float, **moments):
    times = {name: at(value) if name.endswith("_at") else value for name, value in moments.items()}
    return Attempt(
        number=number, server_alias="gpu", lane=uuid.uuid4(), created_at=at(taken), **times
    )


def event(seconds: float, kind: str, **payload):
    return Event(kind=kind, payload=payload, at=at(seconds))


def told(job, attempts=(), events=(), origin=NOBODY):
    return timeline(job, attempts, events, origin)


def texts(steps):
    return [step.text for step in steps]


def test_who_submitted_it_from_where_with_which_key():
    origin = Origin("anna", "“phone” (Ab12Cd34)", "Forge Extension", "10.0.0.7")
    [step] = told(job(), origin=origin)
    assert step.text == (
        "Submitted by anna with the key “phone” (Ab12Cd34) through Forge Extension from 10.0.0.7."
    )


def test_conditions_of_a_job_are_told_at_its_beginning():
    [step] = told(job(target_server_alias="gpu", not_before=at(60)))
    assert step.detail == "For the server gpu only. Not before 2026-03-01 12:01:00 UTC."


def test_a_run_is_told_from_claim_to_pictures_with_what_it_took():
    run = attempt(
        1,
        30,
        submitted_at=30.2,
        began_at=42.2,
        first_step_at=54.2,
        ended_at=60.2,
        cleared_at=60.2,
        outcome=Outcome.COMPLETED,
        expected_seconds=18.5,
    )
    events = [
        event(0, "job.created"),
        event(30, "job.status", status="processing", attempt=str(run.token), server_alias="gpu"),
        event(60.3, "image.created"),
        event(60.3, "image.created"),
        event(60.3, "job.status", status="completed", attempt=str(run.token), server_alias="gpu"),
    ]
    steps = told(job(status=Status.COMPLETED), [run], events)
    assert texts(steps) == [
        "Submitted.",
        "Attempt 1: gpu took it.",
        "Sent to gpu.",
        "gpu began.",
        "The first step is done.",
        "Attempt 1: Completed.",
        "Completed on gpu. 2 pictures stored.",
    ]
    assert [step.waited for step in steps] == [None, 30, None, 12, 12, 6, None]
    assert steps[1].detail == "Expected to take 18 s."
    assert steps[3].detail == "Its turn came 12 s after it was sent."
    assert steps[4].detail == "Loading the model and preparing took 12 s."
    assert steps[-1].tone == "good"


def test_an_error_is_told_once_with_its_kind_its_hint_and_its_code():
    error = {"code": "no_images", "message": "No picture came.", "hint": "Look there."}
    run = attempt(
        1,
        1,
        submitted_at=1,
        ended_at=2,
        outcome=Outcome.ERROR,
        error_class="transient",
        error_code="no_images",
        error_message="No picture came.",
        error_hint="Look there.",
    )
    steps = told(
        job(status=Status.FAILED), [run], [event(2.1, "job.status", status="failed", error=error)]
    )
    ended, failed = steps[-2:]
    assert ended.detail == "No picture came. A passing trouble: another try may help."
    assert (ended.hint, ended.code, ended.tone) == ("Look there.", "no_images", "bad")
    assert (failed.text, failed.detail, failed.hint) == ("Failed.", "", "")


def test_a_failure_of_its_own_is_told_in_full():
    error = {"code": "expired", "message": "Its deadline passed.", "hint": "Retry it."}
    step = told(job(), events=[event(9, "job.status", status="failed", error=error)])[-1]
    assert (step.detail, step.hint, step.code) == ("Its deadline passed.", "Retry it.", "expired")


def test_what_is_done_differently_is_a_step_of_its_attempt():
    run = attempt(2, 1, measures=["with a tiled VAE"])
    assert "Done differently: with a tiled VAE" in texts(told(job(), [run]))


def test_trying_again_by_itself_is_told_apart_from_somebodys_retry():
    waiting = job(status=Status.PENDING, retry_at=at(8))
    steps = told(
        waiting,
        events=[
            event(3, "job.status", status="pending"),
            event(4, "job.status", status="cancelled", by="anna", request_id="r"),
            event(5, "job.status", status="pending", by="ben", request_id="s"),
        ],
    )
    assert texts(steps)[1:] == ["Back in the queue.", "Cancelled by anna.", "Queued again by ben."]
    assert steps[1].detail == "Tried again at 2026-03-01 12:00:08 UTC."


def test_a_server_that_had_it_still_after_a_cancel_is_told():
    run = attempt(1, 1, submitted_at=1, ended_at=3, cleared_at=9, outcome=Outcome.CANCELLED)
    steps = told(job(status=Status.CANCELLED), [run])
    assert texts(steps)[-1] == "gpu is rid of it."
    assert "Cancelled" not in " ".join(texts(steps)), "the event says it, with who did it"


def test_an_event_of_which_nothing_is_known_is_shown_by_its_kind():
    assert texts(told(job(), events=[event(1, "job.sealed")]))[-1] == "job.sealed"


# --- Rounds -------------------------------------------------------------------------------


def made(number: int, begun: float, **fields):
    """Return a round of one picture that took three seconds."""
    moments = {"submitted_at": begun, "began_at": begun, "ended_at": begun + 3}
    return attempt(number, begun, images=1, outcome=Outcome.ROUND, **{**moments, **fields})


def started(run: Attempt, seconds: float):
    return event(seconds, "job.status", status="processing", attempt=str(run.token))


def test_rounds_that_follow_each_other_are_told_as_one_run():
    first, second = made(1, 1), made(2, 4)
    last = attempt(
        3, 7, submitted_at=7, began_at=7, ended_at=10, images=1, outcome=Outcome.COMPLETED
    )
    events = [*(started(run, run.number) for run in (first, second, last))]
    events += [event(10, "job.status", status="completed", attempt=str(last.token))]
    steps = told(job(status=Status.COMPLETED, images_wanted=3), [first, second, last], events)
    assert texts(steps) == [
        "Submitted.",
        "Attempt 1: gpu took it.",
        "Sent to gpu.",
        "gpu began.",
        "Attempt 3: Completed.",
        "Completed.",
    ]


def test_where_a_job_really_gave_way_it_is_told_what_is_made_and_to_what():
    first, second = made(1, 1), made(2, 4)
    later = attempt(3, 20, submitted_at=20, images=1)
    way = "It gives way to an interactive job."
    events = [
        *(started(run, run.number) for run in (first, second)),
        event(7, "job.status", status="pending", attempt=str(second.token), text=way),
        started(later, 20),
    ]
    steps = told(job(status=Status.PROCESSING, images_wanted=8), [first, second, later], events)
    assert texts(steps)[4:] == [
        "2 of 8 pictures are made.",
        way,
        "Attempt 3: gpu took it.",
        "Sent to gpu.",
    ]


def test_while_a_job_runs_its_newest_pictures_are_told():
    runs = [made(1, 1), made(2, 4), attempt(3, 7, submitted_at=7, images=1)]
    steps = told(job(status=Status.PROCESSING, images_wanted=8), runs)
    assert texts(steps)[4:] == ["2 of 8 pictures are made."]


def test_an_error_in_a_later_round_is_told_behind_what_was_made():
    failed = attempt(2, 4, submitted_at=4, ended_at=5, outcome=Outcome.ERROR, images=1)
    steps = told(job(status=Status.PENDING, images_wanted=8), [made(1, 1), failed])
    assert "Attempt 2: The backend answered with an error." in texts(steps)
