"""A real database file of the test's own, with its journal and its backups beside it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command

from mobilesd.backups import damage, recovery, snapshots
from tests.safety.world import World


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory, django_db_blocker) -> Path:
    """Return an empty database file of this version."""
    if not django_settings.EMBEDDED:
        pytest.skip("PostgreSQL keeps a log of its own")
    file = tmp_path_factory.mktemp("safety") / "empty.sqlite3"
    with django_db_blocker.unblock(), recovery.working_on(file):
        call_command("migrate", interactive=False, verbosity=0, skip_checks=True)
    return file


@pytest.fixture
def world(migrated: Path, data_dir: Path, django_db_blocker) -> Iterator[World]:
    """Return an installation whose database may be damaged; use it in place of `db`."""
    file = data_dir / "mobilesd.sqlite3"
    shutil.copy(migrated, file)
    # An empty backup, so that not every recovery has to migrate from nothing.
    backup = snapshots.folder() / "mobilesd-20200101T000000.sqlite3"
    backup.parent.mkdir()
    shutil.copy(migrated, backup)
    with django_db_blocker.unblock(), recovery.working_on(file):
        yield World(data_dir)
    damage._use.let_go()
