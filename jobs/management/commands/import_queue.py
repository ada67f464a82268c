"""`manage.py import_queue FILE`: take in the waiting jobs of a file."""

from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError

from jobs.exchange import Intake, read_document, read_lines
from jobs.exchange.console import OWNER_HELP, actor_for, in_words, refuse_own_files, report
from mobilesd.errors import InvalidInput, Problem
from mobilesd.http.codec import decode

__all__ = ["Command"]

MAX_LINE = 128 * 1024 * 1024  # an input of 64 MB, as base64
MAX_DOCUMENT = 1024 * 1024 * 1024


class Command(BaseCommand):
    help = (
        "Take in all jobs of a file of `export_queue`, or none. They stand at the end of the"
        " queue. What was taken in before is left out, so doing it twice makes no second job."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="only say what would happen")
        parser.add_argument("--owner", metavar="USER", help=OWNER_HELP)

    def handle(self, *_: Any, **options: Any) -> None:
        file: Path = options["file"]
        actor = actor_for(options["owner"])
        try:
            refuse_own_files(file)
            with file.open("rb") as stream:
                reading, incoming = _records(stream)
                intake = Intake(actor)
                taken = intake.take(incoming, reading.batches, dry_run=options["dry_run"])
        except Problem as problem:
            raise CommandError(in_words(problem)) from None
        except OSError as error:
            raise CommandError(f"{file} can't be read: {error.strerror or error}.") from None
        taken.warnings[:0] = reading.expired
        report(self.stdout.write, taken, dry_run=options["dry_run"])


def _records(stream: IO[bytes]) -> Any:
    first = stream.readline(4096)
    stream.seek(0)
    if b'"queue-lines"' in first:
        return read_lines(_lines(stream))
    text = stream.read(MAX_DOCUMENT + 1)
    if len(text) > MAX_DOCUMENT:
        raise InvalidInput(
            "A document of more than 1 GB is not read as a whole.",
            error="payload_too_large",
            hint="Export the queue to a file whose name does not end in .json: as JSON lines.",
        )
    return read_document(decode(text))


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    while line := stream.readline(MAX_LINE):
        if len(line) >= MAX_LINE:
            raise InvalidInput("The file has a line of more than 128 MB.")
        yield line
