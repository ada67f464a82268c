"""Never reached, or lost: whether the request may have been taken decides what follows."""

import socket
import threading
import uuid

import pytest

from dispatch.dispatchers.base import Address, LostAnswer, NeverReached, Presence
from dispatch.dispatchers.forge import ForgeDispatcher
from dispatch.dispatchers.forge.post import Post
from tests.dispatch.forge.helpers import answered, http, order, wait_for


def run(driver, **params):
    return driver.run(driver.prepare(order(**params), None), uuid.uuid4())


def test_connection_refused_never_reached_the_server(forge):
    forge.fake.stop()
    with pytest.raises(NeverReached) as caught:
        forge.run(inventory=None)
    assert caught.value.health == "offline"


@pytest.mark.parametrize("url", ["http://no-such-host.invalid:7860", "http://a..b:7860"])
def test_host_without_address_never_reached_the_server(url):
    driver = ForgeDispatcher(Address(url))
    with pytest.raises(NeverReached):
        run(driver)
    assert driver.probe().health == "offline"
    with pytest.raises(NeverReached):
        driver.inventory()


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "half_closed"])
def test_connection_that_ends_without_the_whole_answer_loses_it(forge, fault):
    request = forge.prepare()
    forge.faults.add(fault)
    with pytest.raises(LostAnswer) as caught:
        forge.dispatcher.run(request, uuid.uuid4())
    assert caught.value.code == "", "the job is not to blame"
    assert len(forge.fake.log.runs()) == 1, "sent once, and not again by a library"


def test_connection_that_is_reset_at_once_is_an_error_of_either_kind(forge):
    """The reset may come while connecting, or a moment later."""
    request = forge.prepare()
    forge.faults.add("refuse")
    with pytest.raises((LostAnswer, NeverReached)):
        forge.dispatcher.run(request, uuid.uuid4())


def test_server_that_dies_under_a_job_loses_its_answer_at_once(drive):
    forge = drive(seconds=20)
    started = forge.begin(steps=20)
    wait_for(lambda: forge.fake.log.runs())
    forge.fake.stop()
    with pytest.raises(LostAnswer):
        started.result(seconds=3)
    assert forge.dispatcher.presence(started.token, task_ids=True) is Presence.GONE


def test_job_goes_on_at_the_server_after_the_connection_broke(drive):
    forge = drive(seconds=0.5)
    started = forge.begin(steps=10)
    wait_for(lambda: forge.fake.engine.state.sampling_step)
    started.dispatcher.close()
    with pytest.raises(LostAnswer):
        started.result(seconds=3)
    assert forge.dispatcher.presence(started.token, task_ids=True) is Presence.HERE
    wait_for(lambda: forge.dispatcher.presence(started.token, task_ids=True) is Presence.GONE)
    assert forge.fake.log.runs()[0].status == 200


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n\r\n{"])
def test_closing_ends_the_wait_before_and_within_the_answer(scripted, head):
    holding = threading.Event()

    def hang(connection, request):
        connection.sendall(head)
        holding.set()
        connection.recv(1)

    driver = scripted(hang).driver()
    request = driver.prepare(order(), None)
    errors = []

    def work():
        try:
            driver.run(request, uuid.uuid4())
        except LostAnswer as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert holding.wait(5)
    driver.close()
    thread.join(3)
    assert not thread.is_alive()
    assert len(errors) == 1


def test_closing_before_it_is_sent_sends_nothing(scripted):
    server = scripted(http(body=answered()))
    post = Post(Address(server.url))
    post.abort()
    with pytest.raises(LostAnswer):
        post.send("/sdapi/v1/txt2img", {})
    assert server.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{}",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\xff\x00\xff",
    ],
)
def test_answer_that_is_no_whole_http_is_lost(scripted, answer):
    with pytest.raises(LostAnswer):
        run(scripted(answer).driver())


def test_answer_in_pieces_is_put_together(scripted):
    content = http(body=answered())
    _, _, body = content.partition(b"\r\n\r\n")
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]))
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"
    assert len(run(scripted(chunked).driver()).pictures) == 1


def test_waiting_has_no_time_limit_of_its_own(scripted, monkeypatch):
    """A read timeout would lose answers of long jobs (protocol rule 9)."""
    monkeypatch.setattr("dispatch.dispatchers.forge.post.CONNECT_SECONDS", 0.2)

    def late(connection, request):
        threading.Event().wait(0.6)
        connection.sendall(http(body=answered()))

    assert len(run(scripted(late).driver()).pictures) == 1


def test_peer_that_vanished_is_found_by_keep_alive(scripted):
    connection = Post(Address(scripted(b"").url))._connect()
    assert connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert connection.sock.gettimeout() is None
    connection.close()
