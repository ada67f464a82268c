"""contracts/api.md, the row of `/api/v2/jobs/{id}/history`."""

import html
import json
import uuid

import pytest
from django.db import transaction

from jobs import transitions
from jobs.choices import Outcome
from jobs.models import Attempt, Event, Job
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
            attempt = transitions.claim(uuid.UUID(job_id), server_alias="gpu", lane=lane)
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
    assert set(body) == {
        *("success", "mobilesd_job_id", "attempts", "events", "complete", "steps", "differences")
    }
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
        "error_class",
        "measures",
        "expected_seconds",
        "creation_timestamp",
        "submitted_timestamp",
        "began_timestamp",
        "first_step_timestamp",
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


def test_it_tells_what_the_page_tells(api, job_id, client, member):
    tried(job_id)
    first = Attempt.objects.get(job=job_id, number=1)
    began = first.submitted_at
    Attempt.objects.filter(pk=first.pk).update(
        measures=["With a tiled VAE."],
        expected_seconds=12.5,
        began_at=began,
        first_step_at=began,
        error_class="oom",
    )
    Job.objects.filter(pk=job_id).update(owner=member, warnings=["The LoRA x is not there."])
    body = Api(factories.key(member)[1]).send("GET", path(job_id)).json()
    attempt = body["attempts"][0]
    assert attempt["measures"] == ["With a tiled VAE."]
    assert (attempt["expected_seconds"], attempt["error_class"]) == (12.5, "oom")
    assert attempt["began_timestamp"] == attempt["first_step_timestamp"] is not None
    assert body["differences"] == {
        "values": [],
        "notes": ["The LoRA x is not there.", "With a tiled VAE."],
    }
    client.force_login(member)
    page = html.unescape(client.get(f"/jobs/{job_id}").text)
    for step in body["steps"]:
        assert step["text"] in page
        assert step["detail"] in page
    assert [step["tone"] for step in body["steps"]].count("bad") == 1
    times = [step["timestamp"] for step in body["steps"]]
    assert times == sorted(times)
    assert body["steps"][0]["after_seconds"] is None
    assert all(step["after_seconds"] >= 0 for step in body["steps"][1:])


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
        attempt = transitions.claim(uuid.UUID(job_id), server_alias="gpu", lane=lane)
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
