import pytest

from tests.dispatch.forge.helpers import Driver, Scripted


@pytest.fixture
def drive():
    """Start fakes with a dispatcher each; they end with the test."""
    drivers = []

    def start(**settings):
        drivers.append(Driver(**settings))
        return drivers[-1]

    yield start
    for driver in drivers:
        driver.close()


@pytest.fixture
def forge(drive):
    """A fake that takes no time, and a dispatcher for it."""
    return drive()


@pytest.fixture
def scripted():
    """Start servers that answer what a test says, byte for byte; they end with the test."""
    servers = []

    def start(*answers, **settings):
        servers.append(Scripted(answers, **settings))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
