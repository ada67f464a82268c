"""`manage.py export_queue FILE`: write the waiting jobs to a file."""

import contextlib
import os
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apikeys.actors import SYSTEM
from jobs.exchange import Exporter
from jobs.exchange.console import actor_for, refuse_own_files

__all__ = ["Command"]


class Command(BaseCommand):
    help = (
        "Write the waiting jobs and their pictures to a file, which `import_queue` takes in here"
        " or elsewhere. A name that ends in .json gives one JSON document, any other JSON lines."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--all", action="store_true", help="the jobs that run now as well")
        parser.add_argument("--owner", metavar="USER", help="only this user's jobs")
        parser.add_argument("--force", action="store_true", help="overwrite the file")

    def handle(self, *_: Any, **options: Any) -> None:
        file: Path = options["file"]
        if file.exists():
            if not options["force"]:
                raise CommandError(f"{file} is there already. Name another file, or use --force.")
            refuse_own_files(file)
        actor = actor_for(options["owner"]) if options["owner"] else SYSTEM
        exporter = Exporter(actor, running=options["all"])
        parts = exporter.document() if file.suffix == ".json" else exporter.lines()
        try:
            _write(file, parts)
        except OSError as error:
            raise CommandError(f"{file} can't be written: {error.strerror or error}.") from None
        for left in exporter.left_out:
            self.stderr.write(f"Left out: the job {left['id']}. {left['why']}")
        self.stdout.write(f"{exporter.written} jobs are in {file}.")


def _write(file: Path, parts: Any) -> None:
    """Write the file whole or not at all, readable by its owner alone: it holds prompts."""
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name[:40]}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.writelines(parts)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
