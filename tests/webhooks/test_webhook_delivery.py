"""From an event to a POST: each event once for each webhook, in order, again until it is taken."""

import json
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from apikeys.actors import Actor
from apikeys.models import ApiKey
from jobs import events
from jobs import services as job_services
from jobs.models import Delivery, DeliveryState, Event, Job, Webhook
from jobs.webhooks import bodies, fanout, services
from jobs.webhooks.runner import Runner
from tests import factories
from tests.webhooks.conftest import SECRET, later
from tests.webhooks.happenings import states, tell
from tests.webhooks.test_webhook_signature import verified

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_event_arrives_signed_and_named(receiver, deliver, hook, member):
    actor = Actor.of_user(member)
    hook(actor, events=["job.status"])
    order = job_services.Order({"positive_prompt": "a lighthouse"})
    job = job_services.submit(order, actor).job
    job_services.cancel(job.pk, actor)
    deliver()
    (got,) = receiver.got
    body = json.loads(got.body)
    row = Delivery.objects.get()
    assert got.headers["X-MobileSD-Event"] == body["type"] == "job.status"
    assert got.headers["X-MobileSD-Delivery"] == body["id"] == str(row.pk)
    assert got.headers["Content-Type"] == "application/json"
    assert verified(got.headers["X-MobileSD-Signature"], got.body, SECRET)
    assert body["event_id"] == row.event_id
    assert body["created"].endswith("Z")
    assert body["data"]["job"] == str(job.pk)
    assert body["data"]["status"] == "cancelled"
    details = body["data"]["job_details"]
    assert details["mobilesd_job_id"] == str(job.pk)
    assert details["generation_params"]["positive_prompt"] == "a lighthouse"
    assert (row.state, row.tries, row.last_status) == (DeliveryState.DELIVERED, 1, 204)
    assert row.ended_at is not None


def test_only_the_wanted_kinds_are_sent(receiver, deliver, hook, member):
    hook(Actor.of_user(member), events=["queue.paused", "server.status"])
    for kind in ("queue.paused", "image.created", "server.status"):
        tell(kind)
    deliver()
    assert [json.loads(got.body)["type"] for got in receiver.got] == [
        "queue.paused",
        "server.status",
    ]


def test_the_order_of_events_is_kept(receiver, deliver, boss_hook):
    made = [tell(payload={"alias": str(n)}).pk for n in range(60)]
    deliver()
    assert [json.loads(got.body)["event_id"] for got in receiver.got] == made


def test_a_webhook_is_told_what_its_maker_may_see(receiver, deliver, hook, member):
    other = factories.user()
    hook(Actor.of_user(member))
    for owner in (member, other):
        job = factories.job(owner=owner)
        with transaction.atomic():
            events.emit_for_job("job.status", job, {"job": str(job.pk), "status": "pending"})
    deliver()
    assert {json.loads(got.body)["data"]["job"] for got in receiver.got} == {
        str(Job.objects.get(owner=member).pk)
    }


def test_a_key_of_the_installation_is_told_of_its_own_jobs(receiver, deliver, hook):
    key, _ = factories.key()
    other, _ = factories.key()
    hook(Actor.of_key(key))
    for maker in (key, other):
        job = factories.job(api_key=maker)
        with transaction.atomic():
            events.emit_for_job("job.status", job, {"job": str(job.pk), "status": "pending"})
    deliver()
    assert [json.loads(got.body)["data"]["job_details"]["api_key_id"] for got in receiver.got] == [
        key.prefix
    ]


def revoke(key, owner):
    ApiKey.objects.filter(pk=key.pk).update(revoked=True)


def switch_off_key(key, owner):
    ApiKey.objects.filter(pk=key.pk).update(is_active=False)


def expire(key, owner):
    ApiKey.objects.filter(pk=key.pk).update(expiry_date=timezone.now() - timedelta(seconds=1))


def take_scope(key, owner):
    ApiKey.objects.filter(pk=key.pk).update(scopes=["jobs:write"])


def bar_owner(key, owner):
    owner.is_active = False
    owner.save()


@pytest.mark.parametrize("end", [revoke, switch_off_key, expire, take_scope, bar_owner])
def test_deliveries_stop_when_the_maker_may_see_nothing_any_more(
    receiver, deliver, hook, member, end
):
    key, _ = factories.key(member)
    webhook = hook(Actor.of_key(key))
    receiver.answer = lambda _: 500
    tell()
    deliver()
    assert len(receiver.got) == 1
    end(key, member)
    later(webhook)
    tell()
    Runner().round()
    assert len(receiver.got) == 1
    assert Delivery.objects.count() == 1


def test_who_sees_all_no_more_is_told_of_the_own_jobs_only(receiver, deliver, hook):
    anna = factories.staff()
    hook(Actor.of_user(anna))
    anna.is_staff = anna.is_superuser = False
    anna.save()
    job = factories.job(owner=factories.user())
    with transaction.atomic():
        events.emit_for_job("job.status", job, {"job": str(job.pk), "status": "pending"})
    deliver()
    assert receiver.got == []


def test_a_large_job_is_shortened_and_says_so(receiver, deliver, hook, member):
    hook(Actor.of_user(member))
    job = factories.job(
        owner=member, generation_params={"positive_prompt": "x" * 50_000, "steps": 4}
    )
    with transaction.atomic():
        events.emit_for_job("job.status", job, {"job": str(job.pk), "status": "pending"})
    deliver()
    (got,) = receiver.got
    assert len(got.body) < bodies.MAX_JOB
    details = json.loads(got.body)["data"]["job_details"]
    assert details["shortened"] is True
    assert details["generation_params"] is None


def test_a_deleted_job_is_told_by_its_id_alone(receiver, deliver, hook, member):
    actor = Actor.of_user(member)
    hook(actor, events=["job.deleted"])
    job = factories.job("completed", owner=member)
    job_services.delete(job.pk, actor)
    deliver()
    assert json.loads(receiver.got[0].body)["data"] == {"job": str(job.pk), "job_details": None}


# --- Retries -----------------------------------------------------------------------------------


def test_a_failure_is_tried_again_with_the_same_id_and_body(receiver, deliver, boss_hook):
    answers = iter([500, 503, 204])
    receiver.answer = lambda _: next(answers)
    tell()
    for _ in range(3):
        deliver()
        later(boss_hook)
    assert len({got.body for got in receiver.got}) == 1
    assert len({got.headers["X-MobileSD-Delivery"] for got in receiver.got}) == 1
    row = Delivery.objects.get()
    assert (row.tries, row.state, row.last_error) == (3, DeliveryState.DELIVERED, "")


def test_the_waits_grow_and_end(receiver, deliver, boss_hook):
    receiver.answer = lambda _: 500
    tell()
    waits = []
    while True:
        deliver()
        row = Delivery.objects.get()
        if row.state == DeliveryState.FAILED:
            break
        waits.append(round((row.due_at - timezone.now()).total_seconds()))
        later(boss_hook)
    assert waits == [10, 60, 300, 1800, 7200, 21600, 86400]
    assert (row.tries, row.last_error) == (8, "It answered 500 Internal Server Error.")
    assert row.ended_at is not None


def test_one_event_that_is_refused_does_not_hold_up_the_others(receiver, deliver, boss_hook):
    poison = tell().pk
    receiver.answer = lambda got: 400 if json.loads(got.body)["event_id"] == poison else 200
    good = [tell().pk for _ in range(3)]
    deliver()
    assert [json.loads(got.body)["event_id"] for got in receiver.got] == [poison, *good]
    assert states() == ["pending", "delivered", "delivered", "delivered"]
    assert Webhook.objects.get().failures_in_row == 0


def test_where_nobody_answers_one_delivery_is_tried_and_all_go_out_when_it_is_back(
    receiver, deliver, boss_hook
):
    Webhook.objects.update(url="http://127.0.0.1:9/")
    made = [tell().pk for _ in range(4)]
    runner = Runner()
    runner.round()
    while runner.is_sending:
        runner.round()
    runner.round()
    assert list(Delivery.objects.order_by("event_id").values_list("tries", flat=True)) == [
        1,
        0,
        0,
        0,
    ]
    row = Webhook.objects.get()
    assert row.failures_in_row == 1
    assert 8 < (row.not_before - timezone.now()).total_seconds() <= 10
    Webhook.objects.update(url=receiver.url, not_before=None)
    deliver()
    # The first one had to wait for its own turn, until the second found somebody there.
    assert sorted(json.loads(got.body)["event_id"] for got in receiver.got) == made
    assert states() == ["delivered"] * 4


def test_a_dead_address_does_not_hold_up_others(receiver, deliver, hook):
    import socket

    boss = Actor.of_user(factories.staff())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hook(boss, url=f"http://127.0.0.1:{silent.getsockname()[1]}/")
        alive = hook(boss)
        runner = Runner()
        tell()
        while not Delivery.objects.filter(webhook=alive, state="delivered").exists():
            runner.round()
        assert runner.is_sending  # the silent one is still waited for
        tell()
        while Delivery.objects.filter(webhook=alive, state="delivered").count() < 2:
            runner.round()
        assert runner.is_sending
        assert len(receiver.got) == 2


def test_what_fails_for_days_is_switched_off_with_a_reason(receiver, deliver, boss_hook, caplog):
    receiver.answer = lambda _: 500
    long_ago = timezone.now() - timedelta(days=3, minutes=1)
    Webhook.objects.update(failures_in_row=7, failing_since=long_ago)
    tell()
    deliver()
    row = Webhook.objects.get()
    assert not row.is_active
    assert row.off_reason.startswith(f"Nothing was delivered since {long_ago:%Y-%m-%d}")
    assert "It answered 500" in row.off_reason
    assert str(row.pk) in caplog.text
    assert row.url not in caplog.text


@pytest.mark.parametrize(("failures", "days"), [(6, 30), (500, 2.9)])
def test_few_failures_or_few_days_switch_nothing_off(receiver, deliver, boss_hook, failures, days):
    receiver.answer = lambda _: 500
    Webhook.objects.update(
        failures_in_row=failures, failing_since=timezone.now() - timedelta(days=days)
    )
    tell()
    deliver()
    assert Webhook.objects.get().is_active


def test_a_success_forgets_the_failures(receiver, deliver, boss_hook):
    Webhook.objects.update(failures_in_row=7, failing_since=timezone.now() - timedelta(days=9))
    tell()
    deliver()
    row = Webhook.objects.get()
    assert (row.failures_in_row, row.failing_since, row.not_before) == (0, None, None)


# --- Replays and tests ----------------------------------------


def test_a_replay_sends_the_same_body_and_id_again(receiver, deliver, boss_hook):
    tell()
    deliver()
    actor = Actor.of_user(boss_hook.owner)
    services.replay(boss_hook.pk, Delivery.objects.get().pk, actor)
    deliver()
    first, second = receiver.got
    assert first.body == second.body
    assert first.headers["X-MobileSD-Delivery"] == second.headers["X-MobileSD-Delivery"]
    assert states() == ["delivered", "delivered"]


def test_a_test_arrives(receiver, deliver, boss_hook):
    services.test(boss_hook.pk, Actor.of_user(boss_hook.owner))
    deliver()
    body = json.loads(receiver.got[0].body)
    assert body["type"] == receiver.got[0].headers["X-MobileSD-Event"] == "webhook.test"


# --- Bounds --------------------------------------------------------------------------------------


def test_so_many_wait_at_most_and_none_is_skipped(receiver, deliver, boss_hook, monkeypatch):
    monkeypatch.setattr(fanout, "MAX_PENDING", 5)
    made = [tell().pk for _ in range(12)]
    Webhook.objects.update(not_before=timezone.now() + timedelta(hours=1))
    runner = Runner()
    for _ in range(4):
        runner.round()
    assert Delivery.objects.count() == 5
    assert Webhook.objects.get().last_event_id == made[4]
    Webhook.objects.update(not_before=None)
    deliver()
    assert [json.loads(got.body)["event_id"] for got in receiver.got] == made


def test_unwanted_events_are_passed_over_without_a_write_for_each(
    receiver, deliver, hook, member, django_assert_num_queries
):
    tell()  # in an empty table the ids begin far beyond the webhook's 0
    webhook = hook(Actor.of_user(member), events=["queue.paused"])
    runner = Runner()
    for _ in range(3):
        tell()
    runner.round()
    webhook.refresh_from_db()
    assert webhook.last_event_id < Event.objects.last_id()
    with django_assert_num_queries(3):  # webhooks, the newest event, what is due
        runner.round()


def test_a_position_far_behind_is_written(receiver, deliver, hook, member, monkeypatch):
    monkeypatch.setattr(fanout, "_UNWRITTEN", 2)
    webhook = hook(Actor.of_user(member), events=["queue.paused"])
    for _ in range(3):
        tell()
    Runner().round()
    webhook.refresh_from_db()
    assert webhook.last_event_id == Event.objects.last_id()
