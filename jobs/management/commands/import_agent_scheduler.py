"""`manage.py import_agent_scheduler FILE`: take in the queue of sd-webui-agent-scheduler."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from jobs.exchange import Intake
from jobs.exchange.console import OWNER_HELP, actor_for, in_words, report
from jobs.importers.agent_scheduler import STATUSES, Reading
from mobilesd.errors import Problem

__all__ = ["Command"]


class Command(BaseCommand):
    help = (
        "Take in the waiting tasks of the extension sd-webui-agent-scheduler: the file"
        " task_scheduler.sqlite3 in its folder, which is only read. Doing it twice makes no"
        " second job. What can't be read safely is named."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--status",
            action="append",
            choices=STATUSES,
            help="tasks to put into the queue; may come more than once; default: pending and"
            " running. Tasks that are done are made again, if you ask for them",
        )
        parser.add_argument("--all", action="store_true", help="tasks of every status")
        parser.add_argument("--server", default="", metavar="ALIAS", help="default: any server")
        parser.add_argument("--dry-run", action="store_true", help="only say what would happen")
        parser.add_argument("--owner", metavar="USER", help=OWNER_HELP)

    def handle(self, *_: Any, **options: Any) -> None:
        statuses = STATUSES if options["all"] else options["status"] or ("pending", "running")
        reading = Reading(options["file"], statuses, options["server"])
        intake = Intake(actor_for(options["owner"]), lenient=True)
        try:
            taken = intake.take(reading.jobs(), dry_run=options["dry_run"])
        except Problem as problem:
            raise CommandError(in_words(problem)) from None
        except OSError as error:
            text = error.strerror or error
            raise CommandError(f"{options['file']} can't be read: {text}.") from None
        taken.refused[:0] = reading.refused
        report(self.stdout.write, taken, dry_run=options["dry_run"])
        for status, count in reading.other.items():
            self.stdout.write(f"{count} tasks are {status} and were not asked for (--status).")
