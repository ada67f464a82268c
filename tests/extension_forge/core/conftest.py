"""A folder of data, a scripted MobileSD, and real ones."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mobilesd_forge.client import Client
from mobilesd_forge.outbox import Order, Outbox
from mobilesd_forge.service import Service
from mobilesd_forge.settings import Settings

from tests.extension_forge.core.scripted import Scripted, scripted
from tests.processes.conftest import install, prepared_folder  # noqa: F401  fixtures

KEY = "abcdefgh.0123456789abcdefghijklmnopqrstuv"


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as running:
        yield running


@pytest.fixture
def client(server: Scripted) -> Client:
    return Client(server.url, KEY, "0123456789ab")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "extension data"
    made.mkdir()
    return made


@pytest.fixture
def outbox(folder: Path) -> Outbox:
    return Outbox(folder, "0123456789ab")


@pytest.fixture
def service_for(folder: Path) -> Iterator[Callable[..., Service]]:
    """Return a function that makes a service for an address, with a key if one is given."""
    made: list[Service] = []

    def make(url: str, key: str = "", **options: Any) -> Service:
        service = Service(folder, lambda: Settings(url=url, **options))
        if key:
            service.store_key(key)
        made.append(service)
        return service

    yield make
    for service in made:
        service.stop()


def order(prompt: str = "a boat", **more: Any) -> Order:
    """Return an order of a small picture."""
    params = {"positive_prompt": prompt, "width": 64, "height": 64, "steps": 4}
    return Order({**params, **more.pop("params", {})}, **more)
