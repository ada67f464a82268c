"""A dump of PostgreSQL is read again before it counts as one."""

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from django.conf import settings as django_settings
from psycopg.conninfo import conninfo_to_dict

from mobilesd.backups import dumps
from tests.postgres import postgres_server

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("postgresql")]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    if not (shutil.which("pg_dump") and shutil.which("pg_restore")):
        pytest.skip("PostgreSQL's client programs are not installed.")
    with postgres_server() as database:
        with psycopg.connect(database.url) as connection:
            connection.execute(
                "CREATE TABLE boats AS SELECT md5(n::text) FROM generate_series(1, 5000) n"
            )
        yield database.url


@pytest.fixture
def database(server: str, monkeypatch) -> None:
    told = conninfo_to_dict(server)
    names = {"HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password"}
    found = {name: told[own] for name, own in names.items()} | {"NAME": told["dbname"]}
    monkeypatch.setitem(django_settings.DATABASES, "default", found)


@pytest.fixture
def dump(database, tmp_path: Path) -> Path:
    target = tmp_path / "one.dump"
    dumps.dump_to(target)
    return target


def test_a_whole_dump_passes(dump: Path):
    dumps.check(dump)
    assert b"boats" in dump.read_bytes()


def test_a_dump_that_was_cut_off_is_found(dump: Path):
    content = dump.read_bytes()
    dump.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(subprocess.SubprocessError):
        dumps.check(dump)


def test_a_byte_that_turned_in_the_content_is_found(dump: Path):
    content = bytearray(dump.read_bytes())
    content[len(content) * 2 // 3] ^= 0xFF  # the rows, packed
    dump.write_bytes(content)
    with pytest.raises(subprocess.SubprocessError):
        dumps.check(dump)


def test_a_dump_that_can_t_be_read_again_is_none_and_costs_no_older_one(
    database, data_dir, monkeypatch
):
    today = datetime.now(UTC)
    yesterday = dumps.take(today - timedelta(days=1))

    def damaged(file: Path) -> None:
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
        whole(file)

    whole = dumps.check
    monkeypatch.setattr(dumps, "check", damaged)
    with pytest.raises(subprocess.SubprocessError):
        dumps.take(today)
    assert list((data_dir / "backups").iterdir()) == [yesterday]
