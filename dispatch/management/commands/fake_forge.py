"""Run a Forge server that draws placeholder pictures, for the demo and for trying things out."""

from __future__ import annotations

import os
import signal
import threading
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise ArgumentTypeError(f"{text!r} is not a port: use 0 (any free one) to 65535")
    return int(text)


def _user(text: str) -> str:
    if not text.partition(":")[0] or ":" not in text:
        raise ArgumentTypeError("expected user:password")
    return text


class Command(BaseCommand):
    help = "Run a Forge server that draws placeholder pictures instead of using a GPU."
    requires_system_checks = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=_port, default=7860, help="0 takes any free port")
        parser.add_argument("--seconds", type=_seconds, default=4.0, help="time for one picture")
        parser.add_argument(
            "--load-seconds", type=_seconds, default=2.0, help="time to change the checkpoint"
        )
        parser.add_argument(
            "--startup-seconds", type=_seconds, default=0.0, help="time until the API answers"
        )
        parser.add_argument("--checkpoints", default="", help="file names, separated by commas")
        parser.add_argument(
            "--preview-steps", type=int, default=10, help="steps between two live previews"
        )
        parser.add_argument("--nowebui", action="store_true", help="no page and no /internal/*")
        parser.add_argument(
            "--companion",
            type=Path,
            metavar="FOLDER",
            help="with the engine companion, which keeps its data there (the token is"
            " in companion_token-…)",
        )
        parser.add_argument("--api-auth", type=_user, metavar="USER:PASSWORD")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Serve until SIGTERM or SIGINT; print one line when the port is open."""
        from dispatch.fakes.forge import FakeForge
        from dispatch.fakes.forge.inventory import DEFAULT_CHECKPOINTS

        names = [name.strip() for name in options["checkpoints"].split(",") if name.strip()]
        fake = FakeForge(
            options["port"],
            host=options["host"],
            seconds=options["seconds"],
            load_seconds=options["load_seconds"],
            startup_seconds=options["startup_seconds"],
            checkpoints=names or DEFAULT_CHECKPOINTS,
            options={"show_progress_every_n_steps": options["preview_steps"]},
            nowebui=options["nowebui"],
            api_auth=options["api_auth"],
            companion=options["companion"],
        )
        ended = threading.Event()

        def end(_signal: int, _frame: FrameType | None) -> None:
            ended.set()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        try:
            fake.start()
        except OSError as error:
            raise CommandError(
                f"Port {options['port']} on {options['host']} can't be used: {error.strerror}. "
                "Choose another one with --port."
            ) from None
        announcer = threading.Thread(target=self._announce, args=(fake,), daemon=True)
        announcer.start()
        # On Windows a wait without an end can't be broken by Ctrl-C.
        while not ended.wait(0.5 if os.name == "nt" else None):
            pass
        fake.stop()

    def _announce(self, fake: Any) -> None:
        fake.wait_open()
        self.stdout.write(f"fake_forge listening on {fake.url}")
        self.stdout.flush()
