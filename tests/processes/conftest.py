"""Installations for tests, prepared once a run: migrations and static files cost seconds."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.processes.installation import ROOT, Installation


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run these one after the other: two installations at once would measure each other."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("processes"))


@pytest.fixture(scope="session")
def prepared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with an empty database; no process has it open."""
    folder = tmp_path_factory.mktemp("prepared") / "data"
    env = {name: value for name, value in os.environ.items() if "MOBILESD_" not in name}
    done = subprocess.run(
        [sys.executable, "manage.py", "prepare"],
        cwd=ROOT,
        env={**env, "MOBILESD_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def install(prepared_folder: Path, tmp_path: Path) -> Callable[..., Installation]:
    """Return a function that makes an installation in a prepared folder; use it in a `with`."""

    def make(**options: Any) -> Installation:
        folder = tmp_path / "installation"
        if not folder.exists():
            shutil.copytree(prepared_folder, folder)
        return Installation(folder, **options)

    return make
