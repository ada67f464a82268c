"""Many lanes reach for one lease and one job: one gets it. Without the guards several would.

Each race is run twice, with the guard and without: a race that the control does not show would
prove nothing of the guard either.
"""

import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connections, transaction
from django.utils import timezone

from dispatch import lease
from jobs import again, transitions
from jobs.choices import Status
from jobs.models import Attempt, Job
from tests import factories
from tests.dispatch import unguarded
from tests.dispatch.lane_harness import queue

pytestmark = pytest.mark.django_db(transaction=True)

MANY = 8


def at_once(act: Callable[[int], Any], many: int = MANY) -> list[Any]:
    """Do something in many threads at the same time; return what each got."""
    barrier = threading.Barrier(many)
    got: list[Any] = []

    def one(number: int) -> None:
        try:
            barrier.wait()
            got.append(act(number))
        except (IntegrityError, OperationalError) as error:
            got.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def winners(got: list[Any]) -> int:
    return sum(item is not None and not isinstance(item, Exception) for item in got)


def test_of_many_lanes_one_takes_the_lease() -> None:
    server = factories.server()
    for _ in range(5):
        got = at_once(lambda _: lease.take(server.pk))
        assert winners(got) == 1
        [held] = [item for item in got if item is not None]
        server.refresh_from_db()
        assert server.lane_token == held.token
        with held.fenced():
            held.release()


def test_of_many_lanes_one_takes_over_a_silent_one() -> None:
    server = factories.server()
    lease.take(server.pk)
    server.refresh_from_db()
    seen = lease.Sighting(server.lane_token, server.heartbeat_at)
    assert winners(at_once(lambda _: lease.take(server.pk, seen))) == 1


def test_control_without_compare_and_set_several_take_the_lease() -> None:
    server = factories.server()
    assert winners(at_once(lambda _: unguarded.take(server.pk))) > 1


def claim(job: Job, number: int) -> Attempt | None:
    """Claim as the lane of a server of its own does."""
    with transaction.atomic():
        return transitions.claim(job.pk, server_alias=f"s{number}", lane=uuid.uuid4())


def test_of_many_servers_one_claims_the_job() -> None:
    for job in queue(5):
        assert winners(at_once(lambda number, job=job: claim(job, number))) == 1
        assert Attempt.objects.filter(job=job).count() == 1
        job.refresh_from_db()
        assert job.server_alias == job.attempts.get().server_alias


@pytest.mark.parametrize(
    "change",
    [
        {"target_server_alias": "elsewhere"},
        {"not_before": timezone.now() + timedelta(hours=1)},
        {"retry_at": timezone.now() + timedelta(hours=1)},
        {"deleted_at": timezone.now()},
    ],
)
def test_what_changed_since_the_lane_chose_the_job_counts(change: dict[str, Any]) -> None:
    [job] = queue()
    Job.objects.filter(pk=job.pk).update(**change)
    assert claim(job, 0) is None
    assert not Attempt.objects.exists()


def test_a_job_cancelled_elsewhere_and_retried_waits_until_that_run_is_cleared() -> None:
    [job] = queue()
    claim(job, 1)
    with transaction.atomic():
        transitions.cancel(job.pk)
        again.retry(job.pk)
    assert claim(job, 0) is None, "its old run may still be at work"
    with transaction.atomic():
        transitions.clear(job.attempts.get().token)
    assert claim(job, 0) is not None


def test_of_a_claim_and_a_cancel_at_once_neither_is_half_done() -> None:
    for job in queue(8):

        def act(number: int, job: Job = job) -> Any:
            if number:
                return claim(job, number)
            with transaction.atomic():
                return transitions.cancel(job.pk) or None

        at_once(act, 3)
        job.refresh_from_db()
        assert job.status == Status.CANCELLED
        assert not job.attempts.open().exists(), "open, and nobody will ever close it"


def test_of_a_picture_and_a_cancel_at_once_one_wins() -> None:
    for job in queue(8):
        attempt = claim(job, 0)

        def act(number: int, job: Job = job, attempt: Any = attempt) -> Any:
            with transaction.atomic():
                if number:
                    return transitions.cancel(job.pk) or None
                return transitions.complete(attempt.token, generation_info={}, warnings=[])

        assert winners(at_once(act, 2)) == 1
        job.refresh_from_db()
        attempt.refresh_from_db()
        assert job.status == attempt.outcome


def test_control_with_read_then_write_the_table_itself_is_the_last_guard() -> None:
    [job] = queue()
    got = at_once(
        lambda number: unguarded.claim(job.pk, server_alias=f"s{number}", lane=uuid.uuid4())
    )
    assert sum(item is not None for item in got) > 1, "several believed the job to be theirs"
    assert winners(got) == 1
    assert any(isinstance(item, IntegrityError) for item in got)


def test_control_without_any_guard_a_job_has_several_open_attempts() -> None:
    unguarded.drop_constraint()
    try:
        # Who races whom is up to the machine: on PostgreSQL one claim may be over too soon.
        assert any(_several_win() for _ in range(20))
    finally:
        Attempt.objects.all().delete()
        unguarded.restore_constraint()


def _several_win() -> bool:
    [job] = queue()
    got = at_once(
        lambda number: unguarded.claim(job.pk, server_alias=f"s{number}", lane=uuid.uuid4())
    )
    return winners(got) > 1 and job.attempts.open().count() > 1
