"""API keys: a prefix that may be shown and a secret that is stored hashed only."""

from django.conf import settings
from django.db import models
from rest_framework_api_key.models import AbstractAPIKey

__all__ = ["DEFAULT_RATE", "DEFAULT_SCOPES", "SCOPES", "ApiKey", "default_scopes"]

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
DEFAULT_RATE = 120
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
    allowed_app_types = models.JSONField(
        default=list, blank=True, help_text="App types that it may submit jobs of; empty: all."
    )
    allowed_ips = models.JSONField(
        default=list,
        blank=True,
        help_text="Addresses and networks (192.168.1.0/24) it may be used from; empty: all.",
    )
    rate_limit = models.PositiveIntegerField(
        default=DEFAULT_RATE,
        help_text="Submissions a minute, and ten times as many other requests; 0: unlimited.",
    )
    jobs_per_day = models.PositiveIntegerField(
        null=True, blank=True, help_text="Jobs it may submit in 24 hours; empty: unlimited."
    )
    gpu_seconds_per_day = models.PositiveIntegerField(
        null=True, blank=True, help_text="Seconds its jobs may run in 24 hours; empty: unlimited."
    )
    # After a rotation the secret before works until then, so that programs can be changed over.
    previous_hash = models.CharField(max_length=150, blank=True, default="", editable=False)
    previous_until = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta(AbstractAPIKey.Meta):
        verbose_name = "API key"
        verbose_name_plural = "API keys"

    def has_scope(self, scope: str) -> bool:
        """Tell whether the key may do this; `admin` includes all scopes."""
        return scope in self.scopes or "admin" in self.scopes
