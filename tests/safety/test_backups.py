"""Scheduled backups, and everything in one file."""

import tarfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from gallery.models import Image
from jobs import events
from jobs.models import Job
from mobilesd.backups import archive, damage, snapshots
from tests.safety.world import World


def test_a_backup_is_whole_while_others_write(world: World):
    for number in range(50):
        world.submit(f"before {number}")
    stop = threading.Event()
    trouble: list[BaseException] = []
    written: list[int] = []

    def write() -> None:
        try:
            while not stop.is_set():
                world.submit(f"meanwhile {len(written)}")
                written.append(1)
        except BaseException as error:
            trouble.append(error)
        finally:
            connections.close_all()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        taken = world.backup()
    finally:
        stop.set()
        writer.join()
    assert not trouble
    assert snapshots.check(taken.path, whole=True) == ""


def test_a_backup_that_is_not_whole_is_none(world: World, monkeypatch):
    world.submit()
    before = snapshots.snapshots()
    monkeypatch.setattr(snapshots, "check", lambda *_, **__: "a page is wrong")
    with pytest.raises(ValueError, match="a page is wrong"):
        world.backup()
    assert snapshots.snapshots() == before


def test_two_newest_seven_days_and_four_weeks_are_kept(world: World):
    [first] = snapshots.snapshots()
    now = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
    for hours in range(24 * 60):
        at = now - timedelta(hours=hours)
        (snapshots.folder() / f"mobilesd-{at:%Y%m%dT%H%M%S}.sqlite3").touch()
    first.path.unlink()
    snapshots.forget_old()
    kept = [snapshot.at for snapshot in snapshots.snapshots()]
    assert kept[:2] == [now, now - timedelta(hours=1)]
    days = sorted({at.date() for at in kept}, reverse=True)
    assert days[:7] == [(now - timedelta(days=day)).date() for day in range(7)]
    assert now - kept[-1] > timedelta(days=18)
    assert len(kept) <= 2 + 7 + 4


def test_a_backup_is_due_after_an_hour(world: World):
    taken = world.backup()
    assert not snapshots.due(taken.at + timedelta(minutes=59))
    assert snapshots.due(taken.at + timedelta(minutes=61))
    assert snapshots.due(taken.at - timedelta(days=1)), "the clock was put back"


# --- Everything in one file ---------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    found = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {str(path.relative_to(folder)): content for path, content in found.items()}


@pytest.fixture
def archived(world: World, tmp_path: Path) -> Path:
    (world.data_dir / "secret_key").write_text("the key of then")
    world.complete(world.submit("a boat"))
    file = tmp_path / "everything.tar"
    call_command("backup", str(file))
    return file


def test_what_came_after_is_gone_and_what_was_is_back(world: World, archived: Path):
    world.submit("later")
    (world.data_dir / "secret_key").write_text("another key")
    for path in (world.data_dir / "images").rglob("*"):
        if path.is_file():
            path.unlink()
    epoch = events.epoch()
    world.close()
    call_command("restore", str(archived))
    assert world.states() == {"a boat": "completed"}
    assert (world.data_dir / "images" / Image.objects.get().sha256[:2]).is_dir()
    assert (world.data_dir / "secret_key").read_text() == "the key of then"
    assert events.epoch() != epoch
    connections.close_all()
    damage._use.let_go()
    assert world.start() is None, "the journal of before must not complete it"
    assert set(world.states()) == {"a boat"}
    [aside] = (world.data_dir / "set-aside").glob("*/mobilesd.sqlite3")
    assert aside.exists()


def test_a_dry_run_changes_nothing(world: World, archived: Path, capsys):
    world.close()
    damage._use.let_go()
    before = contents(world.data_dir)
    call_command("restore", str(archived), "--dry-run")
    assert contents(world.data_dir) == before
    assert "1 jobs" in capsys.readouterr().out


def test_a_running_installation_refuses_it(world: World, archived: Path):
    import fcntl

    world.close()
    damage._use.let_go()
    with (world.data_dir / "database.lock").open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)  # as every process that has it open
        before = contents(world.data_dir)
        with pytest.raises(CommandError, match="Another process"):
            call_command("restore", str(archived))
        assert contents(world.data_dir) == before


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_a_damaged_archive_is_refused_before_anything_changes(
    world: World, archived: Path, place: float
):
    content = bytearray(archived.read_bytes())
    with tarfile.open(archived) as tar:
        member = tar.getmember("database.sqlite3")
    content[member.offset_data + int(member.size * place)] ^= 0xFF
    archived.write_bytes(content)
    world.close()
    damage._use.let_go()
    before = contents(world.data_dir)
    with pytest.raises(CommandError, match="damaged"):
        call_command("restore", str(archived))
    assert contents(world.data_dir) == before


def test_an_archive_can_name_no_place_outside(world: World, tmp_path: Path):
    file = tmp_path / "evil.tar"
    with tarfile.open(file, "w") as tar:
        tar.add(__file__, "../../evil")
    with pytest.raises(archive.NotAnArchive, match="no backup has"):
        archive.inspect(file)


def test_a_file_that_is_there_is_not_overwritten(world: World, archived: Path):
    before = archived.read_bytes()
    with pytest.raises(CommandError, match="already"):
        call_command("backup", str(archived))
    assert archived.read_bytes() == before


def test_jobs_are_counted(world: World, archived: Path):
    assert archive.inspect(archived).jobs == Job.objects.count() == 1
