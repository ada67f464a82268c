"""Whether the companion at a Forge is there and fits, and what its answers mean."""

import logging
import time
import uuid
from pathlib import Path

import pytest

from dispatch.dispatchers.base import (
    Address,
    BackendError,
    ErrorClass,
    LostAnswer,
    NeverReached,
    Presence,
)
from dispatch.dispatchers.forge import ForgeDispatcher, companion
from dispatch.fakes.forge import FakeForge
from tests.dispatch.forge.helpers import Started, answered, http, order, wait_for

TOKEN = "a-token-that-is-long-enough"
STATE = {"progress": 0.0, "state": {"job": ""}}
HELLO = {
    "companion": "mobilesd",
    "version": "1.0.0",
    "protocol": 1,
    "engine": {"kinds": ["txt2img"], "cancels_running": True, "problems": []},
}
JOB = uuid.uuid4()


@pytest.fixture
def forge(tmp_path: Path):
    with FakeForge(seconds=0.0, companion=tmp_path) as fake:
        yield fake


def driver_of(fake, token=...):
    given = fake.companion.token if token is ... else token
    return ForgeDispatcher(Address(fake.url, companion_token=given))


def probed(server, hello, token=TOKEN):
    """Return what a probe says of a companion that answers hello like this."""
    idle, tasks = http(body=STATE), http(body={"tasks": []})
    scripted = server(idle, tasks, hello)
    return scripted.driver(companion_token=token).probe().companion


def submitted(server, *answers):
    """Run an order at a companion that answers like this to all but hello."""
    scripted = server(http(body=HELLO), *answers)
    driver = scripted.driver(companion_token=TOKEN)
    return driver.run(driver.prepare(order(), None), JOB), scripted


# --- is it there? ----------------------------------------------------------------------------


def test_one_that_fits_is_told(forge):
    found = driver_of(forge).probe().companion
    assert (found.ok, found.version) == (True, "1.0.0")
    assert found.text == "Companion 1.0.0: cancels exactly, results survive a restart."


def test_one_without_a_token_for_it_is_told_and_not_used(forge):
    driver = driver_of(forge, "")
    assert "Enter its token" in driver.probe().companion.text
    driver.run(driver.prepare(order(), None), JOB)
    assert driver.presence(JOB, task_ids=True) is Presence.GONE


def test_a_wrong_token_is_told(forge):
    found = driver_of(forge, TOKEN).probe().companion
    assert not found.ok
    assert "refuses the token" in found.text


def test_where_there_is_none_nothing_is_said(forge):
    with FakeForge(seconds=0.0) as plain:
        assert driver_of(plain, "").probe().companion is None
        assert "no companion answers" in driver_of(plain, TOKEN).probe().companion.text


@pytest.mark.parametrize(
    ("hello", "ok", "words"),
    [
        ({**HELLO, "protocol": 2}, False, "do not fit. Update the older one"),
        ({**HELLO, "engine": {"kinds": [], "problems": ["No API."]}}, False, "No API."),
        ({**HELLO, "engine": {**HELLO["engine"], "cancels_running": False}}, True, ": results"),
        ({**HELLO, "engine": [[[]]]}, False, "can run nothing"),
        ({"companion": "other"}, False, "no companion answers"),
        (["mobilesd"], False, "no companion answers"),
    ],
)
def test_what_it_says_of_itself_decides(scripted, hello, ok, words):
    found = probed(scripted, http(body=hello))
    assert found.ok is ok
    assert words in found.text


def test_a_page_instead_of_it_is_none(scripted):
    assert not probed(scripted, http(200, b"<html>", "text/html")).ok
    assert probed(scripted, http(404, b"<html>", "text/html"), token="") is None


def test_the_token_is_sent_in_a_header_alone_and_never_logged(scripted, caplog):
    caplog.set_level(logging.DEBUG)
    server = scripted(http(body=HELLO), http(404))
    driver = server.driver(companion_token=TOKEN)
    with pytest.raises((BackendError, NeverReached, LostAnswer)):
        driver.run(driver.prepare(order(), None), JOB)
    asked = [request for request in server.requests if request.path.startswith("/mobilesd/")]
    assert {request.headers.get("x-mobilesd-token") for request in asked} == {TOKEN}
    others = [request for request in server.requests if request not in asked]
    assert not any("x-mobilesd-token" in request.headers for request in others)
    assert not any(TOKEN in request.path for request in server.requests)
    assert TOKEN not in caplog.text + repr(driver.address)


def test_it_is_not_followed_elsewhere(scripted):
    thief = scripted(http(body=HELLO))
    moved = http(307, location=f"{thief.url}/mobilesd/v1/hello")
    assert not probed(scripted, moved).ok
    assert thief.requests == []


# --- its answers -----------------------------------------------------------------------------


def test_a_picture_is_the_same_as_without_it(forge):
    ours, plain = driver_of(forge), driver_of(forge, "")
    request = ours.prepare(order(), ours.inventory())
    through, direct = ours.run(request, JOB), plain.run(request, uuid.uuid4())
    assert through.pictures == direct.pictures
    drawn = {"subseed": 0}  # by each run anew
    assert {**through.generation_info, **drawn} == {**direct.generation_info, **drawn}
    assert (through.interrupted, direct.interrupted) == (False, None)


def test_who_asks_later_gets_the_same_answer_until_it_is_forgotten(forge):
    driver = driver_of(forge)
    request = driver.prepare(order(), driver.inventory())
    made = driver.run(request, JOB)
    other = driver_of(forge)
    assert other.presence(JOB, task_ids=True) is Presence.RESUMABLE
    assert other.resume(request, JOB).pictures == made.pictures
    other.forget(JOB)
    assert other.presence(JOB, task_ids=True) is Presence.GONE
    with pytest.raises(LostAnswer):
        other.resume(request, JOB)
    with pytest.raises(LostAnswer, match="given up"):
        driver.run(request, JOB)
    assert len(forge.log.runs()) == 1


def test_a_cancel_of_what_it_does_not_have_is_none(forge):
    assert driver_of(forge).cancel(JOB) is False
    assert driver_of(forge, "").cancel(JOB) is False


def test_progress_is_that_of_the_attempt(forge):
    forge.engine.seconds = 2
    driver, other = driver_of(forge), driver_of(forge)
    begun = [uuid.uuid4(), uuid.uuid4()]
    request = driver.prepare(order(steps=20), driver.inventory())
    for token in begun:
        other._companion._submit(
            {"token": str(token), "kind": "txt2img", "payload": dict(request.body)}
        )
    first = wait_for(lambda: _sampling(driver, begun[0]))
    assert first.active
    assert 0 < first.fraction < 1
    assert first.text.startswith("Step ")
    assert driver.progress(begun[1], preview=False, task_ids=True).waiting
    assert driver.progress(JOB, preview=False, task_ids=False).active, "the plain way, without ids"
    forge.engine.options.update({"show_progress_every_n_steps": 1})
    assert wait_for(
        lambda: driver.progress(begun[0], preview=True, task_ids=True).preview
    ).startswith(b"\xff\xd8\xff")
    assert driver.cancel(begun[0])
    assert driver.cancel(begun[1])


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (http(507, {"message": "The disk is full."}), BackendError, "The disk is full."),
        (http(409, {"error": "closed"}), LostAnswer, "given up"),
        (http(500, b"<html>", "text/html"), BackendError, "status 500"),
    ],
)
def test_a_job_that_is_not_taken_says_why(scripted, answer, error, words):
    with pytest.raises(error) as raised:
        submitted(scripted, answer)
    assert words in raised.value.message
    if error is BackendError:
        assert raised.value.error_class is ErrorClass.TRANSIENT


def test_one_that_has_gone_meanwhile_is_done_without(scripted):
    made, server = submitted(scripted, http(404, {"detail": "Not Found"}), http(body=answered()))
    assert len(made.pictures) == 1
    assert server.requests[-1].path == "/sdapi/v1/txt2img"


def test_after_a_lost_answer_it_is_not_done_without(scripted):
    """The job may be there: sent again another way it would be made twice."""
    drop = lambda connection, request: None  # noqa: E731
    with pytest.raises(LostAnswer):
        submitted(scripted, drop, http(404, {"detail": "Not Found"}))


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"state": "lost"}, LostAnswer),
        ({"state": "unknown"}, LostAnswer),
        ({"state": ["done"]}, LostAnswer),
        ({"state": "cancelled"}, BackendError),
    ],
)
def test_an_end_without_an_answer_is_told_apart(scripted, told, error):
    with pytest.raises(error):
        submitted(scripted, http(202, {"state": "queued"}), http(body=told))


def test_an_answer_without_end_is_cut_off(scripted):
    done = http(body={"state": "done", "status": 200})

    def endless(connection, request):
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
        while True:
            connection.sendall(b"x" * 1_000_000)

    with pytest.raises(LostAnswer, match="larger than"):
        submitted(scripted, http(202, {}), done, endless)


def test_somebody_elses_interrupt_is_passed_on(scripted):
    done = http(body={"state": "done", "status": 200, "interrupted": True})
    made, _ = submitted(scripted, http(202, {}), done, http(body=answered()))
    assert made.interrupted is True


# --- a server that is away -------------------------------------------------------------------


def test_a_lost_connection_is_given_up_after_a_while_only(scripted, monkeypatch):
    monkeypatch.setattr(companion, "UNREACHABLE_SECONDS", 0.6)
    drop = lambda connection, request: None  # noqa: E731
    with pytest.raises(LostAnswer, match="not answered for a while"):
        submitted(scripted, http(202, {}), drop)


def test_a_server_that_falls_silent_is_asked_again(scripted, monkeypatch):
    monkeypatch.setattr(companion, "SILENCE_SECONDS", 0.3)
    silent = lambda connection, request: time.sleep(2)  # noqa: E731
    done = http(body={"state": "done", "status": 200})
    made, server = submitted(scripted, http(202, {}), silent, done, http(body=answered()))
    assert len(made.pictures) == 1
    assert len(server.requests) == 5


def test_who_stops_waiting_gets_away_at_once(forge):
    forge.engine.seconds = 60
    driver = driver_of(forge)
    request = driver.prepare(order(), driver.inventory())
    driver._companion._submit({"token": str(JOB), "kind": "txt2img", "payload": dict(request.body)})
    waiting = driver_of(forge)

    run = Started(waiting, request)
    run_token = run.token
    wait_for(lambda: driver._companion.state(run_token))
    waiting.close()
    with pytest.raises(LostAnswer):
        run.result(5)


def test_while_a_server_is_started_again_its_answers_are_not_given_up(forge, monkeypatch):
    driver = driver_of(forge)
    assert driver.probe().companion.ok
    forge.stop()
    assert driver.presence(JOB, task_ids=True) is Presence.UNKNOWN
    assert driver.cancel(JOB) is None, "it can't be told now"
    monkeypatch.setattr(companion, "STARTING_SECONDS", 0)
    assert driver.presence(JOB, task_ids=True) is Presence.GONE


def test_nor_while_its_routes_are_not_there_yet(scripted):
    server = scripted(http(404, {"detail": "Not Found"}))
    driver = server.driver(companion_token=TOKEN)
    assert driver.presence(JOB, task_ids=True) is Presence.UNKNOWN
    assert server.driver().presence(JOB, task_ids=True) is Presence.GONE


def _sampling(driver, token):
    found = driver.progress(token, preview=False, task_ids=True)
    return found if found and found.sampling else None
