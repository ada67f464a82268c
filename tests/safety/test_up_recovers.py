"""`up` with its real processes, over a database that is damaged."""

import contextlib
import re
import shutil
import signal
import sqlite3
from pathlib import Path

import psutil
import pytest
import requests

from tests.processes.installation import Installation, eventually


def damage(file: Path) -> None:
    """Write nonsense over all pages but the first, beneath the processes that have it open."""
    with contextlib.closing(sqlite3.connect(file, timeout=20)) as connection:
        eventually(
            lambda: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0,
            what="the log written back",
        )
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.seek(4096)
        stream.write(b"\xff" * (size - 4096))


def backed_up(started: Installation) -> None:
    """Make a backup now: keys are not in the journal."""
    code = "from mobilesd.backups import snapshots; snapshots.take()"
    started.manage("shell", "-c", code)


def test_a_database_that_is_damaged_under_way_comes_back_with_its_jobs(tmp_path: Path):
    with Installation(tmp_path / "data") as started:
        first = started.submit()
        backed_up(started)
        second = started.submit()
        pid = started.process("web").pid
        damage(started.data_dir / "mobilesd.sqlite3")
        with contextlib.suppress(requests.RequestException):
            started.answer("/healthz")

        def told() -> bool:
            return "was rebuilt from" in started.logs

        eventually(told, 60, "the recovery")
        started.wait_ready()
        assert started.process("web").pid != pid
        assert {started.job(job)["status"] for job in (first, second)} == {"pending"}
        assert started.up is not None
        assert started.up.poll() is None, "it is the same `up`"
        warnings = requests.get(f"{started.url}/healthz", timeout=5).json()["warnings"]
        assert re.search("was rebuilt from the backup of", warnings[0])


@pytest.mark.parametrize("harm", ["deleted", "replaced"])
def test_a_database_whose_file_is_gone_under_way_comes_back_with_its_jobs(
    tmp_path: Path, harm: str
):
    """Nobody meets an error: the processes still have the deleted file open."""
    with Installation(tmp_path / "data") as started:
        first = started.submit()
        backed_up(started)
        old = next((started.data_dir / "backups").glob("*.sqlite3"))
        later = started.submit()
        file = started.data_dir / "mobilesd.sqlite3"
        if harm == "deleted":
            file.unlink()
        else:
            shutil.copy(old, tmp_path / "old").rename(file)
        eventually(lambda: started.logs.count("MobileSD is ready") == 2, 90, "a second start")
        assert {started.job(job)["status"] for job in (first, later)} == {"pending"}
        assert started.up is not None
        assert started.up.poll() is None, "it is the same `up`"
        assert ("was rebuilt from" in started.logs) or harm == "replaced"


def test_a_database_that_is_gone_is_no_empty_installation(tmp_path: Path):
    with Installation(tmp_path / "data") as started:
        job = started.submit()
        backed_up(started)
        later = started.submit()
        for process in (started.up, *started.children()):
            assert process is not None
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
        assert started.up is not None
        started.up.wait()
        eventually(lambda: not started.left_behind(), what="all processes gone")
        for file in started.data_dir.glob("mobilesd.sqlite3*"):
            file.unlink()
        started.start()
        assert "the file is missing" in started.logs
        assert {started.job(known)["status"] for known in (job, later)} == {"pending"}
        assert started.manage("doctor").count("recovered at") == 1


CUT_OFF = """
from unittest import mock
from mobilesd.backups import replacement, restoring
with mock.patch.object(replacement, "finish", side_effect=SystemExit):
    try:
        restoring.restore(__import__("pathlib").Path({file!r}), print)
    except SystemExit:
        pass
"""


def test_a_restore_that_was_cut_off_is_finished_by_the_next_start_with_its_key(tmp_path: Path):
    file = str(tmp_path / "everything.tar")
    with Installation(tmp_path / "data") as started:
        job = started.submit()
        started.manage("backup", file)
        later = started.submit()
        started.stop()
        key = started.data_dir / "secret_key"
        right = key.read_text()
        key.write_text("of another life")
        started.manage("shell", "-c", CUT_OFF.format(file=file))
        assert key.read_text() == "of another life"
        started.start()
        assert "The restore of a backup had been cut off. It is finished" in started.logs
        assert key.read_text() == right
        assert started.job(job)["status"] == "pending"
        assert started.api.get(f"/api/v2/jobs/{later}/status").status_code == 404
        code = "from django.conf import settings; print(settings.SECRET_KEY)"
        assert started.manage("shell", "-c", code).strip().endswith(right)
        # `up` read the wrong key at first: it began anew, and so did whatever it starts.
        assert started.up is not None
        environment = psutil.Process(started.up.pid).environ()
        assert environment["MOBILESD_RECOVERIES"]
