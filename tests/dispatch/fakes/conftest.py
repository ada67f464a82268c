import pytest

from tests.dispatch.fakes.helpers import Client, recorded_forge


@pytest.fixture
def serve():
    """Start fakes; they end with the test."""
    started = []

    def start(**settings):
        forge = recorded_forge(**settings).start()
        started.append(forge)
        return Client(forge)

    yield start
    for forge in started:
        forge.stop()


@pytest.fixture
def client(serve):
    """A fake that takes no time."""
    return serve()
