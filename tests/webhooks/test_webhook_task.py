"""The task that delivers: started where it is needed, one a machine; and what the log keeps."""

from datetime import timedelta
from pydoc import locate

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from apikeys.actors import Actor
from jobs.models import Delivery, Webhook
from jobs.webhooks import retention
from mobilesd import deliveries
from mobilesd.supervisor.locks import FileLock
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def webhook(hook):
    return hook(Actor.of_user(factories.staff()))


def tasks():
    return [row.task["func"] for row in OrmQ.objects.all()]


def test_its_name_is_that_of_the_function():
    assert locate(deliveries._TASK) is deliveries.run


def test_no_webhook_costs_no_task(settings):
    deliveries.wake()
    assert tasks() == []


def test_an_active_webhook_that_nobody_serves_gets_a_task(webhook):
    deliveries.wake()
    assert tasks() == [deliveries._TASK]


def test_one_that_is_off_gets_none(webhook):
    Webhook.objects.update(is_active=False)
    deliveries.wake()
    assert tasks() == []


def test_while_somebody_is_at_it_no_other_begins(webhook):
    lock = FileLock(deliveries._lock_file())
    lock.acquire()
    try:
        deliveries.wake()
        assert tasks() == []
        assert deliveries.run() == "somebody is at it"
    finally:
        lock.release()


def test_a_successor_goes_on_when_the_time_is_over(webhook, monkeypatch):
    monkeypatch.setattr(deliveries, "RUN_SECONDS", 0.0)
    assert deliveries.run() == "done"
    assert tasks() == [deliveries._TASK]
    Webhook.objects.all().delete()
    OrmQ.objects.all().delete()
    monkeypatch.setattr(deliveries, "RUN_SECONDS", 60.0)
    assert deliveries.run() == "done"
    assert tasks() == []


def test_a_stop_is_seen_and_starts_nothing_anew(webhook, settings):
    from dispatch.stopping import stop_file

    settings.BOOT_ID = "boot"
    stop_file("boot").touch()
    assert deliveries.run() == "stopping"
    assert tasks() == []


def line(webhook, *, days=0.0):
    at = timezone.now() - timedelta(days=days)
    return Delivery.objects.create(
        webhook=webhook, kind="job.status", body="{}", due_at=at, created_at=at, state="delivered"
    )


def test_the_log_keeps_fourteen_days(webhook):
    line(webhook, days=14.01)
    kept = line(webhook, days=13.9)
    assert retention.forget_deliveries() == 1
    assert Delivery.objects.get() == kept


def test_the_log_of_one_webhook_keeps_so_many_lines(webhook, monkeypatch):
    monkeypatch.setattr(retention, "KEPT_EACH", 3)
    monkeypatch.setattr(retention, "_BATCH", 2)
    lines = [line(webhook, days=n) for n in range(8)]
    assert retention.forget_deliveries() == 5
    assert set(Delivery.objects.all()) == set(lines[:3])


def test_housekeeping_forgets_them(webhook):
    from mobilesd import housekeeping

    line(webhook, days=20)
    housekeeping.run()
    assert not Delivery.objects.exists()
