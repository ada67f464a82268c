"""`manage.py add_server ALIAS URL`: add a server from the command line."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from dispatch import services
from dispatch.models import Health
from mobilesd.errors import Problem

__all__ = ["Command"]


def _line() -> str:
    return sys.stdin.readline().rstrip("\n")


class Command(BaseCommand):
    help = "Add an image server. It is saved even if it is not running now, and tested."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("alias", help="a short name, such as gpu-pc")
        parser.add_argument("url", help="its address, such as http://192.168.1.20:7860")
        parser.add_argument(
            "--app-type", choices=sorted(settings.DISPATCHERS), default=settings.DEFAULT_APP_TYPE
        )
        parser.add_argument("--description", default="")
        parser.add_argument("--user", default="", help="user name, if the server asks for one")
        parser.add_argument(
            "--password-stdin",
            action="store_true",
            help="read the password from standard input: an argument would show in process lists",
        )

        parser.add_argument(
            "--companion-token-stdin",
            action="store_true",
            help="read the token of the server's companion from standard input, after the password",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        password = _line() if options["password_stdin"] else ""
        companion_token = _line() if options["companion_token_stdin"] else ""
        try:
            server = services.add_server(
                alias=options["alias"],
                url=options["url"],
                app_type=options["app_type"],
                description=options["description"],
                username=options["user"],
                password=password,
                companion_token=companion_token,
            )
        except Problem as problem:
            details = [text for texts in problem.fields.values() for text in texts]
            raise CommandError(" ".join([problem.message, *details, problem.hint])) from None
        report = services.test_connection(server)
        self.stdout.write(f"Saved {server.alias} ({server.url}).")
        if report.health == Health.HEALTHY:
            self.stdout.write(f"It answers in {report.latency_ms:.0f} ms.")
            server.refresh_from_db()
            if server.companion_text:
                self.stdout.write(server.companion_text)
        else:
            self.stderr.write(
                f"Warning: {report.text} Its jobs wait until it answers. Check that it runs"
                " and was started with --api."
            )
