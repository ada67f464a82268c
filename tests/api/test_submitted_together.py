"""Jobs of several clients that are written in one transaction are as if each came alone."""

import logging
import threading
from typing import Any

import pytest
from django.db import connection, connections

from dispatch.models import Server
from jobs import journal
from jobs.models import Event, Job, JobText
from tests import factories
from tests.api.conftest import Api
from tests.held_turn import hand_in

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="Elsewhere rows have own locks."),
]

GENERATE = "/api/v2/generate"


def together(*posts: tuple[Api, dict[str, Any]]) -> list[Any]:
    """Send these while somebody else writes, so that one transaction takes them all."""
    answers: list[Any] = [None] * len(posts)

    def post(place: int) -> None:
        api, more = posts[place]
        body = {"generation_params": {"positive_prompt": f"boat{place}"}, **more}
        try:
            mark = {"X-Request-ID": f"request-{place}"}
            answers[place] = api.send("POST", GENERATE, body, **mark)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=post, args=(place,)) for place in range(len(posts))]
    hand_in(threads)
    return answers


def api_of(owner: Any = None, **key: Any) -> Api:
    """Return a client whose key was used a moment ago: to note that would be a write of its own."""
    token = factories.key(owner, **key)[1]
    api = Api(token)
    assert api.send("GET", "/api/v2/whoami").status_code == 200
    return api


def test_each_is_told_its_own_place():
    api = api_of()
    factories.job(priority=1)
    factories.job(priority=9)
    answers = together(
        (api, {}), (api, {}), (api, {"priority": 9}), (api, {"lane": "background"}), (api, {})
    )
    assert [answer.status_code for answer in answers] == [202] * 5
    places = {a.json()["mobilesd_job_id"]: a.json()["queue_position"] for a in answers}
    queue = [str(job_id) for job_id in Job.objects.queued().values_list("pk", flat=True)]
    assert places == {job_id: queue.index(job_id) + 1 for job_id in places}


def test_each_event_log_line_and_record_belongs_to_its_own_request(caplog):
    one, other = api_of(name="one"), api_of(name="other")
    with caplog.at_level(logging.INFO, "jobs.events"):
        answers = together((one, {}), (other, {}), (one, {}))
    ids = [answer.json()["mobilesd_job_id"] for answer in answers]
    requests = [f"request-{place}" for place in range(3)]
    told = {str(event.job_id): event.payload for event in Event.objects.filter(job__in=ids)}
    assert [told[job_id]["request_id"] for job_id in ids] == requests
    assert [told[job_id]["by"].split(" (")[0] for job_id in ids] == [
        "the key one",
        "the key other",
        "the key one",
    ]
    logged = {line.job: line.request_id for line in caplog.records if line.msg == "job.created"}
    assert [logged[job_id] for job_id in ids] == requests
    recorded = journal.read().jobs
    assert [recorded[job_id]["request_id"] for job_id in ids] == requests


def test_all_can_be_found_and_wake_a_server_once():
    factories.server(app_type="forge")
    api, woken = api_of(), Server.objects.get().wake_seq
    answers = together(*[(api, {})] * 3)
    ids = {answer.json()["mobilesd_job_id"] for answer in answers}
    assert {str(text.job_id) for text in JobText.objects.all()} == ids
    assert Server.objects.get().wake_seq == woken + 1


def test_of_several_within_a_quota_only_as_many_are_taken_as_it_has_left():
    limited, free = api_of(jobs_per_day=2), api_of()
    answers = together((limited, {}), (free, {}), (limited, {}), (limited, {}))
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert Job.objects.count() == Event.objects.filter(kind="job.created").count() == 3


def test_the_same_order_twice_at_once_is_one_job():
    api = api_of()
    same = {"idempotency_key": "k", "generation_params": {"positive_prompt": "a boat"}}
    answers = together((api, same), (api, {}), (api, same))
    assert [answer.status_code for answer in answers] == [202, 202, 200]
    assert answers[0].json()["mobilesd_job_id"] == answers[2].json()["mobilesd_job_id"]
    assert Job.objects.count() == 2
