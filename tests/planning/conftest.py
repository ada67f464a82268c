"""The API's clients."""

from tests.api.conftest import api, boss, member, rows

__all__ = ["api", "boss", "member", "rows"]
