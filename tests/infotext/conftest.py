"""The API's clients, for orders that come as an infotext."""

from tests.api.conftest import api, member

__all__ = ["api", "member"]
