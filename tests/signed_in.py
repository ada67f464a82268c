"""Browsers without a screen: Django's client, signed in as somebody."""

from typing import Any, TypeVar

import pytest
from django.test import Client

from tests import factories

__all__ = ["browser", "member", "signed_in", "staff_browser"]

_Client = TypeVar("_Client", bound=Client)


def signed_in(user: Any, client: _Client) -> _Client:
    """Give a client the session of a user."""
    client.force_login(user)
    return client


@pytest.fixture
def member(db: None) -> Any:
    return factories.user("ben")


@pytest.fixture
def browser(member: Any) -> Client:
    return signed_in(member, Client())


@pytest.fixture
def staff_browser(db: None) -> Client:
    """Anna's, who is of the staff."""
    return signed_in(factories.staff("anna"), Client())
