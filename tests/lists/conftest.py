"""Jobs that can be found, and the API to find them with."""

from collections.abc import Callable
from typing import Any

import pytest

from jobs import wording
from jobs.choices import Status
from jobs.models import Job
from tests import factories
from tests.api.conftest import api, boss, member

__all__ = ["api", "boss", "member"]


@pytest.fixture
def job(db: None) -> Callable[..., Job]:
    """Make a job that can be found by its prompt."""

    def make(prompt: str = "a lighthouse", status: str = Status.PENDING, **fields: Any) -> Job:
        params = {"positive_prompt": prompt, **fields.pop("params", {})}
        made = factories.job(status, generation_params=params, **fields)
        wording.add([made])
        return made

    return make


@pytest.fixture
def found(api: Any) -> Callable[..., list[str]]:
    """Return the prompts of the jobs that the list shows for a query."""

    def ask(q: str, **filters: Any) -> list[str]:
        answer = api.get("/api/v2/jobs", {"q": q, **filters})
        assert answer.status_code == 200, answer.content
        return [row["generation_params"]["positive_prompt"] for row in answer.json()["jobs"]]

    return ask
