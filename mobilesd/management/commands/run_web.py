"""`manage.py run_web`: the web process, as `up` starts it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import connections

CONNECTION_SECONDS = 600


class Command(BaseCommand):
    help = "Serve pages, API and live events."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *args: Any, **options: Any) -> None:
        from daphne.endpoints import build_endpoint_description_strings

        from mobilesd.serving import WebServer  # installs the reactor: before the application

        # isort: split
        from mobilesd.asgi import application

        # Its threads stay, so their connections may (mobilesd.http.handler). Elsewhere threads come
        # and go, and each would leave one behind.
        connections.settings["default"]["CONN_MAX_AGE"] = CONNECTION_SECONDS
        WebServer(
            application=application,
            endpoints=build_endpoint_description_strings(
                host=options["host"], port=options["port"]
            ),
            server_name="MobileSD",
        ).run()
