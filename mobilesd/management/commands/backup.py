"""`manage.py backup FILE`: everything in one file, also while MobileSD runs."""

import subprocess
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.template.defaultfilters import filesizeformat

from mobilesd.backups import archive, dumps


class Command(BaseCommand):
    help = "Write database, secret key, pictures and inputs into one file. Keep it to yourself."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="a new file, such as mobilesd.tar")

    def handle(self, *args: Any, **options: Any) -> None:
        file = options["file"].absolute()
        if not settings.EMBEDDED and dumps.program("pg_dump") is None:
            raise CommandError(dumps.MISSING)
        try:
            contents = archive.write(file)
        except subprocess.SubprocessError as error:
            raise CommandError(f"pg_dump failed: {error}") from error
        except (OSError, archive.NotAnArchive) as error:
            reason = getattr(error, "strerror", None) or error
            raise CommandError(f"No backup was made: {file}: {reason}.") from error
        self.stdout.write(
            f"{file}: {contents.jobs} jobs, {contents.pictures} pictures,"
            f" {filesizeformat(contents.bytes)}, read again and checked."
        )
        self.stdout.write("It holds the secret key: whoever has it can read all passwords in it.")
