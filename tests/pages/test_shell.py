"""Signing in, the first account, the manifest, and what holds for all pages."""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from mobilesd import first_run
from mobilesd.http.pages import CONTENT_SECURITY_POLICY
from tests import factories
from tests.pages.conftest import HTMX

PAGES = ["/", "/new", "/servers", "/queue/active", "/queue/done", "/queue/ended"]


@pytest.mark.parametrize("path", [*PAGES, "/pictures/pick", "/servers/add"])
@pytest.mark.django_db
def test_a_page_asks_to_sign_in_first(client, path):
    answer = client.get(path)
    assert answer.status_code == 302
    assert answer.url == f"/sign-in?next={path}"


@pytest.mark.django_db
def test_an_open_page_is_sent_to_sign_in_as_a_whole(client):
    answer = client.get("/queue/active", headers=HTMX)
    assert answer.status_code == 204
    assert answer.headers["HX-Redirect"] == "/sign-in?next=/queue/active"


def test_signing_in_leads_to_where_one_wanted_to_go(client, member):
    sent = {"username": "ben", "password": factories.PASSWORD, "next": "/servers"}
    answer = client.post("/sign-in", sent)
    assert (answer.status_code, answer.url) == (302, "/servers")


def test_signing_in_never_leads_away(client, member):
    sent = {"username": "ben", "password": factories.PASSWORD, "next": "https://evil.example/"}
    assert client.post("/sign-in", sent).url == "/"


def test_a_wrong_password_keeps_the_name_and_says_so(client, member):
    page = client.post("/sign-in", {"username": "ben", "password": "wrong"}).text
    assert "don't belong together" in page
    assert 'value="ben"' in page
    assert "wrong" not in page


@pytest.mark.django_db
def test_without_an_account_the_page_names_the_first_run_link(client):
    assert "first-run link" in client.get("/sign-in").text


def test_signing_out_ends_the_session(browser):
    assert browser.post("/sign-out").status_code == 302
    assert browser.get("/").status_code == 302


def test_signing_out_by_a_link_does_nothing(browser):
    assert browser.get("/sign-out").status_code == 405
    assert browser.get("/").status_code == 200


@pytest.mark.parametrize("path", ["/sign-in", "/new", "/servers/add"])
def test_a_form_without_its_token_is_refused(path, db):
    client = Client(enforce_csrf_checks=True)
    client.force_login(factories.staff())
    answer = client.post(path, {"prompt": "x", "alias": "x", "url": "http://x"})
    assert answer.status_code == 403
    assert "open for too long" in answer.text


def test_only_staff_get_a_link_to_the_administration(browser, staff_browser):
    assert 'href="/admin/"' not in browser.get("/").text
    assert 'href="/admin/"' in staff_browser.get("/").text


@pytest.mark.parametrize("path", PAGES)
def test_pages_forbid_what_is_inline_or_from_elsewhere(browser, path):
    answer = browser.get(path)
    assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    page = answer.text
    assert "<style" not in page
    assert " style=" not in page
    assert " onclick=" not in page
    assert "http://" not in page.replace('placeholder="http://', "")
    assert "https://" not in page
    assert "<script>" not in page


def test_a_part_of_a_page_is_never_kept_by_the_browser(browser):
    assert browser.get("/servers", headers=HTMX).headers["Cache-Control"] == "no-store"
    assert browser.get("/servers").headers["Cache-Control"] == "private, no-cache"


def test_an_unknown_address_is_a_page(browser):
    answer = browser.get("/nothing-here")
    assert answer.status_code == 404
    assert "There is nothing at this address." in answer.text


def test_too_large_a_form_is_refused_before_it_is_read(browser, settings):
    settings.MAX_BODY_BYTES = 1000
    answer = browser.post("/new", {"prompt": "x" * 2000})
    assert answer.status_code == 413
    assert "too large" in answer.text


def test_the_manifest_names_icons_that_exist(client):
    answer = client.get("/manifest.webmanifest")
    assert answer.headers["Content-Type"] == "application/manifest+json"
    from django.contrib.staticfiles import finders

    for icon in answer.json()["icons"]:
        assert finders.find(icon["src"].removeprefix("/static/")), icon


def test_pages_that_name_no_icon_get_the_logo(client):
    assert client.get("/favicon.ico").url == "/static/icons/logo.svg"


# --- The first account ------------------------------------------------------------------------

GOOD = {"username": "anna", "password1": "a long enough one", "password2": "a long enough one"}


@pytest.mark.django_db
def test_the_first_run_link_makes_one_administrator_and_signs_in(client):
    token = first_run.issue()
    assert "Make the first account" in client.get(f"/first-run/{token}").text
    assert client.get(f"/first-run/{token}").status_code == 200  # looking uses nothing up

    answer = client.post(f"/first-run/{token}", GOOD)

    assert answer.url == "/"
    user = get_user_model().objects.get()
    assert (user.username, user.is_staff, user.is_superuser) == ("anna", True, True)
    assert client.get("/").status_code == 200
    again = Client().post(f"/first-run/{token}", {**GOOD, "username": "eve"})
    assert again.status_code == 410
    assert get_user_model().objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"password2": "another one"}, "didn’t match"),
        ({"password1": "short", "password2": "short"}, "too short"),
        ({"username": ""}, "required"),
    ],
)
def test_a_wrong_form_does_not_use_the_link_up(client, change, words):
    token = first_run.issue()
    answer = client.post(f"/first-run/{token}", {**GOOD, **change})
    assert answer.status_code == 422
    assert words in answer.text
    assert not get_user_model().objects.exists()
    assert client.post(f"/first-run/{token}", GOOD).status_code == 302


@pytest.mark.django_db
def test_a_guessed_link_says_what_to_do(client):
    first_run.issue()
    answer = client.get("/first-run/guess")
    assert answer.status_code == 410
    assert "prints a new link" in answer.text


@pytest.mark.django_db
def test_two_people_with_one_link_make_one_account(client, monkeypatch):
    token = first_run.issue()
    monkeypatch.setattr(first_run, "redeem", lambda _: False)  # the other one was faster
    assert client.post(f"/first-run/{token}", GOOD).status_code == 410
    assert not get_user_model().objects.exists()


def test_a_part_that_is_gone_leaves_the_toast_to_the_next_page(browser, member):
    job = factories.job(owner=member)
    browser.post(f"/jobs/{job.pk}/delete", {"leave": "1"}, headers=HTMX)
    assert browser.get(f"/jobs/{job.pk}", headers=HTMX).status_code == 404
    assert "Deleted." in browser.get("/").content.decode()
