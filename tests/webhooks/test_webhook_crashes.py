"""Deliveries when processes end, rows change and several are at it: nothing lost or doubled."""

import json
import logging
import threading

import pytest
from django.utils import timezone

from apikeys.actors import Actor
from jobs import services as job_services
from jobs.models import Delivery, DeliveryState, Event, Webhook
from jobs.webhooks import claims, fanout
from jobs.webhooks import runner as runner_module
from jobs.webhooks.claims import claim, settle
from jobs.webhooks.runner import Runner
from jobs.webhooks.sending import Outcome
from tests import factories
from tests.processes.installation import eventually
from tests.webhooks.conftest import SECRET, later
from tests.webhooks.happenings import states, tell

pytestmark = pytest.mark.django_db(transaction=True)


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
