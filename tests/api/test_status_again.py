"""A job that is asked for again and again is not made anew each time, and never shown too late."""

import pytest
from django.utils import timezone

from jobs import events, transitions
from jobs.api import shown as shown_module
from jobs.models import Job
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def made(monkeypatch):
    """Count how often a job is emitted."""
    found = []
    emit = shown_module.emit_job
    monkeypatch.setattr(shown_module, "emit_job", lambda job: found.append(job.pk) or emit(job))
    return found


def ask(api, job, **headers):
    return api.get(f"/api/v2/jobs/{job.pk}/status", **headers)


def test_what_did_not_change_is_emitted_once(boss, made):
    job = factories.job()
    first, again = ask(boss, job), ask(boss, job)
    assert (first.json(), first.headers["ETag"]) == (again.json(), again.headers["ETag"])
    assert made == [job.pk]


def test_a_change_shows_at_once(boss, made):
    job = factories.job()
    ask(boss, job)
    transitions.cancel(job.pk)
    assert ask(boss, job).json()["job"]["status"] == "cancelled"


def test_an_event_of_anything_else_does_too(boss, made):
    """A job's place and what it waits for depend on others."""
    behind, ahead = factories.job(), factories.job()
    Job.objects.filter(pk=ahead.pk).update(position=behind.position - 1000)
    assert ask(boss, behind).json()["job"]["queue_position"] == 2
    transitions.cancel(ahead.pk)
    assert ask(boss, behind).json()["job"]["queue_position"] == 1


def test_what_leaves_no_event_shows_after_a_moment(boss, made, monkeypatch):
    job = factories.job()
    ask(boss, job)
    monkeypatch.setattr(shown_module.time, "monotonic", lambda: 10.0**9)
    ask(boss, job)
    assert made == [job.pk, job.pk]


def test_a_running_job_is_emitted_each_time(boss, made):
    job = factories.job(status="processing", started_at=timezone.now())
    ask(boss, job)
    ask(boss, job)
    assert made == [job.pk, job.pk]


def test_who_may_not_see_it_gets_nothing_of_what_others_were_shown(boss, api, made):
    job = factories.job(owner=factories.user())
    ask(boss, job)
    assert ask(api, job).status_code == 404


def test_no_more_than_a_bounded_number_is_kept(boss, made, monkeypatch):
    monkeypatch.setattr(shown_module, "MOST", 2)
    shown_module._shown.clear()
    for job in [factories.job() for _ in range(5)]:
        ask(boss, job)
        events.emit("server.status", {"alias": "gpu"}, public=True)
    assert len(shown_module._shown) <= 2
