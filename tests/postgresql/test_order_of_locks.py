"""Two sessions in the middle of a transaction at once: neither ends the other, none is lost.

Each test stops one session where it holds what the other one needs next. Where the order of
locks (docs/architecture.md) is broken, PostgreSQL ends one of them with "deadlock detected".
"""

import base64
import io
import random
from datetime import timedelta
from functools import partial
from queue import SimpleQueue
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from PIL import Image

from apikeys.actors import SYSTEM, Actor
from dispatch import lease, standing
from dispatch import services as servers
from dispatch.dispatchers.base import Answer, Picture, Progress
from dispatch.lanes import reporting, store
from dispatch.lanes.claims import Claimer
from dispatch.lanes.outcomes import Settler
from dispatch.lanes.run import Run
from dispatch.models import Server
from jobs import again, events, inputs, services, signals, transitions
from jobs.choices import Outcome, Status
from jobs.models import Attempt, Batch, Delivery, Job, JobDependency, JobProgress, Webhook
from jobs.services import bulk, places, undo
from jobs.webhooks import claims
from jobs.webhooks import services as webhooks
from jobs.webhooks.sending import Outcome as Sent
from mobilesd.errors import Conflict
from tests import factories
from tests.due import due
from tests.postgresql.meanwhile import after, before, meanwhile

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        connection.vendor != "postgresql", reason="SQLite has one writer at a time."
    ),
]


def running(alias: str = "a", **fields: Any) -> Attempt:
    """Make a job that runs, followed by the living lane of its server."""
    server = factories.server(alias)
    held = lease.take(server.pk)
    assert held is not None
    job = factories.job(Status.PROCESSING, server_alias=alias, **fields)
    return factories.attempt(job, lane=held.token, submitted_at=timezone.now())


def lease_of(attempt: Attempt) -> lease.Lease:
    return lease.Lease(Server.objects.get(alias=attempt.server_alias).pk, attempt.lane)


def report(attempt: Attempt) -> None:
    """Write the first progress of a run, as its lane does while somebody watches."""
    run = Run(attempt)
    run.progress = Progress(active=True, fraction=0.5, text="step 2 of 4")
    reporting.Reporter(lease_of(attempt)).report(run, timezone.now() + timedelta(minutes=1))


def stored(content: bytes) -> store.StoredAnswer:
    return store.write_files(
        Answer([Picture(content, "", 1)], generation_info={}, warnings=[], checkpoint="")
    )


def complete(attempt: Attempt) -> tuple[Job, Attempt | None] | None:
    return store.complete(attempt.token, stored(factories.png(color="blue")))


def in_a_round(alias: str = "a", **fields: Any) -> Attempt:
    """Make a background job in the first of its three rounds."""
    attempt = running(alias, lane_class="background", images_wanted=3, **fields)
    Attempt.objects.filter(pk=attempt.pk).update(images=1)
    return attempt


def go_on(attempt: Attempt) -> tuple[Job, Attempt | None] | None:
    """Store a round, and claim the next one, as its lane does."""
    held = lease_of(attempt)
    claimer = Claimer(
        held, attempt.server_alias, Settler(held, attempt.server_alias), SimpleQueue()
    )
    after_round = store.AfterRound(held.fenced, claimer.next_round)
    return store.complete(attempt.token, stored(factories.png(color="blue")), after_round)


def claim(job: Job, alias: str, held: lease.Lease) -> Attempt | None:
    """Claim a job, as a server's lane does."""
    with held.fenced():
        return transitions.claim(job.pk, server_alias=alias, lane=held.token)


def requeue(attempt: Attempt) -> None:
    with lease_of(attempt).fenced():
        ended = transitions.end_attempt(attempt.token, outcome=Outcome.LOST)
        assert ended is not None
        transitions.requeue(ended)


def noise() -> bytes:
    """Return a picture that is big enough to become a file as an input."""
    stream = io.BytesIO()
    Image.frombytes("RGB", (64, 64), random.randbytes(64 * 64 * 3)).save(stream, "PNG")
    return stream.getvalue()


def batch() -> Batch:
    return Batch.objects.create(total=2, created_at=timezone.now())


def statuses(jobs: Batch) -> set[str]:
    return set(Job.objects.filter(batch=jobs).values_list("status", flat=True))


def test_a_batch_is_cancelled_while_a_picture_of_it_is_stored(monkeypatch):
    whole = batch()
    factories.job(batch=whole)
    attempt = running(batch=whole)
    with meanwhile() as other:
        after(
            monkeypatch,
            bulk.transitions,
            "cancel_pending",
            lambda: other.begin(lambda: complete(attempt)),
        )
        assert services.cancel_batch(whole.pk, SYSTEM).count == 2
        assert other.result() is None, "the picture came too late"
    assert statuses(whole) == {Status.CANCELLED}


def test_a_batch_is_cancelled_while_a_round_of_it_is_stored(monkeypatch):
    whole = batch()
    factories.job(batch=whole)
    attempt = in_a_round(batch=whole)
    with meanwhile() as other:
        after(
            monkeypatch,
            bulk.transitions,
            "cancel_pending",
            lambda: other.begin(lambda: go_on(attempt)),
        )
        assert services.cancel_batch(whole.pk, SYSTEM).count == 2
        assert other.result() is None, "the round came too late"
    assert statuses(whole) == {Status.CANCELLED}
    assert not Attempt.objects.open()


def test_a_batch_whose_job_goes_on_with_its_next_round_is_cancelled_after_it(monkeypatch):
    whole = batch()
    factories.job(batch=whole)
    attempt = in_a_round(batch=whole)
    with meanwhile() as other:
        after(
            monkeypatch,
            store.transitions,
            "take_round",
            lambda: other.begin(lambda: services.cancel_batch(whole.pk, SYSTEM)),
        )
        assert go_on(attempt) is not None
        assert other.result().count == 2
    assert statuses(whole) == {Status.CANCELLED}
    assert Job.objects.get(pk=attempt.job_id).images_made == 1


def test_a_job_goes_on_with_its_next_round_while_another_one_of_its_owner_begins(monkeypatch):
    owner = factories.user()
    attempt = in_a_round(owner=owner)
    another = factories.job(lane_class="background", owner=owner)
    held = lease.take(factories.server("b").pk)
    assert held is not None
    with meanwhile() as other:
        begin = partial(claim, another, "b", held)
        after(monkeypatch, store, "_insert", lambda: other.begin(begin))
        stored = go_on(attempt)
        assert other.result() is not None
    assert stored is not None
    assert stored[1] is not None, "its next round was claimed"


def test_a_batch_is_cancelled_while_one_of_its_runs_tells_its_progress(monkeypatch):
    whole = batch()
    attempts = [running(alias, batch=whole) for alias in ("a", "b")]
    for attempt in attempts:
        report(attempt)
    last = max(attempts, key=lambda attempt: attempt.job_id)
    with meanwhile() as other:
        after(monkeypatch, bulk.transitions, "cancel", lambda: other.begin(lambda: report(last)))
        assert services.cancel_batch(whole.pk, SYSTEM).count == 2
        other.result()
    assert not JobProgress.objects.exists()


def test_what_goes_back_into_the_queue_meanwhile_is_cancelled_with_its_batch(monkeypatch):
    whole = batch()
    factories.job(batch=whole)
    attempt = running(batch=whole)
    with meanwhile() as other:
        before(
            monkeypatch,
            bulk.transitions,
            "cancel_pending",
            lambda: other.begin(lambda: requeue(attempt)),
        )
        assert services.cancel_batch(whole.pk, SYSTEM).count == 2
        with pytest.raises(AssertionError):  # the attempt was closed by the cancel
            other.result()
    assert statuses(whole) == {Status.CANCELLED}


def test_a_job_is_cancelled_while_its_first_progress_is_told(monkeypatch):
    attempt = running()
    with meanwhile() as other:
        after(
            monkeypatch,
            events,
            "emit_live",
            lambda: other.begin(lambda: services.cancel(attempt.job_id, SYSTEM)),
        )
        report(attempt)
        assert other.result().job.status == Status.CANCELLED
    assert not JobProgress.objects.exists(), "nobody would ever remove it"


def test_progress_that_comes_after_the_cancel_is_not_kept(monkeypatch):
    attempt = running()
    with meanwhile() as other:
        after(
            monkeypatch,
            transitions.attempt_cancelled,
            "send",
            lambda: other.begin(lambda: report(attempt)),
        )
        services.cancel(attempt.job_id, SYSTEM)
        other.result()
    assert not JobProgress.objects.exists()


def test_a_picture_is_stored_while_the_same_one_is_sent_as_an_input(monkeypatch):
    content = noise()
    attempt = running()
    picture = base64.b64encode(content).decode()
    order = services.Order({"prompt": "a cat", "init_images": [picture]})
    with meanwhile() as other:
        after(
            monkeypatch,
            inputs,
            "attach",
            lambda: other.begin(lambda: store.complete(attempt.token, stored(content))),
        )
        assert services.submit(order, SYSTEM).created
        assert other.result() is not None


def test_a_move_keeps_what_is_changed_meanwhile(monkeypatch):
    jobs = [factories.job(position=place) for place in range(3)]
    with meanwhile() as other:
        after(
            monkeypatch,
            places,
            "_waiting",
            lambda: other.begin(lambda: services.patch(jobs[2].pk, SYSTEM, {"priority": 2}, {})),
        )
        services.move(jobs[2].pk, services.Goal("top"), SYSTEM)
        other.result()
    assert Job.objects.get(pk=jobs[2].pk).priority == 2


def test_a_job_that_is_retried_while_its_old_run_is_cleared_is_announced(monkeypatch):
    attempt = running()
    services.cancel(attempt.job_id, SYSTEM)
    claimable: list[bool] = []

    def look(**_: Any) -> None:
        row = due(timezone.now()).filter(pk=attempt.job_id)
        transaction.on_commit(lambda: claimable.append(row.exists()))

    signals.job_waiting.connect(look)
    try:
        with meanwhile() as other:
            retry = partial(services.retry, attempt.job_id, SYSTEM)
            after(monkeypatch, Job.objects, "get", lambda: other.begin(retry))
            with transaction.atomic():
                transitions.clear(attempt.token)
            other.result()
    finally:
        signals.job_waiting.disconnect(look)
    assert any(claimable), "it would wait until its lane ends"


def test_no_more_lanes_live_than_there_may_be(monkeypatch, settings):
    settings.LANES = 1
    rows = [factories.server(alias) for alias in ("a", "b")]
    with meanwhile() as other:
        before(monkeypatch, lease, "this_host", lambda: other.begin(lambda: lease.take(rows[1].pk)))
        first = lease.take(rows[0].pk)
        second = other.result()
    assert sum(held is not None for held in (first, second)) == 1


def test_two_servers_with_one_address_are_not_added_at_once(monkeypatch):
    add = {"url": "http://127.0.0.1:9", "app_type": "forge"}
    with meanwhile() as other:
        after(
            monkeypatch,
            servers,
            "_refuse_twin",
            lambda: other.begin(lambda: servers.add_server(alias="b", **add)),
        )
        servers.add_server(alias="a", **add)
        with pytest.raises(Conflict):
            other.result()
    assert Server.objects.get().alias == "a"


def webhook(**fields: Any) -> Webhook:
    row = Webhook.objects.create(
        owner=factories.user(),
        url="http://hooks.example",
        events=["*"],
        sealed_secret="",
        created_at=timezone.now(),
        **fields,
    )
    for ago in (0, 60):
        at = timezone.now() - timedelta(seconds=ago)
        Delivery.objects.create(webhook=row, kind="x", body="{}", due_at=at, created_at=at)
    return row


def test_a_webhook_is_deleted_while_a_delivery_is_taken(monkeypatch):
    hook = webhook()
    actor = Actor.of_user(hook.owner)
    with meanwhile() as other:
        delete = partial(webhooks.delete, hook.pk, actor)
        before(monkeypatch, claims, "F", lambda: other.begin(delete))
        assert claims.claim(hook.pk) is not None
        other.result()
    assert not Webhook.objects.exists()


def test_a_late_result_is_written_down_while_the_delivery_is_taken_again(monkeypatch):
    hook = webhook()
    late = claims.claim(hook.pk)
    Webhook.objects.update(not_before=None)
    Delivery.objects.update(due_at=timezone.now())
    with meanwhile() as other:
        again = partial(claims.claim, hook.pk)
        before(monkeypatch, claims, "_note", lambda: other.begin(again))
        assert claims.settle(late, Sent(200, "", 1.0))
        taken = other.result()
    assert taken is None or taken.delivery_id != late.delivery_id


def failed_batch() -> tuple[Batch, list[Job]]:
    whole = batch()
    jobs = [factories.job(Status.FAILED, batch=whole) for _ in range(2)]
    return whole, sorted(jobs, key=lambda job: job.pk)


def test_a_batch_is_retried_while_one_of_its_jobs_is_deleted(monkeypatch):
    whole, (_, last) = failed_batch()
    with meanwhile() as other:
        delete = partial(services.delete, last.pk, SYSTEM)
        after(monkeypatch, transitions.events, "emit_for_jobs", lambda: other.begin(delete))
        services.retry_batch(whole.pk, SYSTEM)
        other.result()
    assert Job.objects.get(pk=last.pk).deleted_at is not None


def test_a_batch_is_retried_twice_at_once(monkeypatch):
    whole, jobs = failed_batch()
    with meanwhile() as other:
        retry = partial(services.retry_batch, whole.pk, SYSTEM)
        after(monkeypatch, again, "retry_many", lambda: other.begin(retry))
        done = [services.retry_batch(whole.pk, SYSTEM), other.result()]
    assert sorted(each.count for each in done) == [0, len(jobs)]


def test_the_retry_of_a_batch_is_undone_while_one_of_its_jobs_is_cancelled(monkeypatch):
    whole, (_, last) = failed_batch()
    taken = services.retry_batch(whole.pk, SYSTEM).undo
    with meanwhile() as other:
        cancel = partial(services.cancel, last.pk, SYSTEM)
        after(monkeypatch, transitions.events, "emit_for_jobs", lambda: other.begin(cancel))
        undo.undo(taken.pk, SYSTEM)
        with pytest.raises(Conflict):
            other.result()
    assert statuses(whole) == {Status.FAILED}


def test_a_job_is_retried_with_its_dependents_while_one_of_them_is_deleted(monkeypatch):
    first, second = chain(fails=True)
    with meanwhile() as other:
        delete = partial(services.delete, second.pk, SYSTEM)
        after(monkeypatch, transitions.events, "emit_for_jobs", lambda: other.begin(delete))
        services.retry_together(first.pk, SYSTEM, seed="same")
        other.result()
    assert Job.objects.get(pk=second.pk).deleted_at is not None


def chain(*, fails: bool) -> tuple[Job, Job]:
    """Return a job that came to nothing, and the one that failed with it."""
    first = factories.job(Status.FAILED) if fails else factories.job()
    second = factories.job(
        **({"status": Status.FAILED, "error_code": "dependency_failed"} if fails else {})
    )
    JobDependency.objects.create(job=second, parent=first)
    return first, second


def test_a_cancel_is_undone_while_what_it_took_along_is_deleted(monkeypatch):
    first, second = chain(fails=False)
    taken = services.cancel(first.pk, SYSTEM).undo
    assert Job.objects.get(pk=second.pk).status == Status.FAILED
    with meanwhile() as other:
        delete = partial(services.delete, second.pk, SYSTEM)
        after(monkeypatch, again, "restore", lambda: other.begin(delete))
        undo.undo(taken.pk, SYSTEM)
        other.result()
    assert Job.objects.get(pk=first.pk).status == Status.PENDING
    assert Job.objects.get(pk=second.pk).deleted_at is not None


def test_a_deleted_server_comes_back_once_by_two_undos_at_once(monkeypatch):
    factories.server("a")
    taken = servers.delete_server("a", SYSTEM)
    with meanwhile() as other:
        again = partial(undo.undo, taken.pk, SYSTEM)
        after(monkeypatch, servers, "put_back", lambda: other.begin(again))
        found = [undo.undo(taken.pk, SYSTEM).restored, other.result().restored]
    assert found == [1, 0]
    assert Server.objects.count() == 1


def test_a_deleted_server_comes_back_while_one_with_its_address_is_added(monkeypatch):
    factories.server("a")
    taken = servers.delete_server("a", SYSTEM)
    add = partial(servers.add_server, alias="b", url="http://127.0.0.1:9", app_type="forge")
    with meanwhile() as other:
        after(monkeypatch, servers, "put_back", lambda: other.begin(add))
        assert undo.undo(taken.pk, SYSTEM).restored == 1
        with pytest.raises(Conflict):
            other.result()
    assert Server.objects.get().alias == "a"


def test_a_server_is_deleted_while_its_lane_learns(monkeypatch):
    server = factories.server("a")
    held = lease.take(server.pk)
    assert held is not None

    def late() -> None:
        with held.fenced():
            standing.learn_run(server.pk, "x", "txt2img", 1.0)

    with meanwhile() as other:
        after(monkeypatch, servers, "keep", lambda: other.begin(late))
        servers.delete_server("a", SYSTEM)
        with pytest.raises(lease.LeaseLost):
            other.result()
    assert not Server.objects.exists()
