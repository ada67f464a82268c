"""Files are there whole or not at all, and go only when nothing names them (protocol rule 22)."""

import errno
import hashlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from django.db import transaction

from mobilesd import storage
from mobilesd.storage import GRACE_SECONDS, ContentStore, collect, write_whole


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "files")


def age(path: Path, seconds: float = GRACE_SECONDS + 60) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def nothing(hashes: Sequence[str]) -> set[str]:
    return set()


def test_stores_bytes_under_their_hash_and_reads_them_back(store: ContentStore) -> None:
    stored = store.put(b"picture")
    assert stored.sha256 == hashlib.sha256(b"picture").hexdigest()
    assert stored.path == store.path(stored.sha256)
    assert stored.bytes == 7
    assert store.read(stored.sha256) == b"picture"
    assert files_in(store.root) == [stored.path]


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 63 + "/"])
def test_a_name_that_is_no_hash_never_becomes_a_path(store: ContentStore, name: str) -> None:
    with pytest.raises(ValueError, match="not a SHA-256"):
        store.path(name)


def test_putting_again_makes_the_file_young_and_writes_nothing(
    store: ContentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = store.put(b"same seed, same picture")
    age(stored.path)
    monkeypatch.setattr(storage, "write_whole", None)
    assert store.put(b"same seed, same picture") == stored
    assert stored.path.stat().st_mtime > time.time() - 60


def test_a_file_of_the_wrong_size_is_written_anew(store: ContentStore) -> None:
    stored = store.put(b"whole picture")
    stored.path.write_bytes(b"whole")
    store.put(b"whole picture")
    assert stored.path.read_bytes() == b"whole picture"


def test_content_is_on_disk_before_its_name_and_the_name_before_put_returns(
    store: ContentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = watch_disk(monkeypatch)
    stored = store.put(b"picture")
    folder = stored.path.parent
    assert steps == [
        f"sync {store.root.parent.name}",
        f"sync {store.root.name}",
        "sync file",
        f"rename to {stored.sha256}",
        f"sync {folder.name}",
    ]


def test_a_file_of_a_writer_that_was_cut_off_is_made_durable_by_the_next(
    store: ContentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Made by "another process": renamed, but neither the file's nor the folders' entries synced.
    target = store.path(hashlib.sha256(b"picture").hexdigest())
    target.parent.mkdir(parents=True)
    target.write_bytes(b"picture")
    steps = watch_disk(monkeypatch)
    store.put(b"picture")
    assert steps == [
        f"sync {store.root.parent.name}",
        f"sync {store.root.name}",
        f"sync {target.parent.name}",
    ]


def watch_disk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    steps: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink()
        steps.append(f"sync {name.name}" if name.is_dir() else "sync file")
        real_fsync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        steps.append(f"rename to {target.name}")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    return steps


def test_a_full_disk_is_an_os_error_and_leaves_no_file(
    store: ContentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store.root.mkdir()
    monkeypatch.setattr(storage, "_sync_folder", lambda folder: None)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.put(b"picture")
    assert files_in(store.root) == []


def test_a_write_that_the_system_refuses_half_way_leaves_no_file(tmp_path: Path) -> None:
    code = (
        "import resource, signal\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from pathlib import Path\n"
        "from mobilesd.storage import write_whole\n"
        f"write_whole(Path({str(tmp_path)!r}) / 'ab' / 'file', b'x' * 5000)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "File too large" in ended.stderr
    assert files_in(tmp_path) == []


def test_a_writer_killed_in_the_middle_leaves_a_file_that_only_the_collector_sees(
    store: ContentStore,
) -> None:
    code = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from mobilesd import storage\n"
        "storage._sync_folder = lambda folder: None\n"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"storage.ContentStore(Path({str(store.root)!r})).put(b'picture' * 1000)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert ended.returncode == -signal.SIGKILL
    [leftover] = files_in(store.root)
    sha256 = hashlib.sha256(b"picture" * 1000).hexdigest()
    assert not store.path(sha256).exists()
    assert store.remove_leftovers() == 0  # young: its writer may be at work
    age(leftover)
    assert list(store.old_files()) == []
    assert store.remove_leftovers() == 1
    assert files_in(store.root) == []


def test_many_writers_of_the_same_bytes_end_with_one_whole_file(store: ContentStore) -> None:
    content = os.urandom(200_000)
    start = threading.Barrier(8)
    failures: list[BaseException] = []

    def write() -> None:
        try:
            start.wait()
            for _ in range(5):
                assert store.put(content).path.read_bytes() == content
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [path.read_bytes() for path in files_in(store.root)] == [content]


def test_write_whole_replaces_a_file_at_once(tmp_path: Path) -> None:
    target = tmp_path / "ab" / "file"
    write_whole(target, b"old")
    write_whole(target, b"new")
    assert target.read_bytes() == b"new"
    assert files_in(tmp_path / "ab") == [target]


@pytest.mark.django_db
def test_the_collector_deletes_old_files_that_no_row_names(store: ContentStore) -> None:
    used, unused, young = store.put(b"used"), store.put(b"unused"), store.put(b"young")
    age(used.path)
    age(unused.path)
    assert collect(store, lambda hashes: {used.sha256}) == 1
    assert used.path.exists()
    assert young.path.exists()
    assert not unused.path.exists()


@pytest.mark.django_db
def test_the_collector_looks_again_under_its_lock(store: ContentStore) -> None:
    stored = store.put(b"named between look and lock")
    age(stored.path)
    answers = iter([set(), {stored.sha256}])
    assert collect(store, lambda hashes: next(answers)) == 0
    assert stored.path.exists()


@pytest.mark.django_db
def test_the_collector_spares_a_file_that_was_touched_after_its_look(store: ContentStore) -> None:
    stored = store.put(b"about to be named")
    age(stored.path)

    def touched_by_a_writer(hashes: Sequence[str]) -> set[str]:
        store.refresh(stored.sha256)
        return set()

    assert collect(store, touched_by_a_writer) == 0
    assert stored.path.exists()


@pytest.mark.django_db(transaction=True)
def test_the_collector_holds_the_write_lock_while_it_deletes(store: ContentStore) -> None:
    stored = store.put(b"unused")
    age(stored.path)
    blocks: list[bool] = []

    def in_use(hashes: Sequence[str]) -> set[str]:
        blocks.append(transaction.get_connection().in_atomic_block)
        return set()

    collect(store, in_use)
    assert blocks == [False, True]


@pytest.mark.django_db(transaction=True)
def test_the_collector_takes_the_lock_for_few_files_at_a_time(
    store: ContentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = [store.put(bytes([n])) for n in range(50)]
    for file in stored:
        age(file.path)
    real = ContentStore.delete_old

    def slow(self: ContentStore, sha256: str) -> bool:
        time.sleep(0.02)
        return real(self, sha256)

    monkeypatch.setattr(ContentStore, "delete_old", slow)
    held: list[int] = []

    def in_use(hashes: Sequence[str]) -> set[str]:
        if transaction.get_connection().in_atomic_block:
            held.append(len(files_in(store.root)))
        return set()

    assert collect(store, in_use) == 50
    # Slow unlinks: the lock is given back by time, long before the batch is done.
    assert max(a - b for a, b in itertools.pairwise(held)) <= 4


@pytest.mark.django_db
def test_keep_writes_a_collected_file_again(store: ContentStore) -> None:
    stored = store.put(b"collected while its writer was frozen")
    stored.path.unlink()
    with transaction.atomic():
        store.keep(stored.sha256, stored.bytes, lambda: b"collected while its writer was frozen")
    assert store.read(stored.sha256) == b"collected while its writer was frozen"


@pytest.mark.django_db
def test_keep_makes_a_file_young_without_reading_its_content(store: ContentStore) -> None:
    stored = store.put(b"there")
    age(stored.path)
    with transaction.atomic():
        store.keep(stored.sha256, stored.bytes, lambda: pytest.fail("not needed"))
    assert list(store.old_files()) == []


@pytest.mark.django_db(transaction=True)
def test_keep_belongs_into_the_transaction_of_the_row(store: ContentStore) -> None:
    stored = store.put(b"there")
    with pytest.raises(RuntimeError, match="inside the row's transaction"):
        store.keep(stored.sha256, stored.bytes, lambda: b"there")


def test_collecting_a_store_that_does_not_exist_yet_is_no_error(store: ContentStore) -> None:
    assert collect(store, nothing) == 0
