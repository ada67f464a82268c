"""`manage.py prepare`: what `up` does first; also for those who start the processes themselves."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import WARNING, CheckMessage, Tags, run_checks
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.urls import reverse

from dispatch.models import Server
from mobilesd.backups import damage, recovery, replacement
from mobilesd.supervisor import demo
from mobilesd.supervisor.preparation import FIRST_RUN_TOKEN, Prepared, alone, collect_static


class Command(BaseCommand):
    help = "Check the installation, migrate the database and collect the static files."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--demo", choices=["on", "off"], help="register or retire the demo")

    def handle(self, *args: Any, **options: Any) -> None:
        self._report(run_checks())
        try:
            with alone():
                # Before anything of this process opens the database.
                plan = recovery.go_on(self.stdout.write)
                if plan is not None and plan.new_key:
                    # This process and its parent have the old key: everything starts over.
                    raise SystemExit(damage.EXIT_CODE)
                recovery.before_use(self.stdout.write)
                self._migrate()
                self._report(run_checks(tags=[Tags.database], databases=["default"]))
                collect_static(self.stdout.write)
            prepared = self._prepared(options["demo"])
            if settings.BOOT_ID:
                prepared.write(settings.BOOT_ID)
        except damage.InUse:
            what = "A restore was cut off" if replacement.begun() else "The database is damaged"
            raise CommandError(
                f"{what}, and another process still has the database open. End all"
                " processes that use this data folder, then start again."
            ) from None
        except DatabaseError as error:
            raise CommandError(f"The database can't be used: {error}") from error
        except OSError as error:
            raise CommandError(f"{error.filename or 'A file'}: {error.strerror}") from error

    def _report(self, messages: Sequence[CheckMessage]) -> None:
        heard = [message for message in messages if not message.is_silenced()]
        for message in heard:
            if message.level >= WARNING:
                self.stderr.write(f"{message.id}: {message.msg} {message.hint or ''}".rstrip())
        if any(message.is_serious() for message in heard):
            raise CommandError("Correct this first, then start again.")

    def _migrate(self) -> None:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            self.stdout.write("Preparing the database…")
            call_command("migrate", interactive=False, verbosity=0, skip_checks=True)

    def _prepared(self, demo_wanted: str | None) -> Prepared:
        port = None
        if demo_wanted == "on" and demo.register():
            port = demo.port_to_serve()
        elif demo_wanted == "off":
            demo.retire()
        return Prepared(
            enabled_servers=Server.objects.filter(enabled=True).count(),
            demo_port=port,
            first_run_path=self._first_run_path(),
        )

    def _first_run_path(self) -> str | None:
        if get_user_model()._default_manager.filter(is_superuser=True, is_active=True).exists():
            return None
        return reverse("first-run", args=[FIRST_RUN_TOKEN])
