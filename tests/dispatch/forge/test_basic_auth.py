"""Basic auth guards Forge's own routes; the password shows nowhere."""

import base64
import logging
import uuid

import pytest

from dispatch.dispatchers.base import Address, NeverReached
from tests.dispatch.forge.helpers import http, order

SECRET = "s3cret-Päss:word"


def test_right_password_opens_lists_progress_and_runs(drive):
    forge = drive(api_auth="me:secret", username="me", password="secret")
    assert forge.dispatcher.probe().health == "healthy"
    assert len(forge.run("nightjar_photo").pictures) == 1
    assert forge.dispatcher.progress(uuid.uuid4(), preview=False, task_ids=False) is not None


@pytest.mark.parametrize("sign_in", [{}, {"username": "me", "password": "wrong"}])
def test_wrong_or_no_password_is_refused_and_never_reached_the_server(drive, sign_in):
    forge = drive(api_auth="me:secret", **sign_in)
    assert forge.dispatcher.probe().health == "refused"
    with pytest.raises(NeverReached) as caught:
        forge.run(inventory=None)
    assert caught.value.health == "refused"
    assert forge.fake.log.runs() == []
    with pytest.raises(NeverReached):
        forge.dispatcher.inventory()


@pytest.mark.parametrize("status", [401, 403])
def test_sign_in_page_of_a_proxy_is_refused_as_well(scripted, status):
    driver = scripted(http(status, b"<h1>Sign in</h1>", "text/html")).driver()
    assert driver.probe().health == "refused"
    with pytest.raises(NeverReached) as caught:
        driver.run(driver.prepare(order(), None), uuid.uuid4())
    assert caught.value.health == "refused"


def test_short_and_long_requests_send_the_same_header_in_utf_8(scripted):
    server = scripted(http(status=500, body={"error": "x"}))
    driver = server.driver(username="jürgen", password=SECRET)
    driver.probe()
    with pytest.raises(Exception, match="answered with an error"):
        driver.run(driver.prepare(order(), None), uuid.uuid4())
    sent = {request.headers["authorization"] for request in server.requests}
    assert sent == {"Basic " + base64.b64encode(f"jürgen:{SECRET}".encode()).decode()}
    assert len(server.requests) == 2


def test_password_is_in_no_log_repr_or_error(scripted, caplog):
    caplog.set_level(logging.DEBUG)
    server = scripted(http(401, {"detail": "Incorrect username or password"}))
    driver = server.driver(username="me", password=SECRET)
    shown = [repr(driver.address), repr(Address("http://a", "me", SECRET)), str(driver.probe())]
    driver.interrupt()
    driver.heal("x")
    for call in (driver.inventory, lambda: driver.run(driver.prepare(order(), None), uuid.uuid4())):
        with pytest.raises(NeverReached) as caught:
            call()
        shown.append(repr(caught.value) + caught.value.message)
    encoded = base64.b64encode(f"me:{SECRET}".encode()).decode()
    for text in (*shown, caplog.text):
        assert SECRET not in text
        assert encoded not in text
