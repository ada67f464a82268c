"""`doctor --repair` does by hand what a start does by itself, and what no start does: rows."""

import io

import pytest
from django.core.management import call_command

from jobs import journal
from jobs.models import Job
from mobilesd.backups import damage
from mobilesd.doctor import safety
from mobilesd.management.commands import doctor
from tests.safety.test_damaged_bytes import places, turn
from tests.safety.world import A_DAY, World, a_day


@pytest.fixture
def run(monkeypatch, world: World):
    """Return what runs the doctor, with its look at the safety alone."""
    monkeypatch.setattr(doctor, "LOOKS", [safety.look_at_safety])
    monkeypatch.setattr(doctor, "_system_checks", lambda: iter(()))

    def run(*arguments: str) -> tuple[int, str]:
        out = io.StringIO()
        world.close()
        damage._use.let_go()
        code = 0
        try:
            call_command("doctor", *arguments, stdout=out, no_color=True)
        except SystemExit as end:
            code = int(end.code or 0)
        return code, out.getvalue()

    return run


def test_a_damaged_database_is_recovered(world: World, run):
    a_day(world)
    world.close()
    next(places(world))
    harmed = world.file.read_bytes()
    code, text = run()
    assert code == 1
    assert "FAIL The database is damaged" in text
    assert world.file.read_bytes() == harmed, "only looked at"
    code, text = run("--repair")
    assert code == 0, text
    assert "was rebuilt from the backup of" in text
    assert world.states() == A_DAY
    assert run("--repair")[0] == 0, "nothing is left to do"


def test_a_database_that_is_in_use_is_not_recovered(world: World, run):
    fcntl = pytest.importorskip("fcntl")
    a_day(world)
    world.close()
    next(places(world))
    harmed = world.file.read_bytes()
    damage._use.let_go()
    with (world.data_dir / "database.lock").open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)  # as every process that has it open
        code, text = run("--repair")
    assert code == 1
    assert "MobileSD is running: stop it first." in text
    assert world.file.read_bytes() == harmed


def test_rows_are_mended(world: World, run):
    job_id = world.submit("an unmistakable lighthouse")
    world.backup()
    turn(world, b"unmistakable lighthouse")
    code, text = run()
    assert code == 1
    assert "1 rows are not as they were written" in text
    code, text = run("--repair")
    assert code == 0, text
    assert "Mended 1 rows." in text
    assert Job.objects.get(pk=job_id).prompt == "an unmistakable lighthouse"
    assert "All rows of jobs and pictures are as they were written." in run()[1]


def test_rows_that_nothing_knows_are_named_and_left_as_they_are(world: World, run):
    world.submit("an unmistakable lighthouse")
    for file in journal.files():
        file.unlink()
    turn(world, b"unmistakable lighthouse")
    code, text = run("--repair")
    assert code == 1
    assert "1 are in no journal and no backup" in text


def test_a_line_that_was_cut_off_is_no_warning_and_a_damaged_one_is(world: World, run):
    world.submit("first")
    world.backup()
    [file] = journal.files()
    whole = file.read_bytes()
    line = whole.strip().splitlines()[-1]
    file.write_bytes(whole + line[: len(line) // 2] + b"\n")
    code, text = run()
    assert "OK   1 lines of the journal were cut off by a crash" in text
    file.write_bytes(whole + line.replace(b"first", b"fjrst") + b"\n")
    code, text = run()
    assert code == 0
    assert "WARN 1 lines of the journal are not as they were written" in text
    assert "Made mobilesd-" in run("--repair")[1]
