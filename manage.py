#!/usr/bin/env python
"""Run MobileSD's management commands."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mobilesd.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit(
            f"Django is not installed here ({error}). Run `make run`, or activate .venv first."
        ) from error
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
