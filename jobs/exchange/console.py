"""What the commands that import share: whose the jobs become, which files may be read, a report."""

import os
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import CommandError

from apikeys.actors import SYSTEM, Actor
from jobs.exchange.intake import Taken
from mobilesd.errors import Problem

__all__ = ["OWNER_HELP", "actor_for", "in_words", "refuse_own_files", "report"]

OWNER_HELP = (
    "whose the jobs become; default: the only superuser if there is exactly one, else the"
    " installation"
)
_SHOWN = 50


def actor_for(username: str | None) -> Actor:
    """Return who the jobs are taken in for; raise CommandError for an unknown name."""
    users = get_user_model().objects.filter(is_active=True)
    if username is not None:
        user = users.filter(**{get_user_model().USERNAME_FIELD: username}).first()
        if user is None:
            raise CommandError(f"There is no active user {username!r}.")
        return Actor.of_user(user)
    superusers = list(users.filter(is_superuser=True)[:2])
    return Actor.of_user(superusers[0]) if len(superusers) == 1 else SYSTEM


def refuse_own_files(path: Path) -> None:
    """Refuse the files of our own database: opening one would drop SQLite's locks on it.

    Looked at by name and by inode, never by opening.
    """
    name = settings.DATABASES["default"].get("NAME")
    if not settings.EMBEDDED or not name:
        return
    for own in (str(name), f"{name}-wal", f"{name}-shm", f"{name}-journal"):
        if os.path.exists(own) and os.path.samefile(own, path):  # noqa: PTH110, PTH121
            raise CommandError("This is MobileSD's own database. Name the other program's file.")


def in_words(problem: Problem) -> str:
    """Return a refusal as one text for a terminal."""
    details = [text for texts in problem.fields.values() for text in texts]
    return " ".join(
        dict.fromkeys(part for part in [problem.message, *details, problem.hint] if part)
    )


def report(write: Callable[[str], object], taken: Taken, *, dry_run: bool) -> None:
    """Say what became of a file, or what would."""
    would = "would be" if dry_run else "were"
    write(f"{len(taken.made)} jobs {would} taken in.")
    if taken.already_here:
        write(f"{len(taken.already_here)} were here already and are left as they are.")
    for title, sentences in (("Left out", taken.refused), ("To know", taken.warnings)):
        for sentence in sentences[:_SHOWN]:
            write(f"{title}: {sentence}")
        if len(sentences) > _SHOWN:
            write(f"{title}: {len(sentences) - _SHOWN} more.")
