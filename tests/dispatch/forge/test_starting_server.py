"""404 while Forge starts means "not ready", not "wrong server" and not "no init image"."""

import uuid

import pytest

from dispatch.dispatchers.base import BackendError, ErrorClass, NeverReached, Presence
from tests.dispatch.forge.helpers import http, wait_for


def test_start_up_is_seen_as_offline_then_starting_then_healthy(drive):
    forge = drive(startup_seconds=0.6)
    seen = []

    def healthy():
        health = forge.dispatcher.probe().health
        if health not in seen:
            seen.append(health)
        return health == "healthy"

    wait_for(healthy)
    assert seen == ["offline", "starting", "healthy"]


def test_run_on_a_starting_server_never_reached_it(forge):
    request = forge.prepare()
    forge.faults.add("not_ready", times=2)
    assert forge.dispatcher.probe().health == "starting"
    with pytest.raises(NeverReached) as caught:
        forge.dispatcher.run(request, uuid.uuid4())
    assert caught.value.health == "starting"


def test_starting_server_has_forgotten_every_attempt(forge):
    forge.faults.add("not_ready", times=4)
    for task_ids in (True, False):
        presence = forge.dispatcher.presence(uuid.uuid4(), task_ids=task_ids)
        assert presence is Presence.GONE


def test_img2img_without_a_picture_is_refused_for_good(forge):
    with pytest.raises(BackendError) as caught:
        forge.run(kind="img2img")
    assert caught.value.error_class is ErrorClass.PERMANENT
    assert caught.value.code == "init_image_missing"


def test_loras_that_are_not_listed_yet_do_not_spoil_the_other_lists(forge):
    forge.faults.add("not_ready", path="/sdapi/v1/loras")
    lists = forge.dispatcher.inventory()
    assert lists.loras == ()
    assert len(lists.checkpoints) == 4
    assert forge.dispatcher.inventory().loras == ("watercolour", "film_grain")


def test_web_page_that_says_404_is_no_starting_forge(scripted):
    driver = scripted(http(404, b"<h1>Not Found</h1>", "text/html")).driver()
    probe = driver.probe()
    assert (probe.health, "404" in probe.text) == ("offline", True)
    assert driver.presence(uuid.uuid4(), task_ids=True) is Presence.UNKNOWN


def test_only_forges_own_answer_counts_as_ready(scripted):
    for answer in (http(body=b"[]"), http(body=b'{"state": 3}'), http(body=b'"progress"')):
        probe = scripted(answer).driver().probe()
        assert probe.health == "offline"
        assert probe.text == "What answers there is no Forge."
