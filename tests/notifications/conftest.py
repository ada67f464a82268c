"""A real HTTP receiver on this machine, which the setting has to allow."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone

from apikeys.actors import Actor
from jobs.models import Notice, Notifier
from jobs.notifications import services
from tests import factories
from tests.api.conftest import api, boss, member  # noqa: F401  fixtures
from tests.webhooks.receiver import Receiver


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOK_ALLOW_LOCAL = True
    with Receiver() as serving:
        yield serving


@pytest.fixture
def anna() -> Any:
    return factories.user("anna")


@pytest.fixture
def notifier(receiver: Receiver, anna: Any) -> Callable[..., Notifier]:
    """Return a function that makes a notifier of Anna's to the receiver."""

    def make(owner: Any = anna, **fields: Any) -> Notifier:
        url = receiver.url.replace("http://", "json://")
        fields = {"url": url, "kinds": ["done", "failed"], **fields}
        return services.create(Actor.of_user(owner), fields)

    return make


def told() -> list[tuple[str, str]]:
    """Return kind and title of all notices, oldest first."""
    return list(Notice.objects.order_by("pk").values_list("kind", "title"))


def later() -> None:
    """Let the time pass that messages wait for."""
    Notice.objects.filter(sent_at__isnull=True).update(due_at=timezone.now())
