"""An installation in this process, in a folder that goes away."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["world"]


@contextlib.contextmanager
def world() -> Iterator[Any]:
    """Set Django up with a folder of its own, and yield the World of tests/safety."""
    with tempfile.TemporaryDirectory(prefix="mobilesd-bench-") as folder:
        os.environ["MOBILESD_DATA_DIR"] = folder
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mobilesd.settings")
        os.environ.setdefault("MOBILESD_LOG_LEVEL", "ERROR")
        import mobilesd  # noqa: F401  its SQLite first

        # isort: split
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0, interactive=False)
        from tests.safety.world import World

        yield World(Path(folder))
