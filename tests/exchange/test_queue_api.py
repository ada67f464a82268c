"""The queue as a file over REST."""

import pytest

from jobs.models import Job
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db


def test_what_is_exported_can_be_imported(api, anna):
    factories.job(owner=anna)
    document = api.get("/api/v2/queue/export")
    assert document.headers["Content-Type"] == "application/json"
    assert "mobilesd-queue.json" in document.headers["Content-Disposition"]
    body = document.content
    Job.objects.all().delete()

    trial = api.send("POST", "/api/v2/queue/import?dry_run=true", body).json()
    assert (trial["dry_run"], len(trial["made"]), Job.objects.count()) == (True, 1, 0)
    first = api.send("POST", "/api/v2/queue/import", body).json()
    again = api.send("POST", "/api/v2/queue/import", body).json()
    assert len(first["made"]) == 1
    assert again["made"] == []
    assert again["already_here"] == first["made"]
    assert Job.objects.get().owner == anna


def test_it_needs_the_scopes_of_reading_and_submitting(anna):
    reader = Api(factories.key(anna, scopes=["jobs:read"])[1])
    assert reader.send("POST", "/api/v2/queue/import", {}).status_code == 403
    writer = Api(factories.key(anna, scopes=["jobs:write"])[1])
    assert writer.get("/api/v2/queue/export").status_code == 403


def test_an_import_counts_for_the_quota(anna):
    factories.job(owner=anna)
    factories.job(owner=anna)
    full = Api(factories.key(anna)[1])
    body = full.get("/api/v2/queue/export").content
    Job.objects.all().delete()
    bounded = Api(factories.key(anna, jobs_per_day=1)[1])
    answer = bounded.send("POST", "/api/v2/queue/import", body)
    assert answer.json()["error"] == "quota_exceeded"
    assert not Job.objects.exists()


def test_too_much_for_one_answer_points_to_the_command(api, anna, settings):
    settings.MAX_BODY_BYTES = 1000
    factories.job(owner=anna, generation_params={"positive_prompt": "a" * 2000, "seed": 1})
    answer = api.get("/api/v2/queue/export")
    assert answer.status_code == 413
    assert "export_queue" in answer.json()["details"]["hint"]


def test_a_body_that_is_no_queue_is_refused(api):
    answer = api.send("POST", "/api/v2/queue/import", {"jobs": []})
    assert answer.status_code == 400
    assert "mobilesd" in answer.json()["details"]["fields"]
