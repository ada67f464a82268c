"""--nowebui has no /internal routes and so no task ids: the one global progress has to do."""

import uuid

from dispatch.dispatchers.base import Presence
from tests.dispatch.forge.helpers import wait_for


def test_probe_says_that_there_are_no_task_ids(drive):
    probe = drive(nowebui=True).dispatcher.probe()
    assert (probe.health, probe.has_task_ids) == ("healthy", False)
    assert drive().dispatcher.probe().has_task_ids


def test_lists_and_runs_need_no_page(drive):
    forge = drive(nowebui=True)
    assert len(forge.run("nightjar_photo").pictures) == 1


def test_progress_and_presence_are_those_of_whatever_runs(drive):
    forge = drive(nowebui=True, seconds=0.6)
    look = forge.dispatcher
    assert not look.progress(uuid.uuid4(), preview=False, task_ids=False).active
    started = forge.begin(steps=6)
    progress = wait_for(
        lambda: (p := look.progress(started.token, preview=False, task_ids=False)).sampling and p
    )
    assert progress.active
    assert 0 < progress.fraction < 1
    assert look.presence(started.token, task_ids=False) is Presence.HERE
    started.result()
    assert not look.progress(started.token, preview=False, task_ids=False).active
    assert look.presence(started.token, task_ids=False) is Presence.GONE


def test_a_lane_that_expects_ids_sees_the_run_all_the_same(drive):
    """The probe could not tell: it was too slow. Taken for gone, the job would be sent twice."""
    forge = drive(nowebui=True, seconds=0.6)
    started = forge.begin(steps=6)
    wait_for(
        lambda: (
            (p := forge.dispatcher.progress(started.token, preview=False, task_ids=True))
            and p.active
        )
    )
    assert forge.dispatcher.presence(started.token, task_ids=True) is Presence.HERE
    started.result()
    assert forge.dispatcher.presence(started.token, task_ids=True) is Presence.GONE


def test_nothing_is_interrupted_on_purpose_without_ids(drive):
    forge = drive(nowebui=True)
    assert not forge.dispatcher.alone(uuid.uuid4(), frozenset())
    assert forge.dispatcher.leftovers() == frozenset()
