"""The page Servers: health in words for all, changes for staff only."""

import json

import pytest

from dispatch.fakes.forge import FakeForge
from dispatch.models import Server
from jobs.choices import Status
from tests import factories
from tests.pages.conftest import HTMX

ADDED = {"alias": "gpu", "url": "http://192.168.1.20:7860/", "app_type": "forge"}


@pytest.fixture(autouse=True)
def _no_tasks(monkeypatch):
    """No worker runs here; who is woken belongs to other tests."""
    monkeypatch.setattr("django_q.tasks.async_task", lambda *_, **__: None)


def test_without_a_server_staff_are_led_to_adding_one(staff_browser, browser):
    assert 'href="/servers/add"' in staff_browser.get("/servers").text
    page = browser.get("/servers").text
    assert 'href="/servers/add"' not in page
    assert "Ask somebody who administrates" in page


def test_the_health_is_told_in_words(browser):
    factories.server("fine", loaded_checkpoint="xl/nice.safetensors")
    factories.server("away", health="offline", health_text="Nothing answers at port 9.")
    factories.server("off", enabled=False)
    factories.server("held", paused=True)
    page = browser.get("/servers").text
    for text in (
        "Healthy",
        "nice",
        "Offline",
        "Nothing answers at port 9.",
        "Switched off",
        "Paused · Healthy",
    ):
        assert text in page


def test_a_server_at_work_says_so(browser):
    factories.server("gpu")
    factories.attempt(factories.job(Status.PROCESSING, server_alias="gpu"))
    assert "Making a picture" in browser.get("/servers").text


def test_staff_add_a_server(staff_browser):
    answer = staff_browser.post(
        "/servers/add", {**ADDED, "username": "u", "password": "geheim"}, follow=True
    )
    assert answer.redirect_chain == [("/servers", 303)]
    assert "gpu is added." in answer.text
    server = Server.objects.get()
    assert (server.url, server.username, server.password) == (
        "http://192.168.1.20:7860",
        "u",
        "geheim",
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"alias": "two words"}, "It must be 1 to 64 letters"),
        ({"url": ""}, "It is missing."),
        ({"url": "ftp://x"}, "It must begin with http://"),
        ({"url": "http://u:p@host"}, "It must not hold a user name or password."),
    ],
)
def test_a_wrong_server_is_refused_at_its_field(staff_browser, change, words):
    answer = staff_browser.post("/servers/add", {**ADDED, "password": "geheim", **change})
    assert answer.status_code == 422
    assert words in answer.text
    assert "geheim" not in answer.text
    assert not Server.objects.exists()


def test_a_name_that_is_taken_is_refused_at_its_field(staff_browser):
    factories.server("gpu")
    answer = staff_browser.post("/servers/add", ADDED)
    assert answer.status_code == 422
    assert "There is a server &#x27;gpu&#x27; already." in answer.text


def test_a_form_that_is_saved_as_it_was_leaves_the_health_as_it_is(staff_browser):
    factories.server("gpu", username="u", password="geheim")
    same = {"url": "http://127.0.0.1:9", "app_type": "forge", "username": "u"}
    form = {**same, "interrupt": "careful", "description": "upstairs", "password": ""}
    assert staff_browser.post("/servers/gpu/edit", form).status_code == 303
    server = Server.objects.get()
    assert (server.description, server.health) == ("upstairs", "healthy")


def test_an_empty_password_keeps_the_one_there_is(staff_browser):
    factories.server("gpu", username="u", password="geheim")
    page = staff_browser.get("/servers/gpu/edit").text
    assert "geheim" not in page
    changed = {
        "url": "http://10.0.0.5:7860",
        "app_type": "forge",
        "username": "u",
        "interrupt": "never",
    }
    assert staff_browser.post("/servers/gpu/edit", {**changed, "password": ""}).status_code == 303
    server = Server.objects.get()
    assert (server.url, server.password, server.interrupt) == (
        "http://10.0.0.5:7860",
        "geheim",
        "never",
    )
    staff_browser.post("/servers/gpu/edit", {**changed, "forget_password": "1"})
    assert Server.objects.get().password == ""


@pytest.mark.parametrize(
    ("to", "field", "value"),
    [
        ("pause", "paused", True),
        ("resume", "paused", False),
        ("disable", "enabled", False),
        ("enable", "enabled", True),
    ],
)
def test_a_server_is_switched(staff_browser, to, field, value):
    factories.server("gpu", **{field: not value})
    answer = staff_browser.post("/servers/gpu/switch", {"to": to}, headers=HTMX)
    assert answer.status_code == 204
    assert "gpu" in json.loads(answer.headers["HX-Trigger"])["toast"]["text"]
    assert getattr(Server.objects.get(), field) is value


def test_an_unknown_switch_changes_nothing(staff_browser):
    factories.server("gpu")
    assert staff_browser.post("/servers/gpu/switch", {"to": "explode"}).status_code == 400


def test_a_server_is_deleted_but_not_at_work(staff_browser):
    factories.server("gpu")
    attempt = factories.attempt(factories.job(Status.PROCESSING, server_alias="gpu"))
    answer = staff_browser.post("/servers/gpu/delete", headers=HTMX)
    assert answer.status_code == 409
    assert "is making a picture" in json.loads(answer.headers["HX-Trigger"])["toast"]["text"]
    attempt.delete()
    assert staff_browser.post("/servers/gpu/delete", headers=HTMX).status_code == 204
    assert not Server.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_testing_the_connection_tells_what_answers(staff_browser):
    with FakeForge() as fake:
        factories.server("gpu", url=fake.url, health="unknown")
        answer = staff_browser.post("/servers/gpu/test", headers=HTMX)
    assert answer.status_code == 204
    assert "gpu answers, in" in json.loads(answer.headers["HX-Trigger"])["toast"]["text"]
    answer = staff_browser.post("/servers/gpu/test", headers=HTMX)
    assert answer.status_code == 409
    assert json.loads(answer.headers["HX-Trigger"])["toast"]["kind"] == "error"


@pytest.mark.parametrize("path", ["add", "gpu/edit", "gpu/test", "gpu/switch", "gpu/delete"])
def test_a_member_changes_nothing(browser, path):
    factories.server("gpu")
    answer = browser.post(f"/servers/{path}", {**ADDED, "alias": "other", "to": "disable"})
    assert answer.status_code == 403
    assert "Only staff may change servers." in answer.text
    assert [(s.alias, s.enabled) for s in Server.objects.all()] == [("gpu", True)]


@pytest.mark.parametrize("path", ["edit", "test", "switch", "delete"])
def test_an_unknown_server_is_not_there(staff_browser, path):
    assert staff_browser.post(f"/servers/nowhere/{path}", {"to": "pause"}).status_code == 404


def test_a_companion_token_is_entered_kept_and_removed(staff_browser):
    token = "a-token-that-is-long-enough"
    factories.server("gpu", url="http://10.0.0.5:7860", companion_text="Enter its token.")
    page = staff_browser.get("/servers/gpu/edit").text
    assert "Companion token" in page
    assert "Enter its token." in page
    form = {"url": "http://10.0.0.5:7860", "app_type": "forge", "interrupt": "never"}
    sent = staff_browser.post("/servers/gpu/edit", {**form, "companion_token": token})
    assert sent.status_code == 303
    assert Server.objects.get().companion_token == token
    assert token not in staff_browser.get("/servers/gpu/edit").text
    staff_browser.post("/servers/gpu/edit", {**form, "companion_token": ""})
    assert Server.objects.get().companion_token == token
    staff_browser.post("/servers/gpu/edit", {**form, "forget_companion_token": "1"})
    assert Server.objects.get().companion_token == ""


def test_a_wrong_companion_token_is_refused_at_its_field(staff_browser):
    factories.server("gpu")
    form = {"url": "http://10.0.0.5:7860", "app_type": "forge", "interrupt": "never"}
    answer = staff_browser.post("/servers/gpu/edit", {**form, "companion_token": "short"})
    assert answer.status_code == 422
    assert "must have 20 to 200" in answer.text
    assert Server.objects.get().companion_token == ""


def test_the_list_says_what_the_companion_gives_or_lacks(browser):
    words = "Companion 1.0.0: cancels exactly, results survive a restart."
    factories.server("gpu", companion_ok=True, companion_text=words)
    factories.server(
        "old", companion_text="The token is refused.", companion_token="a-token-long-enough-20"
    )
    page = browser.get("/servers").text
    assert words in page
    assert "The token is refused." in page
