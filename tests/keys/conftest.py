"""Who manages keys: a member and staff on their pages, programs by key."""

from typing import Any

import pytest

from apikeys.models import SCOPES
from tests import factories
from tests.api.conftest import Api
from tests.signed_in import browser, member, signed_in, staff_browser

__all__ = ["KEYS", "anna", "ben", "boss", "browser", "member", "staff_browser"]

KEYS = "/api/v1/api-keys"


@pytest.fixture
def ben(member: Any) -> Api:
    return signed_in(member, Api())


@pytest.fixture
def anna(db: None) -> Api:
    """Somebody of the staff, signed in."""
    return signed_in(factories.staff("anna"), Api())


@pytest.fixture
def boss(db: None) -> Api:
    """A key of the installation that may do everything."""
    return Api(factories.key(scopes=SCOPES)[1])
