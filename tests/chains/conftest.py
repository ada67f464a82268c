"""Chains of jobs, made by the API and ended by hand."""

import pytest

from tests.api.conftest import api, boss, member, rows

__all__ = ["api", "boss", "member", "rows"]


@pytest.fixture
def server(db):
    from tests import factories

    return factories.server()
