"""What must be done before any process starts: checks, migrations, static files, first-run data.

It runs in a process of its own (`manage.py prepare`), because it loads the whole program, and
`up` stays small for as long as MobileSD runs.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from django.conf import settings

from mobilesd.supervisor.state import write_atomically

__all__ = ["FIRST_RUN_TOKEN", "Prepared", "alone", "collect_static", "static_stamp"]

FIRST_RUN_TOKEN = "TOKEN"
_ADVISORY_LOCK = 0x6D6F6270
_LOCK_SECONDS = 600


@dataclass(frozen=True)
class Prepared:
    """What the preparation found, handed over in a file; it holds no secret."""

    enabled_servers: int
    demo_port: int | None
    first_run_path: str | None

    @staticmethod
    def file(boot_id: str) -> Path:
        """Return the file of one start: several may prepare themselves in one folder."""
        return Path(settings.RUN_DIR) / f"prepared-{boot_id}.json"

    def write(self, boot_id: str) -> None:
        """Leave it for the supervisor of this start."""
        write_atomically(self.file(boot_id), json.dumps(asdict(self)))

    @classmethod
    def read(cls, boot_id: str) -> "Prepared":
        """Take what the preparation of this start left."""
        file = cls.file(boot_id)
        found = cls(**json.loads(file.read_text(encoding="utf-8")))
        file.unlink(missing_ok=True)
        return found


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep other preparations of this database out, on this and other machines."""
    from django.db import connection

    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [_ADVISORY_LOCK])
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_ADVISORY_LOCK])
        return
    from mobilesd.supervisor.locks import AlreadyRunning, FileLock

    lock = FileLock(Path(settings.RUN_DIR) / "prepare.lock")
    give_up = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            lock.acquire()
            break
        except AlreadyRunning:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.2)
    try:
        yield
    finally:
        lock.release()


def static_stamp() -> str:
    """Return what the collected files depend on: every source file, and how they are stored."""
    from django.contrib.staticfiles.finders import get_finders

    digest = hashlib.sha256(json.dumps(settings.STORAGES["staticfiles"]).encode())
    for finder in get_finders():
        for name, storage in sorted(finder.list([]), key=lambda found: str(found[0])):
            stat = Path(storage.path(name)).stat()
            digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def collect_static(say: Callable[[str], None]) -> bool:
    """Collect the static files if any has changed; return whether it did."""
    from django.core.management import call_command

    stamp, current = Path(settings.STATIC_ROOT) / ".stamp", static_stamp()
    with contextlib.suppress(OSError):
        if stamp.read_text(encoding="ascii") == current:
            return False
    say("Collecting the static files…")
    # Cleared, because otherwise a file from an archive with old times would not replace a newer.
    # Redoc comes with Swagger UI's package; nothing uses it, and it is large.
    unused = ["redoc"]
    call_command(
        "collectstatic", interactive=False, verbosity=0, clear=True, ignore_patterns=unused
    )
    write_atomically(stamp, current)
    return True
