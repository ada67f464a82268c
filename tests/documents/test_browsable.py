"""Who is signed in with a browser gets DRF's pages; everybody else gets JSON."""

import base64

import pytest
from django.test import Client

from jobs.models import Job
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
JOBS = "/api/v2/jobs"


@pytest.fixture
def browser() -> Client:
    client = Client(headers={"Accept": BROWSER}, enforce_csrf_checks=True)
    client.force_login(factories.user())
    return client


def test_a_signed_in_browser_gets_a_page(browser):
    answer = browser.get(JOBS)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "rest_framework/js/ajax-form.js" in answer.text
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "<script>" not in answer.text


def test_the_page_shows_what_programs_would_get(browser):
    job = factories.job(owner=factories.user("other"))
    answer = browser.get(f"{JOBS}/{job.pk}/status")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "job_not_found" in answer.text


def test_the_page_shows_json_that_people_can_read(browser):
    text = browser.get(JOBS).text
    assert "\n    <span" in text or "\n    &quot;" in text or '\n    "' in text


def test_a_form_is_offered_only_for_what_one_may_do(browser):
    staff = Client(headers={"Accept": BROWSER})
    staff.force_login(factories.staff())
    form = 'data-method="PUT"'
    factories.server("a")
    assert form in staff.get("/api/v1/servers/a").text
    assert form not in browser.get("/api/v1/servers/a").text


def test_a_form_of_the_page_works_with_the_pages_token(browser):
    page = browser.get("/api/v2/generate")  # 405, with the form to post
    assert page.status_code == 405
    assert 'name="_content"' in page.text
    body = '{"generation_params": {"positive_prompt": "a cat"}}'
    send = {"data": body, "content_type": "application/json"}
    without = browser.post("/api/v2/generate", **send)
    assert (without.status_code, Job.objects.count()) == (403, 0)
    token = browser.cookies["csrftoken"].value
    answer = browser.post("/api/v2/generate", headers={"X-CSRFToken": token}, **send)
    assert answer.status_code == 202
    assert "mobilesd_job_id" in answer.text


@pytest.mark.parametrize("accept", ["*/*", "", "application/json", "application/json, text/html"])
def test_a_signed_in_script_gets_json(accept):
    client = Client(headers={"Accept": accept})
    client.force_login(factories.user())
    assert client.get(JOBS).headers["Content-Type"] == "application/json"


def test_a_key_gets_json_even_in_a_browser_that_is_signed_in(browser):
    _, token = factories.key(factories.user())
    prefix, _, secret = token.partition(".")
    pair = base64.b64encode(f"{prefix}:{secret}".encode()).decode()
    for headers in (
        {"Authorization": f"Api-Key {token}"},
        {"Authorization": f"Bearer {token}"},
        {"Authorization": f"Bearer {pair}"},
        {"X-API-Key": prefix, "X-API-Secret": secret},
        {"Authorization": "Api-Key wrong.key"},
    ):
        answer = browser.get(JOBS, headers=headers)
        assert answer.headers["Content-Type"] == "application/json", headers


def test_a_browser_without_a_sign_in_gets_a_json_error():
    answer = Api().get(JOBS, headers={"Accept": BROWSER})
    assert (answer.status_code, answer.json()["error"]) == (401, "authentication_required")


def test_a_parameter_called_format_changes_nothing(api):
    assert api.get(f"{JOBS}?format=api").json()["success"] is True
    assert api.get(f"{JOBS}?format=csv", headers={"Accept": BROWSER}).json()["success"] is True


@pytest.mark.parametrize("accept", ["text/html", BROWSER, "text/html;q=0.9, text/csv"])
def test_a_program_that_asks_for_a_page_gets_json(accept):
    api = Api(factories.key()[1])
    answer = api.get(JOBS, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert Client(headers={"Accept": accept}).get(JOBS).json()["error"] == "authentication_required"
