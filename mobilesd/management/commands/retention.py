"""`manage.py retention`: what the rules would delete; with --apply they do it now."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.template.defaultfilters import filesizeformat

from jobs.models import Retention
from mobilesd import retention


class Command(BaseCommand):
    help = "Show what the rules of keeping would delete; --apply deletes it, by those that are on."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--apply", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        for kind, rule in retention.rules():
            state = "on" if rule.is_active else "off"
            found = retention.figure(rule)
            self.stdout.write(
                f"{kind.name:<9} {state:<4} {_limits(rule):<32} would delete {found.count},"
                f" {filesizeformat(found.bytes)}"
            )
            if options["apply"] and rule.is_active:
                self.stdout.write(f"{'':<9} deleted {retention.apply(rule)}")


def _limits(rule: Retention) -> str:
    limits = [
        f"{rule.days} days" if rule.days is not None else "",
        f"{rule.most} at most" if rule.most is not None else "",
        f"{rule.gigabytes:g} GB" if rule.gigabytes is not None else "",
    ]
    return ", ".join(limit for limit in limits if limit) or "kept for ever"
