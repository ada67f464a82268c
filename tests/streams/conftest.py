"""Somebody with a key and a job."""

from typing import Any

import pytest

from jobs.models import Job
from tests import factories


@pytest.fixture
def member(transactional_db: None) -> Any:
    return factories.user()


@pytest.fixture
def token(member: Any) -> str:
    return factories.key(member)[1]


@pytest.fixture
def job(member: Any) -> Job:
    return factories.job(owner=member)
