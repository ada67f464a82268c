"""`manage.py doctor`: says what is wrong and what to do, repairs what is safe, hides nothing."""

import io
import json
import os
import shutil
import stat
import sys
from collections import namedtuple
from types import ModuleType, SimpleNamespace

import pytest
from django.core.management import call_command
from django.db import connection

from dispatch.health import HealthReport
from mobilesd import sqlite
from mobilesd.doctor import database, folder, running, servers
from mobilesd.management.commands import doctor
from mobilesd.supervisor.locks import FileLock
from mobilesd.supervisor.state import lock_file
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)
on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="It is about SQLite.")


def run(*arguments: str, looks=None, monkeypatch=None) -> tuple[int, str]:
    if looks is not None:
        monkeypatch.setattr(doctor, "LOOKS", looks)
        monkeypatch.setattr(doctor, "_system_checks", lambda: iter(()))
    out = io.StringIO()
    try:
        call_command("doctor", *arguments, stdout=out, no_color=True)
    except SystemExit as end:
        return int(end.code), out.getvalue()
    return 0, out.getvalue()


def lines(look) -> list[str]:
    return [f"{finding.level} {finding.text}" for finding in look()]


def levels(look) -> list[str]:
    return [str(finding.level) for finding in look()]


def test_a_sound_installation_passes(monkeypatch):
    factories.staff()
    code, text = run()
    assert code == 0, text
    assert "FAIL" not in text
    whole = {"sqlite": "The database is whole.", "postgresql": "PostgreSQL answers."}
    assert f"OK   {whole[connection.vendor]}" in text
    assert "OK   There is an administrator." in text


def test_whatever_is_not_ok_says_what_to_do():
    for look in doctor.LOOKS:
        for finding in look():
            assert finding.todo or finding.level == "OK"


def test_a_failure_is_exit_code_one_and_hides_nothing_that_follows(monkeypatch):
    def broken():
        raise RuntimeError("surprise")
        yield

    code, text = run(looks=(broken, folder.data_folder), monkeypatch=monkeypatch)
    assert code == 1
    assert "FAIL Looking at the broken failed: RuntimeError: surprise" in text
    assert "can be written" in text


def test_a_full_disk_fails_and_a_nearly_full_one_warns(monkeypatch):
    usage = namedtuple("usage", "total used free")
    for free, level in ((1, "FAIL"), (1024**3, "WARN"), (50 * 1024**3, "OK")):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage(0, 0, free))
        assert levels(folder.free_space) == [level]


def test_a_secret_that_others_can_read_is_closed_by_repair(settings, monkeypatch):
    file = settings.DATA_DIR / "secret_key"
    file.write_text("x")
    file.chmod(0o644)
    code, text = run("--repair", looks=(folder.secret_key_file,), monkeypatch=monkeypatch)
    assert code == 0
    assert "✓" in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert levels(folder.secret_key_file) == ["OK"]


def test_a_missing_folder_is_made_by_repair_only(settings, monkeypatch):
    settings.RUN_DIR.rmdir()
    run(looks=(folder.data_folder,), monkeypatch=monkeypatch)
    assert not settings.RUN_DIR.exists()
    run("--repair", looks=(folder.data_folder,), monkeypatch=monkeypatch)
    assert settings.RUN_DIR.is_dir()


def test_a_repair_that_fails_is_a_failure(settings, monkeypatch):
    settings.RUN_DIR = settings.DATA_DIR / "file" / "run"
    (settings.DATA_DIR / "file").touch()
    code, text = run("--repair", looks=(folder.data_folder,), monkeypatch=monkeypatch)
    assert code == 1
    assert "That did not work" in text


def test_leftovers_of_a_killed_start_are_removed_by_repair(settings, monkeypatch):
    for name in ("supervisor.json", "stop-abc", "drain-abc", "work-dispatch-abc/123"):
        path = settings.RUN_DIR / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    _, text = run("--repair", looks=(running.look_at_processes,), monkeypatch=monkeypatch)
    assert "Removed 4 files" in text
    assert [path.name for path in settings.RUN_DIR.iterdir() if "lock" not in path.name] == []


def test_files_of_a_running_start_are_left_alone(settings):
    lock = FileLock(lock_file("web"))
    lock.acquire()
    try:
        (settings.RUN_DIR / "supervisor.json").write_text(json.dumps({"trouble": "It burns."}))
        assert lines(running.look_at_processes) == [
            f"OK `up` runs as process {os.getpid()} (web).",
            "FAIL It burns.",
        ]
        assert all(finding.repair is None for finding in running.look_at_processes())
    finally:
        lock.release()


def test_a_cluster_that_takes_no_task_is_told(monkeypatch):
    monkeypatch.setattr(running, "ANSWER_SECONDS", 0.1)
    assert "did not take a task" in running._answers("dispatch").text


@on_sqlite
def test_an_unsafe_database_mode_fails(monkeypatch):
    monkeypatch.setattr(
        database,
        "_pragma",
        lambda name: {"journal_mode": "delete", "synchronous": 2, "quick_check": "ok"}[name],
    )
    assert "FAIL The database is in delete mode" in "\n".join(lines(database.look_at_database))


@on_sqlite
def test_damage_is_told_with_what_sqlite_says(monkeypatch):
    real = database._pragma
    monkeypatch.setattr(
        database, "_pragma", lambda name: "row 5 missing" if name == "quick_check" else real(name)
    )
    assert "FAIL The database is damaged: row 5 missing" in lines(database.look_at_database)


@on_sqlite
def test_an_old_library_is_a_warning(monkeypatch):
    monkeypatch.setattr(sqlite, "version", lambda: (3, 40, 1))
    assert lines(database.look_at_database)[0].startswith("WARN SQLite 3.40.1")


def test_a_database_of_a_newer_version_fails():
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_migrations (app, name, applied)"
            " VALUES ('jobs', '9999_x', '2030-01-01')"
        )
    try:
        assert any("FAIL" in line and "9999_x" in line for line in lines(database.look_at_database))
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE name = '9999_x'")


def test_a_server_is_asked_and_its_trouble_told(monkeypatch):
    factories.server("good")
    factories.server("off", enabled=False)
    factories.server("refuses", url="http://127.0.0.1:2")
    answers = {
        "good": HealthReport("healthy", "", 12.3),
        "refuses": HealthReport("offline", "Nothing answers there.", 0.0),
    }
    monkeypatch.setattr(servers.health, "check", lambda server: answers[server.alias])
    assert lines(servers.look_at_servers) == [
        "OK Server good at http://127.0.0.1:9 answers (12 ms).",
        "WARN Server refuses at http://127.0.0.1:2: Nothing answers there.",
    ]


def test_gpus_are_named_with_their_memory(monkeypatch):
    fake = ModuleType("pynvml")
    fake.NVMLError = type("NVMLError", (Exception,), {})
    fake.nvmlInit = fake.nvmlShutdown = lambda: None
    fake.nvmlDeviceGetCount = lambda: 1
    fake.nvmlDeviceGetHandleByIndex = lambda index: index
    fake.nvmlDeviceGetName = lambda device: "RTX 4090"
    memory = SimpleNamespace(free=20 * 1024**3, total=24 * 1024**3)
    fake.nvmlDeviceGetMemoryInfo = lambda device: memory
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    assert lines(servers.look_at_gpus) == ["OK GPU 0: RTX 4090, 20.0 of 24.0 GiB free."]


def test_no_driver_is_fine(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert levels(servers.look_at_gpus) == ["OK"]
