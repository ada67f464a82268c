"""The API's clients."""

from tests.api.conftest import api, boss, member, rows
from tests.signed_in import browser, staff_browser

__all__ = ["api", "boss", "browser", "member", "rows", "staff_browser"]
