"""A receiver on this machine, which the setting has to allow, and a runner that is stepped."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone

from apikeys.actors import Actor
from jobs.models import Delivery, DeliveryState, Event, Webhook
from jobs.webhooks import services
from jobs.webhooks.runner import Runner
from tests import factories
from tests.api.conftest import api, boss, member  # noqa: F401  fixtures
from tests.webhooks.receiver import Receiver

SECRET = "a secret of the tests"


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOK_ALLOW_LOCAL = True
    with Receiver() as serving:
        yield serving


@pytest.fixture
def deliver() -> Callable[..., Runner]:
    """Return a function that runs rounds until nothing is under way and nothing is due."""

    def work(runner: Runner | None = None) -> Runner:
        runner = runner or Runner()
        end = time.monotonic() + 20
        while True:
            runner.round()
            due = Delivery.objects.filter(
                state=DeliveryState.PENDING,
                due_at__lte=timezone.now(),
                webhook__is_active=True,
                webhook__not_before__isnull=True,
            )
            behind = Webhook.objects.filter(
                is_active=True, last_event_id__lt=Event.objects.last_id()
            )
            if not runner.is_sending and not due.exists():
                runner.round()
                if not runner.is_sending and not (due.exists() and behind.exists()):
                    return runner
            assert time.monotonic() < end, "deliveries do not come to rest"
            time.sleep(0.005)

    return work


@pytest.fixture
def hook(receiver: Receiver) -> Callable[..., Webhook]:
    """Return a function that makes a webhook to the receiver."""

    def make(actor: Any, **fields: Any) -> Webhook:
        fields = {"url": receiver.url, "events": ["*"], "secret": SECRET, **fields}
        return services.create(actor, **fields)[0]

    return make


def later(webhook: Webhook) -> None:
    """Let the time pass that a webhook and its deliveries wait for."""
    Webhook.objects.filter(pk=webhook.pk).update(not_before=None)
    Delivery.objects.filter(webhook=webhook).update(due_at=timezone.now())


@pytest.fixture
def boss_hook(hook):
    return hook(Actor.of_user(factories.staff()))
