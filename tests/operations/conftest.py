"""The API's clients, for what is done with many jobs and with the queue."""

from tests.api.conftest import api, boss, member, rows
from tests.signed_in import staff_browser

__all__ = ["api", "boss", "member", "rows", "staff_browser"]
