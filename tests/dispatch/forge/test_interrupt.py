"""Interrupt has no task id and the answer does not tell: 200, with a half-baked picture."""

import uuid

from tests.dispatch.forge.helpers import wait_for


def sampling(forge, started):
    wait_for(
        lambda: (
            (p := forge.dispatcher.progress(started.token, preview=False, task_ids=True))
            and p.sampling
        )
    )


def test_interrupted_run_answers_200_with_fewer_pictures(drive):
    forge = drive(seconds=1.5)
    started = forge.begin(n_iter=3, steps=10)
    sampling(forge, started)
    forge.dispatcher.interrupt()
    answer = started.result()
    assert len(answer.pictures) == 1
    assert answer.rejected is None
    assert answer.warnings == []
    assert answer.generation_info["all_seeds"] == [1234, 1235, 1236], "as if all were there"


def test_interrupt_shows_while_it_runs_and_until_the_next_job_begins(drive):
    forge = drive(seconds=1.0)
    assert not forge.dispatcher.was_interrupted()
    started = forge.begin(steps=10)
    sampling(forge, started)
    assert not forge.dispatcher.was_interrupted(), "it says nothing while a job runs"
    forge.dispatcher.interrupt()
    started.result()
    wait_for(forge.dispatcher.was_interrupted)
    forge.run()
    assert not forge.dispatcher.was_interrupted()


def test_somebody_elses_interrupt_shows_in_the_progress(drive):
    forge = drive(seconds=1.0)
    forge.faults.add("foreign_interrupt", after_steps=2)
    started = forge.begin(steps=10, n_iter=2)
    seen = []
    while started.is_running:
        progress = forge.dispatcher.progress(started.token, preview=False, task_ids=True)
        seen.append(progress is not None and progress.interrupted)
    assert len(started.result().pictures) == 1
    assert forge.dispatcher.was_interrupted() or any(seen)


def test_attempt_is_alone_only_while_it_runs_and_nothing_waits(drive):
    forge = drive(seconds=0.4)
    look = forge.dispatcher
    assert not look.alone(uuid.uuid4(), frozenset()), "nothing runs"
    first = forge.begin(steps=10)
    sampling(forge, first)
    assert look.alone(first.token, frozenset())
    assert not look.alone(uuid.uuid4(), frozenset()), "somebody else's runs"
    second = forge.begin(steps=10)
    wait_for(lambda: not look.alone(first.token, frozenset()))
    assert not look.alone(second.token, frozenset())
    first.result()
    sampling(forge, second)
    assert look.alone(second.token, frozenset())
    second.result()


def test_interrupt_of_a_dead_server_is_only_logged(forge, caplog):
    forge.fake.stop()
    forge.dispatcher.interrupt()
    assert "Nothing listens" in caplog.text
    assert not forge.dispatcher.was_interrupted()


def test_interrupt_is_sent_once_where_the_connection_breaks(scripted):
    """Sent again it would hit the next job."""
    server = scripted(lambda connection, request: None)
    server.driver().interrupt()
    assert len(server.requests) == 1
