"""`manage.py restore FILE`: put back what `backup` wrote."""

import subprocess
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.template.defaultfilters import filesizeformat

from mobilesd.backups import archive, dumps, recovery, restoring
from mobilesd.backups.damage import InUse
from mobilesd.supervisor.locks import owner_of
from mobilesd.supervisor.state import ROLES, lock_file


class Command(BaseCommand):
    help = "Put a backup back in place of what is there now, which is set aside."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--dry-run", action="store_true", help="check the file and say what would be done"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["dry_run"]:
                self._tell(archive.inspect(options["file"]))
                return
            self._refuse_while_running()
            recovery.go_on(self.stdout.write)
            aside = restoring.restore(options["file"], self.stdout.write)
        except InUse:
            raise CommandError("Another process still uses the database. Stop it first.") from None
        except archive.NotAnArchive as error:
            raise CommandError(f"{options['file']} can't be restored. {error}") from error
        except restoring.CutOff as error:
            raise CommandError(
                f"The backup is unpacked and counts, but could not be put in place: {error}."
                " Correct that; the next `manage.py up` finishes it."
            ) from error
        except subprocess.SubprocessError as error:
            raise CommandError(f"pg_restore failed: {error}") from error
        except OSError as error:
            raise CommandError(
                f"{error.filename or options['file']}: {error.strerror}. Nothing was restored."
            ) from error
        self.stdout.write(f"What was there before is kept in {aside}.")
        self.stdout.write("Start `manage.py up`.")

    def _tell(self, found: archive.Contents) -> None:
        files = ", ".join(f"{count} {store}" for store, count in found.files.items()) or "no files"
        self.stdout.write(
            f"A backup of {found.made_at} by MobileSD {found.version}: {found.jobs} jobs,"
            f" {found.pictures} pictures, {files}, {filesizeformat(found.bytes)}. It is whole."
        )
        self.stdout.write("Nothing was changed. Without --dry-run it takes the place of:")
        self.stdout.write(f"  {settings.DATA_DIR}")

    def _refuse_while_running(self) -> None:
        running = [role for role in ROLES if owner_of(lock_file(role)) is not None]
        if running:
            raise CommandError(
                f"MobileSD is running ({', '.join(running)}). Stop `manage.py up` first."
            )
        if not settings.EMBEDDED and dumps.program("pg_restore") is None:
            raise CommandError(dumps.MISSING)
