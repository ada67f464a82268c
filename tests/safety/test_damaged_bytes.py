"""Bytes that turn: in pages, which SQLite finds, and in cells, which only a row's checksum does."""

import json
import random
import shutil
from collections.abc import Iterator
from itertools import islice

import pytest

from gallery.models import Image
from jobs.checksums import IMAGE, JOB, Guarded, damaged
from jobs.models import Job
from mobilesd.backups import damage, recovery, rows, snapshots, tasks
from tests.safety.world import A_DAY, World, a_day

FLIPS = 50  # bench/corruption.py does as many as one likes, elsewhere each time


def places(world: World) -> Iterator[int]:
    """Turn a byte at one place after the other, and yield those that the check finds."""
    drawn = random.Random(4)
    whole = world.file.read_bytes()
    while True:
        world.file.write_bytes(whole)
        offset = drawn.randrange(len(whole))
        world.flip(offset)
        if recovery.assess():
            yield offset


def test_turned_bytes_that_are_found_are_recovered_from(world: World):
    a_day(world)
    world.close()
    for offset in islice(places(world), FLIPS):
        assert world.start() is not None, offset
        assert world.states() == A_DAY, offset
        world.close()
        shutil.rmtree(world.data_dir / "set-aside")


def turn(world: World, text: bytes) -> None:
    """Turn one byte of a text in the file, so that it is another text of the same length."""
    world.close()
    content = world.file.read_bytes()
    offset = content.find(text)
    assert offset >= 0
    # Every copy of it: the row may have been moved within its page.
    while offset >= 0:
        content = content[:offset] + bytes([content[offset] ^ 0x01]) + content[offset + 1 :]
        offset = content.find(text)
    world.file.write_bytes(content)


@pytest.mark.parametrize("with_backup", [False, True])
def test_a_cell_of_a_job_is_found_and_mended(world: World, with_backup: bool):
    job_id = world.submit("an unmistakable lighthouse")
    if with_backup:
        world.backup()
        for file in (world.data_dir / "journal").iterdir():
            file.unlink()
    turn(world, b"unmistakable lighthouse")
    assert recovery.assess() == "", "SQLite does not see it"
    [found] = damaged(world.file, JOB)
    assert found.key == job_id.hex
    assert rows.mend() == (1, [])
    assert list(damaged(world.file, JOB)) == []
    assert Job.objects.get(pk=job_id).prompt == "an unmistakable lighthouse"


def test_a_cell_of_a_picture_is_found_and_mended(world: World):
    world.complete(world.submit("a boat"))
    turn(world, b"told by the server")
    [found] = damaged(world.file, IMAGE)
    assert rows.mend() == (1, [])
    assert Image.objects.get().infotext == "told by the server"
    assert found.key == Image.objects.get().pk.hex


def turned(value: object) -> object:
    """Return a value of which one bit is another one, as its database keeps it."""
    if isinstance(value, int):
        return value ^ 1
    text = str(value) or "x"
    middle = len(text) // 2
    return f"{text[:middle]}{chr(ord(text[middle]) ^ 1)}{text[middle + 1 :]}"


CELLS = [(guarded, name) for guarded in (JOB, IMAGE) for name in guarded.order if name != "id"]


@pytest.mark.parametrize(
    ("guarded", "name"), CELLS, ids=[f"{guarded.table}.{name}" for guarded, name in CELLS]
)
def test_a_bit_that_turned_in_any_covered_cell_is_found_and_mended(
    world: World, guarded: Guarded, name: str
):
    world.complete(world.submit("<lora:boats:1> a boat", checkpoint_name="a.safetensors"))
    world.submit("another")
    column, table = f'"{name}"', guarded.table
    [(rowid, was)] = world.sql(f"SELECT rowid, {column} FROM {table} LIMIT 1")
    world.sql(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", turned(was), rowid)
    [found] = damaged(world.file, guarded)
    assert found.rowid == rowid
    assert rows.mend() == (1, [])
    [(now,)] = world.sql(f"SELECT {column} FROM {table} WHERE rowid = ?", rowid)
    same = json.loads if name in guarded.as_json else str
    assert same(now) == same(was)
    assert not list(damaged(world.file, guarded))


def test_an_id_that_turned_is_mended_by_the_checksum(world: World):
    job_id = world.submit("a boat")
    other = f"{int(job_id.hex[0], 16) ^ 1:x}{job_id.hex[1:]}"
    world.sql("PRAGMA foreign_keys = OFF")
    world.sql("UPDATE jobs_job SET id = ? WHERE id = ?", other, job_id.hex)
    assert rows.mend() == (1, [])
    assert Job.objects.get().pk == job_id


def test_what_nobody_knows_any_more_is_named(world: World):
    world.submit("an unmistakable lighthouse")
    for file in (world.data_dir / "journal").iterdir():
        file.unlink()
    turn(world, b"unmistakable lighthouse")
    mended, left = rows.mend()
    assert mended == 0
    assert [found.guarded for found in left] == [JOB]


def test_the_hourly_look_notes_damaged_rows_and_writes_missing_checksums(world: World):
    world.submit("an unmistakable lighthouse")
    changed = Job.objects.get(pk=world.submit("a boat"))
    Job.objects.filter(pk=changed.pk).update(checkpoint="other")
    changed.refresh_from_db()
    assert changed.checksum == "", "it is another row now"
    assert tasks.look_at_rows() == 0
    changed.refresh_from_db()
    assert changed.checksum != ""
    turn(world, b"unmistakable lighthouse")
    assert tasks.look_at_rows() == 1
    assert tasks.damaged_rows_file().exists()
    rows.mend()
    assert tasks.look_at_rows() == 0
    assert not tasks.damaged_rows_file().exists()


def test_the_hourly_look_notes_a_damaged_database(world: World):
    world.submit()
    world.close()
    next(places(world))
    assert tasks.look_and_back_up() == "damaged"
    assert world.is_noted
    assert [snapshot.at.year for snapshot in snapshots.snapshots()] == [2020], "no bad backup"


def test_whoever_meets_the_damage_notes_it(world: World):
    a_day(world)
    world.close()
    size = world.file.stat().st_size
    with world.file.open("r+b") as stream:
        stream.seek(4096)
        stream.write(b"\xff" * (size - 4096))
    with pytest.raises(Exception, match="malformed"):
        list(Job.objects.all())
    assert damage.noted()
    assert world.start() is not None
    assert not damage.noted()
    assert world.states() == A_DAY
