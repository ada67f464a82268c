"""Write the documents of the API that are made from the code."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from mobilesd.schema.pages import errors_page
from mobilesd.schema.postman import collection_text

__all__ = ["Command", "files"]


def files() -> dict[str, str]:
    """Return what belongs into docs/api, by file name."""
    return {
        "errors.md": errors_page(),
        "mobilesd.postman_collection.json": collection_text(),
    }


class Command(BaseCommand):
    help = "Write docs/api/errors.md and the Postman collection from the code."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="Write nothing; fail if a file is out of date."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Path(settings.BASE_DIR) / "docs" / "api"
        for name, text in files().items():
            file = folder / name
            if file.exists() and file.read_text(encoding="utf-8") == text:
                continue
            if options["check"]:
                raise CommandError(f"{file} is out of date. Run `manage.py api_docs`.")
            folder.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            self.stdout.write(f"{file} is written.")
