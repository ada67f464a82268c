"""Files of a queue, and somebody to take them in."""

from pathlib import Path
from typing import Any

import pytest

from apikeys.actors import Actor
from tests import factories
from tests.api.conftest import Api


@pytest.fixture
def anna(db: None) -> Any:
    return factories.user("anna")


@pytest.fixture
def actor(anna: Any) -> Actor:
    return Actor.of_user(anna)


@pytest.fixture
def api(anna: Any) -> Api:
    return Api(factories.key(anna)[1])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "queue.ndjson"
