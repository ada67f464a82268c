"""API keys: a prefix that may be shown and a secret that is stored hashed only."""

from django.conf import settings
from django.db import models
from rest_framework_api_key.models import AbstractAPIKey

__all__ = ["DEFAULT_SCOPES", "SCOPES", "ApiKey"]

SCOPES = (
    "jobs:read",
    "jobs:write",
    "jobs:all",
    "servers:read",
    "images:read",
    "images:write",
    "models:read",
    "models:write",
    "admin",
)
DEFAULT_SCOPES = ("jobs:read", "jobs:write", "servers:read", "images:read", "models:read")


def default_scopes() -> list[str]:
    """Return the scopes of a key that names none (contracts/api.md)."""
    return list(DEFAULT_SCOPES)


class ApiKey(AbstractAPIKey):
    """A key for programs; without an owner it belongs to the installation."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="api_keys",
        help_text="Whose jobs this key makes and sees. Empty: the installation's own.",
    )
    description = models.CharField(max_length=500, blank=True, default="")
    scopes = models.JSONField(default=default_scopes, blank=True)
    is_active = models.BooleanField(
        default=True, help_text="Switch off to refuse the key for a while; revoking is final."
    )
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta(AbstractAPIKey.Meta):
        verbose_name = "API key"
        verbose_name_plural = "API keys"

    def has_scope(self, scope: str) -> bool:
        """Tell whether the key may do this; `admin` includes all scopes."""
        return scope in self.scopes or "admin" in self.scopes
