"""Who looks at the pages."""

from tests.signed_in import browser, member, staff_browser

__all__ = ["HTMX", "browser", "member", "staff_browser"]

HTMX = {"HX-Request": "true"}
