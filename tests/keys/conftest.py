"""Who manages keys: a member and staff on their pages, programs by key."""

from typing import Any

import pytest

from apikeys.models import SCOPES
from tests import factories
from tests.api.conftest import Api

KEYS = "/api/v1/api-keys"


def signed_in(user: Any) -> Api:
    """Return a client with a page's session, which sends JSON."""
    client = Api()
    client.force_login(user)
    return client


@pytest.fixture
def member(db: None) -> Any:
    return factories.user("ben")


@pytest.fixture
def ben(member: Any) -> Api:
    return signed_in(member)


@pytest.fixture
def anna(db: None) -> Api:
    """Somebody of the staff, signed in."""
    return signed_in(factories.staff("anna"))


@pytest.fixture
def boss(db: None) -> Api:
    """A key of the installation that may do everything."""
    return Api(factories.key(scopes=SCOPES)[1])
