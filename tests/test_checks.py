"""Each system check: its id, when it speaks, and when it is silent."""

import pytest
from django.db import connection

from jobs.ports import ports
from mobilesd import checks, sqlite

on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="It is about SQLite.")


def ids(messages) -> list[str]:
    assert all(message.hint for message in messages if message.id[-4] in "EW")
    return [message.id for message in messages]


@on_sqlite
def test_the_library_in_use_is_named(monkeypatch):
    monkeypatch.setattr(sqlite, "version", lambda: (3, 53, 4))
    (message,) = checks.check_sqlite()
    assert (message.id, message.msg) == ("mobilesd.I001", "SQLite 3.53.4 is in use.")


@on_sqlite
@pytest.mark.parametrize("version", [(3, 40, 1), (3, 51, 2)])
def test_a_library_with_the_corruption_race_is_a_warning(monkeypatch, version):
    monkeypatch.setattr(sqlite, "version", lambda: version)
    assert ids(checks.check_sqlite()) == ["mobilesd.W001"]


@on_sqlite
def test_two_libraries_in_one_process_are_refused(monkeypatch):
    monkeypatch.setattr(sqlite, "mixed", lambda: True)
    assert ids(checks.check_sqlite()) == ["mobilesd.E001"]


def test_postgresql_needs_no_sqlite(settings, monkeypatch):
    settings.EMBEDDED = False
    monkeypatch.setattr(sqlite, "mixed", lambda: True)
    assert checks.check_sqlite() == []


def test_an_empty_port_is_named(monkeypatch):
    assert checks.check_ports() == []
    monkeypatch.delattr(ports, "forecast")
    (message,) = checks.check_ports()
    assert message.id == "mobilesd.E002"
    assert "forecast" in message.msg


def test_a_data_folder_that_cant_be_written_is_refused(settings, tmp_path):
    assert checks.check_data_folder() == []
    (tmp_path / "file").touch()
    settings.DATA_DIR = tmp_path / "file" / "data"
    (message,) = checks.check_data_folder()
    assert message.id == "mobilesd.E003"
    assert "MOBILESD_DATA_DIR" in message.hint


@on_sqlite
@pytest.mark.django_db(transaction=True)
def test_a_database_that_would_forget_in_a_power_cut_is_refused():
    assert checks.check_durability(["default"]) == []
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous=NORMAL")
    try:
        assert ids(checks.check_durability(["default"])) == ["mobilesd.E004"]
    finally:
        connection.close()


def test_a_run_folder_elsewhere_is_refused_with_sqlite(settings, tmp_path):
    settings.EMBEDDED = True
    assert checks.check_run_folder() == []
    settings.RUN_DIR = tmp_path
    assert ids(checks.check_run_folder()) == ["mobilesd.E006"]
    settings.EMBEDDED = False
    assert checks.check_run_folder() == []


def test_the_database_is_looked_at_only_on_request():
    assert checks.check_durability() == []
