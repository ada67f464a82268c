"""Lanes in processes of their own, for the tests that kill and freeze them."""

from collections.abc import Iterator

import pytest

from tests.dispatch.lane_processes import Cluster


@pytest.fixture(scope="session")
def _cluster(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker
) -> Iterator[Cluster]:
    """Start Django once for all lanes of this xdist worker."""
    log = tmp_path_factory.mktemp("lanes") / "lanes.log"
    with django_db_blocker.unblock(), Cluster(log) as cluster:
        yield cluster


@pytest.fixture
def cluster(_cluster: Cluster) -> Iterator[Cluster]:
    """Give a test a place to run lane processes; what is left of them is killed."""
    yield _cluster
    for lane in _cluster.lanes:
        lane.kill()
