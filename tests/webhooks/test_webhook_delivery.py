"""From an event to a POST: each event once for each webhook, in order, again until it is taken."""

import json
import logging
import threading
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from apikeys.actors import Actor
from apikeys.models import ApiKey
from jobs import events
from jobs import services as job_services
from jobs.models import Delivery, DeliveryState, Event, Job, Webhook
from jobs.webhooks import bodies, claims, fanout, services
from jobs.webhooks import runner as runner_module
from jobs.webhooks.claims import claim, settle
from jobs.webhooks.runner import Runner
from jobs.webhooks.sending import Outcome
from tests import factories
from tests.processes.installation import eventually
from tests.webhooks.conftest import SECRET, later
from tests.webhooks.test_webhook_signature import verified

pytestmark = pytest.mark.django_db(transaction=True)


def tell(kind="server.status", **fields):
    """Let something happen; return the event."""
    with transaction.atomic():
        events.emit(kind, fields.pop("payload", {"alias": "a"}), public=True, **fields)
    return Event.objects.latest("id")


@pytest.fixture
def boss_hook(hook):
    return hook(Actor.of_user(factories.staff()))


def states():
    return list(Delivery.objects.order_by("event_id").values_list("state", flat=True))


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


# --- Crashes and races ----------------------------------------


def test_a_crash_between_sending_and_noting_it_sends_it_again(receiver, deliver, boss_hook):
    tell()
    dying = Runner()
    dying.round()
    while not receiver.got:
        pass
    del dying  # its result is never written down
    successor = Runner()
    successor.round()
    assert not successor.is_sending  # the lease is respected ...
    row = Delivery.objects.get()
    assert timezone.now() < row.due_at <= timezone.now() + claims.LEASE
    later(boss_hook)  # ... until it has run out
    deliver(successor)
    assert len(receiver.got) == 2
    assert len({got.headers["X-MobileSD-Delivery"] for got in receiver.got}) == 1
    assert states() == ["delivered"]


def test_a_crash_before_the_deliveries_are_made_skips_and_doubles_nothing(
    receiver, deliver, boss_hook, monkeypatch
):
    made = [tell().pk for _ in range(3)]

    def disk_full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Delivery.objects, "bulk_create", disk_full, raising=False)
        patch.setattr(fanout.Delivery.objects, "bulk_create", disk_full, raising=False)
        with pytest.raises(OSError, match="No space"):
            Runner().round()
    assert not Delivery.objects.exists()
    assert Webhook.objects.get().last_event_id < made[0]
    deliver()
    assert [json.loads(got.body)["event_id"] for got in receiver.got] == made


def test_two_at_once_make_and_send_each_delivery_once(receiver, deliver, boss_hook):
    made = [tell().pk for _ in range(30)]
    one, two = Runner(), Runner()
    while Delivery.objects.filter(state="delivered").count() < 30:
        one.round()
        two.round()
    assert [json.loads(got.body)["event_id"] for got in receiver.got] == made
    assert Delivery.objects.count() == 30


def test_a_stale_view_of_a_webhook_makes_nothing_twice(receiver, boss_hook):
    event = tell()
    actor = Actor.of_user(boss_hook.owner)
    stale = Webhook.objects.get()
    for webhook in (Webhook.objects.get(), stale):
        fanout.fan_out(webhook, actor, after=webhook.last_event_id, newest=event.pk)
    assert Delivery.objects.count() == 1


def test_a_delivery_is_claimed_by_one_and_a_late_result_changes_nothing(receiver, boss_hook):
    tell()
    fanout.fan_out(
        boss_hook,
        Actor.of_user(boss_hook.owner),
        after=boss_hook.last_event_id,
        newest=Event.objects.last_id(),
    )
    first = claim(boss_hook.pk)
    assert claim(boss_hook.pk) is None
    later(boss_hook)
    second = claim(boss_hook.pk)
    assert (first.tries, second.tries) == (1, 2)
    assert not settle(first, Outcome(500, "too late", 1.0))
    assert Webhook.objects.get().failures_in_row == 0
    assert settle(second, Outcome(204, "", 1.0))
    assert not settle(second, Outcome(500, "twice", 1.0))
    assert states() == ["delivered"]


def test_one_delivery_of_a_webhook_is_under_way_at_a_time(receiver, boss_hook):
    made = [tell().pk, tell().pk]
    fanout.fan_out(
        boss_hook,
        Actor.of_user(boss_hook.owner),
        after=boss_hook.last_event_id,
        newest=made[-1],
    )
    first = claim(boss_hook.pk)
    assert claim(boss_hook.pk) is None  # although the second one is due
    settle(first, Outcome(204, "", 1.0))
    second = claim(boss_hook.pk)
    assert [json.loads(each.body)["event_id"] for each in (first, second)] == made


def test_a_claim_that_finds_nothing_leaves_the_webhook_free(receiver, boss_hook):
    assert claim(boss_hook.pk) is None
    assert Webhook.objects.get().not_before is None


def test_a_webhook_that_is_deleted_meanwhile_leaves_nothing(receiver, boss_hook):
    tell()
    runner = Runner()
    runner.round()
    assert runner.is_sending
    Webhook.objects.get().delete()
    while runner.is_sending:
        runner.round()
    assert not Delivery.objects.exists()


def test_one_that_is_switched_off_gets_nothing_more(receiver, deliver, boss_hook):
    tell()
    fanout.fan_out(
        boss_hook,
        Actor.of_user(boss_hook.owner),
        after=boss_hook.last_event_id,
        newest=Event.objects.last_id(),
    )
    Webhook.objects.update(is_active=False)
    assert Runner().round() is False
    assert claim(boss_hook.pk) is None
    assert receiver.got == []


def test_a_secret_that_can_not_be_read_switches_it_off_and_nothing_is_sent(
    receiver, deliver, boss_hook, settings
):
    tell()
    settings.SECRET_KEY = "another one since"
    deliver()
    assert receiver.got == []
    row = Webhook.objects.get()
    assert not row.is_active
    assert "secret" in row.off_reason
    assert states() == ["pending"]


def test_neither_the_secret_nor_the_path_nor_a_prompt_is_in_a_log(
    receiver, deliver, hook, member, caplog
):
    caplog.set_level(logging.DEBUG)
    actor = Actor.of_user(member)
    receiver.answer = lambda _: 500
    hook(actor, url=receiver.url + "/hidden-word")
    order = job_services.Order({"positive_prompt": "a-private-prompt"})
    job_services.submit(order, actor)
    deliver()
    assert receiver.got
    ours = "\n".join(
        record.getMessage() for record in caplog.records if "django.db" not in record.name
    )
    assert SECRET not in ours
    assert "hidden-word" not in ours
    assert "a-private-prompt" not in ours


# --- The loop --------------------------


def test_it_ends_where_there_is_nothing_to_do():
    assert Runner().run(60) is False


def test_it_ends_when_it_is_told_to_and_says_that_there_is_more(receiver, boss_hook):
    asked = iter([False, False, True, True, True, True])
    assert Runner(stop=lambda: next(asked, True)).run(60) is True


def test_it_sees_a_new_event_by_itself(receiver, boss_hook):
    import threading

    from django.db import connections

    stop = threading.Event()

    def run():
        try:
            Runner(stop=stop.is_set).run(60)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        for count in (1, 2, 3):
            tell()
            _until(lambda count=count: len(receiver.got) >= count)
        _until(lambda: states() == ["delivered"] * 3)
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()


def _until(true, seconds=10):
    import time

    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_one_owner_with_slow_addresses_does_not_hold_up_the_others(receiver, hook, member):
    go_on = threading.Event()
    receiver.answer = lambda got: 204 if got.path == "/other" or go_on.wait(10) else 500
    for _ in range(runner_module.AT_ONCE + 1):
        hook(Actor.of_user(member))
    other = hook(Actor.of_user(factories.user()), url=f"http://127.0.0.1:{receiver.port}/other")
    runner = Runner()
    tell()
    delivered = Delivery.objects.filter(webhook=other, state=DeliveryState.DELIVERED)
    try:
        eventually(lambda: runner.round() and delivered.exists())
        under_way = list(runner._sending.values())
        assert len(under_way) == runner_module.AT_ONCE_EACH
    finally:
        go_on.set()
        runner.finish()
