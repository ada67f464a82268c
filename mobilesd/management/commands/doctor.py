"""`manage.py doctor`: check everything, say what to do, repair what is safe to repair."""

from collections.abc import Iterator
from typing import Any

from django.core.checks import WARNING, run_checks
from django.core.management.base import BaseCommand, CommandParser

from mobilesd.doctor import database, folder, running, safety, servers
from mobilesd.doctor.findings import Finding, Level, Look, fail, warn

LOOKS: tuple[Look, ...] = (
    folder.data_folder,
    folder.free_space,
    folder.secret_key_file,
    safety.look_at_safety,
    database.look_at_database,
    database.look_at_people,
    running.look_at_processes,
    servers.look_at_servers,
    servers.look_at_gpus,
)


class Command(BaseCommand):
    help = "Check the installation and say what to do. Exits with 1 if something fails."
    requires_system_checks = []  # reported below, like everything else

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--repair", action="store_true", help="do what is safe to do: files, folders, modes"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        failed = False
        for look in (_system_checks, *LOOKS):
            for finding in _findings(look):
                self._show(finding)
                if options["repair"] and finding.repair is not None:
                    failed |= not self._repair(finding)
                else:
                    failed |= finding.level == Level.FAIL
        if failed:
            raise SystemExit(1)

    def _show(self, finding: Finding) -> None:
        styles = {
            Level.OK: self.style.SUCCESS,
            Level.WARN: self.style.WARNING,
            Level.FAIL: self.style.ERROR,
        }
        self.stdout.write(f"{styles[finding.level](f'{finding.level:<4}')} {finding.text}")
        if finding.todo:
            self.stdout.write(f"     → {finding.todo}")

    def _repair(self, finding: Finding) -> bool:
        assert finding.repair is not None
        try:
            self.stdout.write(f"     ✓ {finding.repair()}")
        except OSError as error:
            self.stdout.write(f"     ✗ That did not work: {error}")
            return False
        return True


def _system_checks() -> Iterator[Finding]:
    for message in run_checks():
        if message.level >= WARNING and not message.is_silenced():
            make = fail if message.is_serious() else warn
            yield make(f"{message.id}: {message.msg}", message.hint or "See the message.")


def _findings(look: Look) -> Iterator[Finding]:
    try:
        yield from look()
    except Exception as error:  # one broken look must not hide what the others see
        yield fail(
            f"Looking at the {look.__name__.replace('look_at_', '').replace('_', ' ').strip()}"
            f" failed: {type(error).__name__}: {error}",
            "If the lines above don't explain it, report it with this text.",
        )
