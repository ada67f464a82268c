"""Keys, and what they were used for."""

from apikeys.models.access import Access, KeyDay
from apikeys.models.key import DEFAULT_SCOPES, SCOPES, ApiKey, default_scopes

__all__ = ["DEFAULT_SCOPES", "SCOPES", "Access", "ApiKey", "KeyDay", "default_scopes"]
