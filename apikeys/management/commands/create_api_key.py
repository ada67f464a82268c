"""Make an API key and print it once."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from apikeys.models import DEFAULT_SCOPES, SCOPES, ApiKey


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

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"].strip()
        if not 1 <= len(name) <= 50:
            raise CommandError("The name must have 1 to 50 characters.")
        scopes = _scopes(options["scopes"])
        owner = _owner(options["owner"])
        _, token = ApiKey.objects.create_key(name=name, owner=owner, scopes=scopes)
        whose = f"of {owner.get_username()}" if owner else "of the installation"
        self.stdout.write(f"API key {name!r} {whose}, scopes: {', '.join(scopes)}.")
        self.stdout.write("Keep it now: it can't be shown again.")
        self.stdout.write(token)


def _scopes(text: str | None) -> list[str]:
    if text is None:
        return list(DEFAULT_SCOPES)
    wanted = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if unknown := [scope for scope in wanted if scope not in SCOPES]:
        raise CommandError(
            f"Unknown scope {', '.join(unknown)}. The scopes are: {', '.join(SCOPES)}."
        )
    if not wanted:
        raise CommandError(f"Name at least one scope of: {', '.join(SCOPES)}.")
    return wanted


def _owner(username: str | None) -> Any:
    users = get_user_model().objects
    if username is not None:
        owner = users.filter(username=username).first()
        if owner is None:
            raise CommandError(f"There is no user {username!r}.")
        return owner
    superusers = list(users.filter(is_superuser=True, is_active=True)[:2])
    return superusers[0] if len(superusers) == 1 else None
