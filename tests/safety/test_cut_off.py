"""A recovery or a restore that dies at any step: the next start has the one state or the other."""

import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connections

from mobilesd.backups import damage, replacement, restoring
from tests.safety.world import A_DAY, Killed, World, a_day


@pytest.fixture
def dies(monkeypatch) -> Callable[[int], None]:
    """Return what lets the process die at its n-th change of a file's name from now on."""
    real = {name: getattr(os, name) for name in ("rename", "replace")}
    left = [0]

    def arrange(steps: int) -> None:
        left[0] = steps

    def dying(name: str) -> Callable[..., None]:
        def step(*given: object, **named: object) -> None:
            if left[0] == 1:
                raise Killed
            left[0] -= 1
            real[name](*given, **named)

        return step

    for name in real:
        monkeypatch.setattr(os, name, dying(name))
    return arrange


@pytest.fixture
def again(world: World, tmp_path: Path) -> Callable[[], None]:
    """Return what puts the data folder back as it was when this was first called."""
    kept = tmp_path / "kept"

    def put_back() -> None:
        world.close()
        damage._use.let_go()
        if not kept.exists():
            shutil.copytree(world.data_dir, kept)
            return
        for path in world.data_dir.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(kept, world.data_dir, dirs_exist_ok=True)

    return put_back


def deaths(dies: Callable[[int], None], work: Callable[[], object]) -> Iterator[int]:
    """Do the work again and again, and die one step later each time, until it does not die."""
    for steps in range(1, 100):
        dies(steps)
        try:
            work()
        except Killed:
            dies(0)
            yield steps
        else:
            dies(0)
            assert steps > 3, "it died nowhere"
            return


def test_a_recovery_that_dies_at_any_step_is_finished_by_the_next_start(world: World, dies, again):
    a_day(world)
    world.close()
    world.file.write_bytes(world.file.read_bytes()[:50_000])
    again()
    for step in deaths(dies, world.start):
        world.said.clear()
        world.start()
        assert world.states() == A_DAY, step
        assert any("was rebuilt from" in line for line in world.said), step
        [aside] = (world.data_dir / "set-aside").glob("*/mobilesd.sqlite3")
        assert aside.stat().st_size == 50_000, step
        assert len(list((world.data_dir / "recoveries").iterdir())) == 1, step
        assert not left_over(world), step
        again()


def left_over(world: World) -> list[Path]:
    world.close()
    world.start()
    return [*world.data_dir.glob("replacing*"), *world.data_dir.glob(".replacement-*")]


@pytest.fixture
def archived(world: World, tmp_path: Path) -> Path:
    """Return a backup of one life; the data folder has another one now, with its own backups."""
    (world.data_dir / "secret_key").write_text("the key of then")
    world.complete(world.submit("then"))
    file = tmp_path / "everything.tar"
    call_command("backup", str(file), stdout=io.StringIO())
    (world.data_dir / "secret_key").write_text("the key of now")
    world.submit("now")
    world.backup()
    world.submit("and now")
    return file


THEN = {"then": "completed"}
NOW = {"then": "completed", "now": "pending", "and now": "pending"}


def key(world: World) -> str:
    return (world.data_dir / "secret_key").read_text()


def test_a_restore_that_dies_at_any_step_has_restored_all_or_nothing(
    world: World, archived: Path, dies, again
):
    again()
    seen = set()
    for step in deaths(dies, lambda: restoring.restore(archived, world.said.append)):
        assert key(world) in ("the key of then", "the key of now"), step
        assert world.start() is None, step
        life = (world.states(), key(world))
        assert life in [(THEN, "the key of then"), (NOW, "the key of now")], step
        assert not left_over(world), step
        # Nothing of the other life is left to come back from.
        world.lose()
        assert world.states() == life[0], step
        seen.add(life[1])
        again()
    assert seen == {"the key of then", "the key of now"}
    assert restored_whole(world)


def restored_whole(world: World) -> bool:
    [aside] = (world.data_dir / "set-aside").iterdir()
    kept = {path.name for path in aside.iterdir()}
    assert {"mobilesd.sqlite3", "journal", "backups", "secret_key"} <= kept
    assert (aside / "secret_key").read_text() == "the key of now"
    return (world.states(), key(world)) == (THEN, "the key of then")


def test_damage_right_after_a_restore_does_not_bring_the_old_life_back(
    world: World, archived: Path
):
    world.close()
    call_command("restore", str(archived), stdout=io.StringIO())
    world.submit("after the restore")
    world.lose()
    assert world.states() == {**THEN, "after the restore": "pending"}


def test_a_restore_that_can_t_be_put_in_place_says_that_the_next_start_does_it(
    world: World, archived: Path, monkeypatch
):
    world.close()
    with monkeypatch.context() as patched, pytest.raises(Exception, match=r"next `manage.py up`"):
        patched.setattr(replacement, "_keep_copy", refused)
        call_command("restore", str(archived), stdout=io.StringIO())
    world.start()
    assert any("The restore of a backup had been cut off" in line for line in world.said)
    assert (world.states(), key(world)) == (THEN, "the key of then")


def refused(*_: object) -> None:
    raise PermissionError(13, "Permission denied", "secret_key")


def test_the_doctor_finishes_what_was_cut_off(world: World, archived: Path, dies, monkeypatch):
    from mobilesd.doctor import safety

    world.close()
    damage._use.let_go()
    monkeypatch.setattr(replacement, "finish", refused)
    with pytest.raises(restoring.CutOff):
        restoring.restore(archived, world.said.append)
    monkeypatch.undo()
    [finding] = safety.look_at_safety()
    assert "was cut off" in finding.text
    assert finding.repair is not None
    finding.repair()
    connections.close_all()
    assert world.states() == THEN
