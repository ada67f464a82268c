#!/usr/bin/env python
"""Run MobileSD's management commands."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mobilesd.settings")
    try:
        from django.conf import settings
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit(
            f"Django is not installed here ({error}). Run `make run`, or activate .venv first."
        ) from error
    try:
        settings.INSTALLED_APPS  # noqa: B018  loads the settings
    except ImproperlyConfigured as error:  # a value in the environment that does not parse
        raise SystemExit(str(error)) from None
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
