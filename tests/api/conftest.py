"""Clients of the API: with a key, with a page's session, with nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apikeys.models import SCOPES
from jobs.models import Event, Idempotency, Job, JobInput
from tests import factories


class Api(Client):
    """Django's test client with a key in each request, and JSON as its bodies."""

    def __init__(self, token: str = "", **options: Any) -> None:
        headers = {"Authorization": f"Api-Key {token}"} if token else {}
        super().__init__(headers=headers, **options)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a value as JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else b"" if body is None else encoded(body)
        return self.generic(method, path, data, "application/json", headers=headers)


def encoded(body: Any) -> bytes:
    return json.dumps(body).encode()


@pytest.fixture
def boss(db: None) -> Api:
    """A key of the installation that may do everything."""
    return Api(factories.key(scopes=SCOPES)[1])


@pytest.fixture
def member(db: None) -> Any:
    return factories.user("member")


@pytest.fixture
def api(member: Any) -> Api:
    """A key of a member, with the default scopes."""
    return Api(factories.key(member)[1])


@pytest.fixture
def rows(data_dir: Path) -> Callable[[], dict[str, int]]:
    """Count what a submission writes: rows and input files."""

    def count() -> dict[str, int]:
        files = [file for file in (data_dir / "inputs").rglob("*") if file.is_file()]
        written = (Job, JobInput, Event, Idempotency)
        return {"files": len(files)} | {model.__name__: model.objects.count() for model in written}

    return count
