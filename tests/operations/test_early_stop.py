"""Of a batch with `run_first`, the first jobs run, and the rest waits for a nod."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apikeys.actors import SYSTEM
from dispatch.candidates import candidates_for, reasons
from dispatch.sweep import Sweep
from jobs.choices import Status
from jobs.models import Batch, Event, Job
from jobs.services import batch_standings, nod
from jobs.services.undo import undo
from tests import factories
from tests.due import due
from tests.operations.test_contract_bulk import BULK, PARAMS, order

pytestmark = pytest.mark.django_db(transaction=True)


def send(api, **fields):
    answer = api.send("POST", BULK, order(**{"bulk_quantity": 5, "run_first": 2, **fields}))
    assert answer.status_code == 202, answer.json()
    return Batch.objects.get(pk=answer.json()["bulk_job_id"])


def nodded(api, batch, **body):
    return api.send("POST", f"/api/v2/batches/{batch.pk}/nod", body)


def how_many_are_due():
    return due(timezone.now()).count()


def test_only_the_first_are_due_and_may_be_claimed(api):
    batch = send(api)
    held = list(Job.objects.filter(held=True).order_by("position"))
    every = list(Job.objects.filter(batch=batch).order_by("position"))
    assert held == every[2:]
    assert how_many_are_due() == 2
    server = factories.server()
    assert {c.id for c in candidates_for(server, "")} == {job.pk for job in every[:2]}
    reason = reasons(held)[held[0].pk]
    assert reason.code == "held"
    assert [(b.kind, b.target) for b in reason.buttons] == [("nod", str(batch.pk))]


def test_a_nod_lets_the_rest_run_and_is_told(api):
    batch = send(api)
    answer = nodded(api, batch, go=True)
    assert answer.status_code == 200
    told = {"success": True, "released": 3, "cancelled": 0, "also": [], "undo": None}
    assert answer.json() == told
    assert how_many_are_due() == 5
    assert Event.objects.filter(kind="job.changed", payload__fields=["held"]).count() == 3
    batch.refresh_from_db()
    assert batch.nodded_at is not None


def test_a_shaken_head_cancels_the_rest_and_can_be_undone(api, member):
    batch = send(api)
    body = nodded(api, batch, go=False).json()
    assert (body["released"], body["cancelled"]) == (0, 3)
    assert Job.objects.filter(status=Status.CANCELLED).count() == 3
    from apikeys.actors import Actor

    undo(body["undo"]["id"], Actor.of_user(member))
    assert Job.objects.filter(status=Status.PENDING, held=True).count() == 3
    batch.refresh_from_db()
    assert batch.nodded_at is None
    assert how_many_are_due() == 2


def test_a_second_nod_finds_nothing_to_do(api):
    batch = send(api)
    nodded(api, batch, go=True)
    assert nodded(api, batch, go=False).json()["cancelled"] == 0
    assert how_many_are_due() == 5


def test_a_nod_must_say_what_it_means(api):
    batch = send(api)
    assert nodded(api, batch).json()["error"] == "missing_required_field"
    assert nodded(api, batch, go="yes").json()["error"] == "invalid_field_value"
    assert Job.objects.filter(held=True).count() == 3


def test_somebody_elses_batch_is_not_found(api):
    theirs = Batch.objects.create(
        total=1, owner=factories.user(), created_at=timezone.now(), run_first=1
    )
    assert nodded(api, theirs, go=True).status_code == 404


def test_a_held_job_expires_like_any_other(api):
    deadline = (timezone.now() + timedelta(hours=1)).isoformat()
    batch = send(api, deadline=deadline)
    Job.objects.filter(batch=batch).update(deadline=timezone.now() - timedelta(seconds=1))
    Sweep().run()
    assert set(Job.objects.values_list("status", flat=True)) == {Status.FAILED}


def test_a_cancelled_one_that_is_retried_does_not_wait_for_a_nod_again(api):
    batch = send(api)
    nod(batch.pk, SYSTEM, go=False)
    job = Job.objects.filter(status=Status.CANCELLED).first()
    assert api.send("POST", f"/api/v2/jobs/{job.pk}/retry").status_code == 200
    assert how_many_are_due() == 3


@pytest.mark.parametrize(("first", "held"), [(5, 0), (9, 0), (1, 4)])
def test_more_than_there_are_hold_nothing_back(api, first, held):
    send(api, run_first=first)
    assert Job.objects.filter(held=True).count() == held


@pytest.mark.parametrize("first", [0, -1, "2", 1.5, True])
def test_a_bad_number_is_refused(api, first):
    answer = api.send("POST", BULK, order(run_first=first))
    assert answer.status_code == 400
    assert "run_first" in answer.json()["details"]["fields"]
    assert not Job.objects.exists()


def test_the_standing_tells_what_is_held_and_shows_the_first_pictures(api):
    batch = send(api, batch_name="  lighthouses ")
    first, second, *_ = Job.objects.order_by("position")
    for job in (second, first):
        Job.objects.filter(pk=job.pk).update(status=Status.COMPLETED)
        factories.image(job)
    body = api.send("GET", f"{BULK}/{batch.pk}").json()
    assert (body["held"], body["run_first"], body["batch_name"]) == (3, 2, "lighthouses")
    assert body["counts"]["pending"] == 3
    assert body["finished"] is False
    assert [shown["mobilesd_job_id"] for shown in body["results"]] == [
        str(first.pk),
        str(second.pk),
    ]
    assert all(len(shown["thumbnail_urls"]) == 1 for shown in body["results"])


def test_many_batches_stand_in_a_fixed_number_of_queries(api, django_assert_num_queries):
    batches = [send(api, generation_params=PARAMS) for _ in range(4)]
    for job in Job.objects.filter(held=False):
        Job.objects.filter(pk=job.pk).update(status=Status.COMPLETED)
        factories.image(job)
    with django_assert_num_queries(3):
        stands = batch_standings(batches)
    assert all(len(stands[batch.pk].results) == 2 for batch in batches)
    assert all(stands[batch.pk].held == 3 for batch in batches)
