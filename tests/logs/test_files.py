"""Log files: many processes write one, it makes room for itself, and no disk breaks anything."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mobilesd.logs.files import SharedFile, log_files

WRITER = """
import logging, os, resource, sys
from pathlib import Path
sys.path.insert(0, {root!r})
os.environ["DJANGO_SETTINGS_MODULE"] = "mobilesd.settings"
from mobilesd.logs.files import SharedFile
limit = int(sys.argv[4])
if limit:
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
handler = SharedFile("many", int(sys.argv[3]), 50, Path(sys.argv[1]))
handler.setFormatter(logging.Formatter('{{"event": "%(message)s"}}'))
log = logging.getLogger("w")
log.propagate = False
log.addHandler(handler)
log.setLevel("INFO")
for n in range(400):
    log.info("%s-%d-%s", sys.argv[2], n, "x" * 200)
print("done")
"""
ROOT = str(Path(__file__).resolve().parents[2])


def writer(folder: Path, name: str, *, most: int = 10**9, limit: int = 0) -> subprocess.Popen[str]:
    """Start a process that logs 400 lines of some 220 bytes."""
    code = WRITER.format(root=ROOT)
    arguments = [str(folder), name, str(most), str(limit)]
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "MOBILESD_DATA_DIR": str(folder)},
    )


def handler_in(folder: Path, most: int = 10**9, kept: int = 2) -> SharedFile:
    handler = SharedFile("a", most, kept, folder)
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler


def say(handler: SharedFile, text: str) -> None:
    handler.emit(logging.LogRecord("x", logging.INFO, "f", 1, text, None, None))


def test_many_processes_lose_no_line_while_the_file_is_set_aside_again_and_again(tmp_path):
    writers = [writer(tmp_path, name, most=20_000) for name in "abcd"]
    for process in writers:
        out, err = process.communicate(timeout=60)
        assert (out.strip(), err) == ("done", "")
    files = log_files(tmp_path)
    assert len(files) > 5
    lines = [json.loads(line)["event"] for path in files for line in path.read_text().splitlines()]
    assert sorted(lines) == sorted(f"{w}-{n}-{'x' * 200}" for w in "abcd" for n in range(400))


def test_only_so_many_old_files_are_kept(tmp_path):
    handler = handler_in(tmp_path, most=100, kept=2)
    for number in range(50):
        say(handler, f"{number:030}")
    assert [path.name for path in log_files(tmp_path)] == ["a.log.2", "a.log.1", "a.log"]
    assert (tmp_path / "a.log").read_text().splitlines()[-1] == f"{49:030}"
    assert sum(path.stat().st_size for path in log_files(tmp_path)) <= 300


def test_what_another_process_set_aside_is_not_written_any_more(tmp_path):
    one, other = handler_in(tmp_path, most=25), handler_in(tmp_path, most=25)
    say(other, "0123456789")
    say(one, "0123456789012")
    say(one, "new")  # sets the file aside
    say(other, "new as well")
    assert (tmp_path / "a.log").read_text() == "new\nnew as well\n"


def test_a_full_disk_costs_lines_and_nothing_else(tmp_path):
    process = writer(tmp_path, "a", limit=10_100)
    out, err = process.communicate(timeout=60)
    assert (out.strip(), err, process.returncode) == ("done", "", 0)
    assert (tmp_path / "many.log").stat().st_size == 10_100


def test_when_there_is_room_again_the_log_says_what_is_missing(tmp_path, monkeypatch):
    handler = handler_in(tmp_path)
    say(handler, "before")
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    say(handler, "half")  # the last bytes that there was room for

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    say(handler, "lost")
    monkeypatch.setattr(os, "write", real)
    say(handler, "after")
    before, half, note, after = (tmp_path / "a.log").read_text().splitlines()
    assert (before, half, after) == ("before", "hal", "after")
    assert json.loads(note)["event"] == "2 log lines are lost: the disk was full or gone"


def test_a_folder_that_can_not_be_made_is_no_error(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    say(handler_in(tmp_path / "file" / "logs"), "nobody hears this")
    assert capsys.readouterr().err == ""


def test_a_file_that_somebody_deleted_is_made_again(tmp_path):
    handler = handler_in(tmp_path)
    say(handler, "one")
    (tmp_path / "a.log").unlink()
    say(handler, "two")
    assert (tmp_path / "a.log").read_text() == "two\n"


@pytest.mark.skipif(sys.platform == "win32", reason="no modes there")
def test_nobody_else_may_read_it(tmp_path):
    say(handler_in(tmp_path), "one")
    assert (tmp_path / "a.log").stat().st_mode & 0o077 == 0


def test_a_line_is_one_line(tmp_path):
    handler = handler_in(tmp_path)
    say(handler, "one\ntwo")
    assert (tmp_path / "a.log").read_text().count("\n") == 1


def test_a_lock_that_another_holds_is_not_waited_for(tmp_path):
    import fcntl

    handler = handler_in(tmp_path, most=10)
    with (tmp_path / "a.log.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        say(handler, "0123456789")
        say(handler, "still written")
    assert (tmp_path / "a.log").read_text() == "0123456789\nstill written\n"
