"""A deleted job goes for good after the undo time; what others still need stays."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from jobs import purge
from jobs.models import Attempt, Event, Idempotency, Job, JobInput
from jobs.purge import (
    IDEMPOTENCY_DAYS,
    UNDO_SECONDS,
    forget_idempotency_keys,
    purge_deleted,
)
from tests import factories

pytestmark = pytest.mark.django_db


def long_ago() -> object:
    return timezone.now() - timedelta(seconds=UNDO_SECONDS + 5)


def test_only_jobs_past_the_undo_time_go() -> None:
    gone = factories.job(deleted_at=long_ago())
    undoable = factories.job(deleted_at=timezone.now() - timedelta(seconds=UNDO_SECONDS - 5))
    alive = factories.job()
    assert purge_deleted() == 1
    assert set(Job.objects.values_list("pk", flat=True)) == {undoable.pk, alive.pk}
    assert not Job.objects.filter(pk=gone.pk).exists()


def test_pictures_keep_their_parameters() -> None:
    job = factories.job("completed", deleted_at=long_ago())
    image = factories.image(job, parameters={"positive_prompt": "a fox"})
    purge_deleted()
    image.refresh_from_db()
    assert image.job_id is None
    assert image.parameters == {"positive_prompt": "a fox"}


def test_a_job_that_its_backend_may_still_run_is_kept_until_that_is_cleared() -> None:
    job = factories.job("cancelled", deleted_at=long_ago())
    attempt = factories.attempt(job, ended_at=timezone.now(), outcome="cancelled")
    assert purge_deleted() == 0
    Attempt.objects.filter(pk=attempt.pk).update(cleared_at=timezone.now())
    assert purge_deleted() == 1
    assert not Attempt.objects.exists()


def test_its_inputs_are_let_go_and_its_events_stay_for_pages_that_slept() -> None:
    job = factories.job("completed", deleted_at=long_ago())
    JobInput.objects.create(job=job, sha256="a" * 64, mime="image/png", bytes=1)
    event = Event.objects.create(kind="job.deleted", job=job, at=timezone.now())
    purge_deleted()
    assert not JobInput.objects.exists()
    event.refresh_from_db()
    assert event.job_id is None


@pytest.mark.django_db(transaction=True)
def test_many_jobs_go_in_short_transactions(
    monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries
) -> None:
    monkeypatch.setattr(purge, "_PAUSE_SECONDS", 0)
    for _ in range(45):
        factories.job("completed", deleted_at=long_ago())
    committed = []
    real = transaction.Atomic.__exit__

    def leaving(self, *args) -> None:
        real(self, *args)
        committed.append(Job.objects.count())

    monkeypatch.setattr(transaction.Atomic, "__exit__", leaving)
    assert purge_deleted() == 45
    assert sorted(set(committed), reverse=True)[-3:] == [25, 5, 0]


def test_idempotency_keys_are_kept_for_a_month() -> None:
    job = factories.job()
    for key, days in (("old", IDEMPOTENCY_DAYS + 1), ("kept", 15)):
        Idempotency.objects.create(
            scope="user:1",
            key=key,
            body_sha256="0" * 64,
            job=job,
            at=timezone.now() - timedelta(days=days),
        )
    assert forget_idempotency_keys() == 1
    assert Idempotency.objects.get().key == "kept"
