"""A failed job stays `active`, one that failed before its start `queued`, for ever."""

import uuid

import pytest

from dispatch.dispatchers.base import BackendError, Presence
from tests.dispatch.forge.helpers import http, wait_for


def test_job_that_ended_with_500_is_gone_although_it_stays_active(forge):
    token = uuid.uuid4()
    forge.faults.add("http_500")
    with pytest.raises(BackendError):
        forge.run(token=token)
    assert forge.dispatcher.progress(token, preview=False, task_ids=True).active, "the lie"
    assert forge.dispatcher.presence(token, task_ids=True) is Presence.GONE


def test_job_that_failed_before_its_start_is_gone_although_it_stays_queued(forge):
    token = uuid.uuid4()
    with pytest.raises(BackendError):
        forge.run(token=token, kind="img2img", init_images=["xxxx"])
    assert forge.fake.engine.tasks.pending() == [str(token)], "the lie"
    assert forge.dispatcher.presence(token, task_ids=True) is Presence.GONE


def test_leftovers_of_an_idle_server_do_not_count_as_waiting(drive):
    forge = drive(seconds=0.4)
    stale = uuid.uuid4()
    with pytest.raises(BackendError):
        forge.run(token=stale, kind="img2img", init_images=["xxxx"])
    look = forge.dispatcher
    leftovers = look.leftovers()
    assert leftovers == {str(stale)}
    started = forge.begin(steps=10)
    wait_for(lambda: look.alone(started.token, leftovers))
    assert not look.alone(started.token, frozenset())
    assert look.leftovers() == frozenset(), "what waits while a job runs may be alive"
    started.result()


def test_running_and_waiting_attempts_are_here_and_unknown_ones_are_gone(drive):
    forge = drive(seconds=0.4)
    first, second = forge.begin(steps=10), None
    wait_for(lambda: forge.dispatcher.progress(first.token, preview=False, task_ids=True).active)
    second = forge.begin(steps=10)
    wait_for(lambda: str(second.token) in forge.fake.engine.tasks.pending())
    look = forge.dispatcher
    assert look.presence(first.token, task_ids=True) is Presence.HERE
    assert look.presence(second.token, task_ids=True) is Presence.HERE
    assert look.presence(uuid.uuid4(), task_ids=True) is Presence.GONE
    waiting = look.progress(second.token, preview=False, task_ids=True)
    assert not waiting.active
    assert waiting.text == "In queue: 1/1"
    first.result()
    second.result()
    assert look.presence(second.token, task_ids=True) is Presence.GONE


def test_dead_server_has_nothing_and_a_silent_one_is_unknown(forge, scripted):
    token = uuid.uuid4()
    for task_ids in (True, False):
        garbage = scripted(http(body=b"nonsense")).driver()
        assert garbage.presence(token, task_ids=task_ids) is Presence.UNKNOWN
        failing = scripted(http(500, {"error": "x"})).driver()
        assert failing.presence(token, task_ids=task_ids) is Presence.UNKNOWN
    forge.fake.stop()
    assert forge.dispatcher.presence(token, task_ids=True) is Presence.GONE
