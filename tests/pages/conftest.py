"""Browsers without a screen: Django's client, signed in, with CSRF checks on where it matters."""

import pytest
from django.test import Client

from tests import factories


@pytest.fixture
def member(db):
    return factories.user("ben")


@pytest.fixture
def browser(member):
    client = Client()
    client.force_login(member)
    return client


@pytest.fixture
def staff_browser(db):
    client = Client()
    client.force_login(factories.staff("anna"))
    return client


HTMX = {"HX-Request": "true"}
