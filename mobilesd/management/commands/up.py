"""`manage.py up`: run MobileSD on this machine, or one part of it in a container."""

import contextlib
import os
import sys
import threading
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from mobilesd.backups import damage
from mobilesd.supervisor import network
from mobilesd.supervisor.locks import AlreadyRunning, FileLock
from mobilesd.supervisor.run import Supervisor
from mobilesd.supervisor.slots import Options
from mobilesd.supervisor.state import ROLES, lock_file, prepare_run_dir

# When this `up` has started over, in seconds since the epoch; one that does nothing else gives up.
_RECOVERIES = "MOBILESD_RECOVERIES"
_MOST_RECOVERIES = 3
_WITHIN_SECONDS = 600


class Command(BaseCommand):
    help = "Start MobileSD: web, dispatch and background; Ctrl-C stops everything."
    requires_system_checks = []  # `prepare` runs them in a process that goes away

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", help="address to listen at (default: 127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="default: %(default)s")
        parser.add_argument(
            "--lan",
            action="store_true",
            help="listen at all addresses and allow this host's names and private addresses",
        )
        parser.add_argument(
            "--demo",
            action="store_true",
            help="add a server that draws placeholder pictures if there is no other",
        )
        parser.add_argument("--only", choices=ROLES, help="start only this part")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = self._options(options)
        locks = self._lock(chosen)
        try:
            recover = self._start(chosen)
        finally:
            for lock in locks:
                lock.release()
        if recover:
            self._start_over()

    def _options(self, options: dict[str, Any]) -> Options:
        host = options["host"] or ("0.0.0.0" if options["lan"] else "127.0.0.1")
        port, only = options["port"], options["only"]
        if not 1 <= port <= 65535:
            raise CommandError(f"--port must be between 1 and 65535, not {port}.")
        if options["demo"] and only:
            raise CommandError("--demo needs all parts: leave out --only.")
        addresses = network.lan_addresses() if host in network.EVERYWHERE else []
        return Options(
            host=host,
            port=port,
            only=only,
            demo=options["demo"],
            addresses=addresses,
            allowed_hosts=network.allowed_hosts(settings.ALLOWED_HOSTS, host, addresses),
        )

    def _lock(self, options: Options) -> list[FileLock]:
        locks: list[FileLock] = []
        try:
            for role in options.roles:
                lock = FileLock(lock_file(role))
                lock.acquire()
                locks.append(lock)
            prepare_run_dir(options.only)
        except AlreadyRunning as held:
            for lock in locks:
                lock.release()
            raise CommandError(
                f"MobileSD already runs with the data folder {settings.DATA_DIR}"
                f" (process {held.pid or 'unknown'}). Stop that one first, or set"
                " MOBILESD_DATA_DIR to another folder."
            ) from None
        except OSError as error:
            raise CommandError(
                f"The data folder {settings.DATA_DIR} can't be used: {error.strerror}."
                " Correct its owner, or set MOBILESD_DATA_DIR to another folder."
            ) from error
        return locks

    def _start_over(self) -> None:
        """Become a new `up`, which recovers the database before anything has opened it."""
        again = [float(at) for at in os.environ.get(_RECOVERIES, "").split(",") if at]
        recent = [at for at in again if time.time() - at < _WITHIN_SECONDS]
        if len(recent) >= _MOST_RECOVERIES:
            raise CommandError(
                "The database was damaged again and again, right after its recovery. The disk or"
                " the memory of this machine is not sound, or something else writes into the data"
                " folder. Run `manage.py doctor`."
            )
        os.environ[_RECOVERIES] = ",".join(str(at) for at in [*recent, time.time()])
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

    def _start(self, options: Options) -> bool:
        """Run until the end; tell whether to start over, because the database is damaged."""
        if "web" in options.roles:
            try:
                network.check_port(options.host, options.port)
            except OSError as error:
                raise CommandError(
                    f"Can't listen at {options.host} port {options.port}: {error.strerror}."
                    " Choose another one with --port."
                ) from None
        writing = threading.Lock()

        def say(text: str) -> None:
            # A terminal that went away must not take the queue with it.
            with writing, contextlib.suppress(OSError):
                self.stdout.write(text)
                self.stdout.flush()

        code = Supervisor(options, say).run()
        if code == damage.EXIT_CODE:
            return True
        if code:
            raise SystemExit(code)
        return False
