"""contracts/api.md, the row of `/api/v2/jobs/{id}/history`."""

import json
import uuid

import pytest
from django.db import transaction

from jobs import transitions
from jobs.choices import Outcome
from jobs.models import Event
from jobs.services import history as service
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
PARAMS = {"positive_prompt": "a very secret prompt", "width": 512, "height": 512, "steps": 4}


def path(job_id):
    return f"/api/v2/jobs/{job_id}/history"


@pytest.fixture
def job_id(api):
    return api.send("POST", "/api/v2/generate", {"generation_params": PARAMS}).json()[
        "mobilesd_job_id"
    ]


def tried(job_id):
    """Let a job be tried twice: out of memory first, then completed."""
    for outcome in (Outcome.ERROR, Outcome.COMPLETED):
        with transaction.atomic():
            lane = uuid.uuid4()
            attempt = transitions.claim(job_id, server_alias="gpu", lane=lane)
            transitions.mark_submitted(attempt.token, lane=lane)
            if outcome == Outcome.COMPLETED:
                transitions.complete(attempt.token, generation_info={}, warnings=[])
                continue
            trouble = transitions.Trouble("out_of_memory", "The GPU is full.", "Make it smaller.")
            ended = transitions.end_attempt(attempt.token, outcome=outcome, trouble=trouble)
            transitions.requeue(ended, trouble=trouble, counted=True)


def test_it_answers_attempts_and_events_oldest_first(api, job_id):
    tried(job_id)
    api.send("POST", f"/api/v2/jobs/{job_id}/move", {"to": "top"})
    answer = api.send("GET", path(job_id))
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"success", "mobilesd_job_id", "attempts", "events", "complete"}
    assert (body["success"], body["mobilesd_job_id"], body["complete"]) == (True, job_id, True)
    assert [(row["number"], row["outcome"]) for row in body["attempts"]] == [
        (1, "error"),
        (2, "completed"),
    ]
    assert set(body["attempts"][0]) == {
        "attempt",
        "number",
        "server_alias",
        "outcome",
        "text",
        "error",
        "creation_timestamp",
        "submitted_timestamp",
        "completion_timestamp",
        "cleared_timestamp",
    }
    assert body["attempts"][0]["error"] == {
        "code": "out_of_memory",
        "message": "The GPU is full.",
        "hint": "Make it smaller.",
    }
    assert body["attempts"][1]["error"] is None
    assert set(body["events"][0]) == {"id", "type", "text", "timestamp", "data"}
    assert [row["id"] for row in body["events"]] == sorted(row["id"] for row in body["events"])
    texts = [row["text"] for row in body["events"]]
    assert texts.pop(0).startswith("Submitted by the key ")
    assert texts == [
        "Started on gpu.",
        "Back in the queue. The GPU is full.",
        "Started on gpu.",
        "Completed on gpu.",
    ]


def test_it_has_no_prompt_and_nothing_of_other_jobs(api, job_id, member):
    other = factories.job(owner=member)
    factories.attempt(other)
    Event.objects.create(kind="job.status", job=other, owner=member, at=other.created_at)
    text = json.dumps(api.send("GET", path(job_id)).json())
    assert "secret" not in text
    assert str(other.pk) not in text


def test_a_long_history_keeps_the_newest(api, job_id, monkeypatch):
    monkeypatch.setattr(service, "MAX_ROWS", 3)
    tried(job_id)
    body = api.send("GET", path(job_id)).json()
    assert (body["complete"], len(body["events"]), len(body["attempts"])) == (False, 3, 2)
    assert body["events"][-1]["text"] == "Completed on gpu."


def test_an_attempt_is_told_in_words(api, job_id):
    with transaction.atomic():
        lane = uuid.uuid4()
        attempt = transitions.claim(job_id, server_alias="gpu", lane=lane)
    assert api.send("GET", path(job_id)).json()["attempts"][0]["text"] == "About to be sent."
    with transaction.atomic():
        transitions.mark_submitted(attempt.token, lane=lane)
    assert api.send("GET", path(job_id)).json()["attempts"][0]["text"] == "Running."
    api.send("POST", f"/api/v2/jobs/{job_id}/cancel")
    body = api.send("GET", path(job_id)).json()
    assert body["attempts"][0]["text"] == "Cancelled. The server may still be at it."
    assert body["events"][-1]["text"].startswith("Cancelled by the key ")


def test_the_history_of_somebody_elses_job_is_not_found(job_id):
    stranger = Api(factories.key(factories.user())[1])
    for name in (job_id, uuid.uuid4()):
        answer = stranger.send("GET", path(name))
        assert (answer.status_code, answer.json()["error"]) == (404, "job_not_found")
