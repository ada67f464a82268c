"""`manage.py wake_server ALIAS`: wake a server now, or say how it is woken."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from dispatch import services, waking
from dispatch.models import Server
from mobilesd.errors import Problem

__all__ = ["Command"]

_LONGEST = 500


class Command(BaseCommand):
    help = (
        "Wake a server now. --mac and --command say how it is woken when a job waits for it;"
        " a command runs on this machine, so it can be set here only."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("alias")
        parser.add_argument(
            "--mac", help="its network card, such as a4:bb:6d:12:34:56; '' for none"
        )
        parser.add_argument(
            "--command", help="run without a shell when a job waits for it; '' for none"
        )
        parser.add_argument(
            "--seconds", type=int, help="wake it again after so many seconds at the earliest"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            server = services.find_server(options["alias"])
            names = (("mac", "wake_mac"), ("seconds", "wake_seconds"))
            changes = {field: options[key] for key, field in names if options[key] is not None}
            if changes:
                services.edit_server(server.alias, changes)
        except Problem as problem:
            details = [text for texts in problem.fields.values() for text in texts]
            raise CommandError(" ".join([problem.message, *details, problem.hint])) from None
        command = options["command"]
        if command is not None:
            if len(command) > _LONGEST:
                raise CommandError(f"The command is longer than {_LONGEST} characters.")
            Server.objects.filter(pk=server.pk).update(wake_command=command)
        if changes or command is not None:
            self.stdout.write(f"{server.alias} is changed.")
            return
        if not server.wake_mac and not server.wake_command:
            raise CommandError("It has neither --mac nor --command to be woken by.")
        if trouble := waking.wake(server):
            raise CommandError(trouble)
        self.stdout.write(f"{server.alias} was told to wake up.")
