"""What a key may use in 24 hours: counted exactly, also by two submissions at once."""

from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apikeys.actors import Actor
from jobs import purge, services
from jobs.choices import Outcome, Status
from jobs.models import Attempt, Job
from jobs.services.orders import Order
from jobs.usage import QuotaExceeded, check_quota, jobs_by_day, usage
from tests import factories
from tests.api.conftest import Api

GENERATE = "/api/v2/generate"
PARAMS = {"positive_prompt": "a lighthouse"}
HOUR = timedelta(hours=1)


def _submit(token: str, **more: Any) -> Any:
    return Api(token).send("POST", GENERATE, {"generation_params": PARAMS, **more})


def _job(key: Any, ago: timedelta = timedelta(), **fields: Any) -> Job:
    return factories.job(api_key=key, created_at=timezone.now() - ago, **fields)


def _ran(key: Any, ago: timedelta, seconds: float, **fields: Any) -> Attempt:
    """Make an attempt that began so long ago and ran so many seconds."""
    start = timezone.now() - ago
    fields.setdefault("ended_at", start + timedelta(seconds=seconds))
    return factories.attempt(
        _job(key, timedelta(days=3), status=Status.COMPLETED), submitted_at=start, **fields
    )


def _near(wait: float, expected: timedelta) -> bool:
    return abs(wait - expected.total_seconds()) < 60


@pytest.mark.django_db
def test_jobs_beyond_the_quota_are_refused_with_when_to_come_again():
    row, token = factories.key(jobs_per_day=3)
    _job(row, 25 * HOUR)
    for ago in (23 * HOUR, 2 * HOUR):
        _job(row, ago)
    assert _submit(token).status_code == 202
    answer = _submit(token)
    assert (answer.status_code, answer.json()["error"]) == (429, "quota_exceeded")
    assert _near(int(answer.headers["Retry-After"]), HOUR)
    details = answer.json()["details"]
    assert (details["quota"], details["limit"], details["used"]) == ("jobs_per_day", 3, 3)
    assert details["frees_at"]
    assert Job.objects.count() == 4


@pytest.mark.django_db
def test_deleted_jobs_count_and_stay_for_a_day():
    _, token = factories.key(jobs_per_day=1)
    submitted = _submit(token).json()["mobilesd_job_id"]
    assert Api(token).send("DELETE", f"/api/v2/jobs/{submitted}").status_code == 200
    Job.objects.update(deleted_at=timezone.now() - timedelta(seconds=purge.UNDO_SECONDS + 1))
    assert purge.purge_deleted() == 0
    assert _submit(token).status_code == 429
    Job.objects.update(deleted_at=timezone.now() - 25 * HOUR)
    assert purge.purge_deleted() == 1
    assert _submit(token).status_code == 202


@pytest.mark.django_db
def test_jobs_of_others_do_not_count():
    _, token = factories.key(jobs_per_day=1)
    _job(factories.key()[0])
    factories.job()
    assert _submit(token).status_code == 202


@pytest.mark.django_db
def test_a_repeated_submission_is_no_new_one():
    _, token = factories.key(jobs_per_day=1)
    first = _submit(token, idempotency_key="k")
    again = _submit(token, idempotency_key="k")
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["mobilesd_job_id"] == first.json()["mobilesd_job_id"]


@pytest.mark.django_db
def test_many_at_once_count_as_many():
    row, _ = factories.key(jobs_per_day=5)
    for hours in (20, 10):
        _job(row, hours * HOUR)
    actor = Actor.of_key(row)
    with transaction.atomic():
        check_quota(actor, 3)
        with pytest.raises(QuotaExceeded) as refused:
            check_quota(actor, 4)
        assert _near(refused.value.retry_after or 0, 4 * HOUR)
        with pytest.raises(QuotaExceeded) as refused:
            check_quota(actor, 5)
        assert _near(refused.value.retry_after or 0, 14 * HOUR)
        with pytest.raises(QuotaExceeded) as refused:
            check_quota(actor, 6)
        assert "Submit fewer at once" in refused.value.hint


@pytest.mark.django_db
def test_gpu_seconds_beyond_the_quota_are_refused():
    row, token = factories.key(gpu_seconds_per_day=100)
    _ran(row, 10 * HOUR, 60)
    assert _submit(token).status_code == 202
    _ran(row, 5 * HOUR, 50)
    answer = _submit(token)
    assert (answer.status_code, answer.json()["error"]) == (429, "quota_exceeded")
    assert answer.json()["details"]["used"] == 110
    # The first ten of the older run's seconds have to pass.
    wait = int(answer.headers["Retry-After"])
    assert abs(wait - (14 * HOUR + timedelta(seconds=10)).total_seconds()) < 5


@pytest.mark.django_db
def test_gpu_seconds_are_counted_as_they_passed():
    row, _ = factories.key()

    def seconds() -> float:
        return round(usage([row])[row.prefix].gpu_seconds)

    _ran(row, 25 * HOUR, 60)  # before the window
    assert seconds() == 0
    _ran(row, 24 * HOUR + timedelta(seconds=20), 60)  # 40 s of it are inside
    assert seconds() == 40
    _ran(row, timedelta(seconds=100), 0, ended_at=None)  # runs now
    assert seconds() == 140
    for outcome in (Outcome.LOST, Outcome.NEVER_REACHED):
        _ran(row, HOUR, 500, outcome=outcome)
    _ran(row, HOUR, 30, outcome=Outcome.ERROR)
    assert seconds() == 170
    factories.attempt(_job(row, status=Status.PROCESSING), submitted_at=None)
    _ran(factories.key()[0], HOUR, 500)
    assert seconds() == 170


@pytest.mark.django_db
def test_runs_at_the_same_time_free_their_seconds_together():
    row, _ = factories.key(gpu_seconds_per_day=100)
    for _ in range(3):
        _ran(row, 10 * HOUR, 100)
    free_at = usage([row])[row.prefix].gpu_free_at
    assert free_at is not None
    # 200 of 300 seconds are too many: three runs lose 3 a second, so 66.7 s.
    wait = (free_at - timezone.now()).total_seconds()
    assert abs(wait - (14 * HOUR.total_seconds() + 66.7)) < 5


@pytest.mark.django_db
def test_runs_one_after_the_other_free_their_seconds_in_turn():
    row, _ = factories.key(gpu_seconds_per_day=30)
    _ran(row, 10 * HOUR, 60)
    _ran(row, 5 * HOUR, 60)
    free_at = usage([row])[row.prefix].gpu_free_at
    assert free_at is not None
    # 90 of 120 seconds are too many: all of the older run's and 30 of the newer one's.
    wait = (free_at - timezone.now()).total_seconds()
    assert abs(wait - (19 * HOUR.total_seconds() + 30)) < 5


@pytest.mark.django_db
def test_the_moment_that_is_told_is_the_right_one(monkeypatch):
    row, _ = factories.key(gpu_seconds_per_day=100, jobs_per_day=1)
    _ran(row, 10 * HOUR, 130)
    _job(row, 3 * HOUR)
    used = usage([row])[row.prefix]
    actor = Actor.of_key(row)

    def passes(moment) -> bool:
        monkeypatch.setattr("jobs.usage.timezone.now", lambda: moment)
        with transaction.atomic():
            try:
                check_quota(actor, 1)
            except QuotaExceeded:
                return False
        return True

    assert used.jobs_free_at is not None
    assert used.gpu_free_at is not None
    second = timedelta(seconds=1)
    assert not passes(used.gpu_free_at - second)
    assert not passes(used.jobs_free_at - second)
    assert passes(max(used.jobs_free_at, used.gpu_free_at))


def _at_once(count: int, action) -> list[object]:
    barrier, results = Barrier(count), [None] * count

    def run(number: int) -> None:
        barrier.wait()
        try:
            results[number] = action(number)
        except Exception as error:
            results[number] = error
        finally:
            connection.close()

    threads = [Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
def test_submissions_at_once_do_not_pass_together():
    row, _ = factories.key(jobs_per_day=5)
    actor = Actor.of_key(row)
    results = _at_once(12, lambda _: services.submit(Order(PARAMS), actor))
    refused = [result for result in results if isinstance(result, QuotaExceeded)]
    assert (Job.objects.count(), len(refused)) == (5, 7)


@pytest.mark.django_db(transaction=True)
def test_the_same_submission_twice_at_once_is_answered_twice():
    """The loser of the race finds the quota used up by the very job that it asks for."""
    row, _ = factories.key(jobs_per_day=1)
    actor = Actor.of_key(row)
    order = Order(PARAMS, idempotency_key="k")
    results = _at_once(4, lambda _: services.submit(order, actor))
    assert Job.objects.count() == 1
    assert {str(result.job.pk) for result in results} == {str(Job.objects.get().pk)}


@pytest.mark.django_db
def test_a_key_without_quotas_is_not_counted_at_all():
    actor = Actor.of_key(factories.key()[0])
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        check_quota(actor, 1000)
    assert [q["sql"] for q in queries if "SELECT" in q["sql"]] == []


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL plans by its statistics.")
@pytest.mark.django_db
@pytest.mark.parametrize("path", ["jobs", "attempts"])
def test_counting_reads_only_what_is_in_the_window(path):
    row, _ = factories.key(jobs_per_day=0)
    with CaptureQueriesContext(connection) as queries:
        usage([row])
    index = {"jobs": "job_key_created", "attempts": "attempt_key_ended"}[path]
    range_of = {"jobs": "created_at>?", "attempts": "ended_at"}[path]
    statements = [q["sql"] for q in queries if f'FROM "jobs_{path[:-1]}"' in q["sql"]]
    assert len(statements) == 2
    for statement in statements:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}")
            plan = " ".join(str(line[3]) for line in cursor.fetchall())
        assert index in plan
        assert range_of in plan
        assert "SCAN" not in plan


@pytest.mark.django_db
def test_jobs_are_summed_by_day():
    row, _ = factories.key()
    today = timezone.now().date()
    for ago in (timedelta(), timedelta(), timedelta(days=2), timedelta(days=9)):
        _job(row, ago)
    days = jobs_by_day(row, today - timedelta(days=3))
    assert days == {today: 2, today - timedelta(days=2): 1}
