"""`manage.py import_stablequeue FOLDER`: take over an installation of StableQueue."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from jobs.exchange.console import OWNER_HELP, actor_for, in_words, report
from mobilesd.errors import Problem
from mobilesd.importers.stablequeue import StableQueue

__all__ = ["Command"]

_SHOWN = 50


class Command(BaseCommand):
    help = (
        "Take over servers, jobs and pictures of StableQueue. Its files are only read. Servers"
        " come in switched off: test them, then switch them on. Doing it twice changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument(
            "--pictures",
            type=Path,
            metavar="FOLDER",
            help="where its pictures are; default: outputs",
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would happen")
        parser.add_argument("--owner", metavar="USER", help=OWNER_HELP)

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            actor = actor_for(options["owner"])
            installation = StableQueue(options["folder"], actor, options["pictures"])
            done = installation.take(dry_run=options["dry_run"])
        except Problem as problem:
            raise CommandError(in_words(problem)) from None
        except OSError as error:
            raise CommandError(f"It can't be read: {error.strerror or error}.") from None
        if done.servers:
            names = ", ".join(done.servers)
            self.stdout.write(f"Servers, switched off until you have tested them: {names}.")
        if done.servers_here:
            self.stdout.write(f"Servers that were here already: {', '.join(done.servers_here)}.")
        report(self.stdout.write, done.taken, dry_run=options["dry_run"])
        self.stdout.write(f"{done.pictures} pictures taken in, {done.pictures_here} were here.")
        for sentence in done.left_out[:_SHOWN]:
            self.stdout.write(f"Left out: {sentence}")
        if len(done.left_out) > _SHOWN:
            self.stdout.write(f"Left out: {len(done.left_out) - _SHOWN} more.")
