"""Make an API key and print it once."""

import re
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from apikeys import services
from apikeys.actors import SYSTEM
from apikeys.fields import read_fields
from apikeys.models.key import DEFAULT_RATE, DEFAULT_SCOPES, SCOPES
from mobilesd.errors import Problem


class Command(BaseCommand):
    help = "Make an API key. The key is printed once, alone on the last line."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="what the key is for, up to 50 characters")
        parser.add_argument(
            "--owner",
            metavar="USER",
            help="whose jobs the key makes and sees; default: the only superuser if there is "
            "exactly one, else the installation",
        )
        parser.add_argument(
            "--scopes",
            metavar="A,B",
            help=f"default: {','.join(DEFAULT_SCOPES)}; all: {','.join(SCOPES)}",
        )
        parser.add_argument(
            "--rate",
            metavar="N/m|unlimited",
            default=f"{DEFAULT_RATE}/m",
            help="submissions a minute, and ten times as many other requests; default: %(default)s",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        wanted: dict[str, Any] = {"name": options["name"], "rate_limit": _rate(options["rate"])}
        if options["scopes"] is not None:
            wanted["scopes"] = _scopes(options["scopes"])
        if options["owner"] == "":
            raise CommandError("--owner names nobody. Leave it out, or name a user.")
        wanted["owner"] = options["owner"] or _only_superuser()
        try:
            key, token = services.create(read_fields(wanted), SYSTEM)
        except Problem as problem:
            raise CommandError(problem.message) from None
        whose = f"of {key.owner.get_username()}" if key.owner else "of the installation"
        self.stdout.write(f"API key {key.name!r} {whose}, scopes: {', '.join(key.scopes)}.")
        self.stdout.write("Keep it now: it can't be shown again.")
        self.stdout.write(token)


def _rate(text: str) -> int:
    if text == "unlimited":
        return 0
    if not (match := re.fullmatch(r"([1-9][0-9]{0,8})/m", text)):
        raise CommandError(f"--rate must be a number a minute (120/m) or unlimited, not {text!r}.")
    return int(match[1])


def _scopes(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _only_superuser() -> str:
    superusers = list(get_user_model().objects.filter(is_superuser=True, is_active=True)[:2])
    return superusers[0].get_username() if len(superusers) == 1 else ""
