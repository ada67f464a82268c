"""API keys: a prefix that may be shown and a secret that is stored hashed only."""

from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.utils import timezone
from rest_framework_api_key.models import AbstractAPIKey, BaseAPIKeyManager

from apikeys.scopes import DEFAULT_SCOPES, SCOPES, STAFF_SCOPES

if TYPE_CHECKING:
    from apikeys.actors import Actor

__all__ = ["DEFAULT_RATE", "DEFAULT_SCOPES", "SCOPES", "ApiKey", "default_scopes"]

DEFAULT_RATE = 120


def default_scopes() -> list[str]:
    """Return the scopes of a key that names none (contracts/api.md)."""
    return list(DEFAULT_SCOPES)


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def visible_to(self, actor: "Actor") -> Self:
        """Keep the keys that this actor may see, and so change."""
        if actor.sees_all_keys:
            return self.all()
        if actor.user_id is not None:
            return self.filter(owner_id=actor.user_id)
        return self.none()


class ApiKeyManager(BaseAPIKeyManager.from_queryset(ApiKeyQuerySet)):  # type: ignore[misc]
    """Makes keys whose primary key is their prefix.

    The library's own is prefix and hash: it would stand in the addresses of the admin's pages.
    """

    def assign_key(self, obj: Any) -> str:
        """Give a new key its prefix and hash; return `P.S`, which is stored nowhere."""
        token: str = super().assign_key(obj)
        obj.id = obj.prefix
        return token


@lru_cache(maxsize=512)
def _networks(allowed: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(text) for text in allowed)


class ApiKey(AbstractAPIKey):
    """A key for programs; without an owner it belongs to the installation.

    Its public id is its prefix, which it keeps for life: jobs are tied to it.
    """

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

    # Of a key that a request was let in by: the hash of the secret that it came with.
    used_hash: str = ""
    # Whether its owner is of the staff, where the query that found the key has said so.
    owner_is_staff: bool | None = None

    objects: ClassVar[ApiKeyManager] = ApiKeyManager()

    class Meta(AbstractAPIKey.Meta):
        verbose_name = "API key"
        verbose_name_plural = "API keys"

    @property
    def counting_scopes(self) -> frozenset[str]:
        """Return the scopes that count now: what only staff may give, while staff owns the key.

        Who is no administrator any more must not stay one by a key made before. Asks for the
        owner unless `owner_is_staff` is known.
        """
        scopes = frozenset(self.scopes)
        if self.owner_id is None or scopes.isdisjoint(STAFF_SCOPES):
            return scopes
        if self.owner_is_staff is None:
            self.owner_is_staff = self.owner is not None and bool(self.owner.is_staff)
        return scopes if self.owner_is_staff else scopes - STAFF_SCOPES

    def has_scope(self, scope: str) -> bool:
        """Tell whether the key may do this now; `admin` includes all scopes."""
        counting = self.counting_scopes
        return scope in counting or "admin" in counting

    def hashes(self, now: datetime) -> list[str]:
        """Return the hashes of the secrets that work: its own, and in a grace time that before."""
        grace = self.previous_until is not None and self.previous_until > now
        return [self.hashed_key, *([self.previous_hash] if grace and self.previous_hash else [])]

    def hash_of(self, token: str, now: datetime) -> str:
        """Return the hash of the secret in `P.S` if it works, else ""."""
        verify = type(self).objects.key_generator.verify
        return next((known for known in self.hashes(now) if verify(token, known)), "")

    def allows_address(self, address: IPv4Address | IPv6Address | None) -> bool:
        """Tell whether the key may be used from there; None is no address (a Unix socket)."""
        if not self.allowed_ips:
            return True
        networks = _networks(tuple(self.allowed_ips))
        return address is not None and any(address in network for network in networks)

    @property
    def state(self) -> str:
        """Return revoked, expired, off or active."""
        if self.revoked:
            return "revoked"
        if self.expiry_date is not None and self.expiry_date <= timezone.now():
            return "expired"
        return "active" if self.is_active else "off"

    def new_secret(self) -> tuple[str, str]:
        """Return another `P.S` for this prefix, and its hash; nothing is stored."""
        generator: Any = type(self).objects.key_generator
        token = f"{self.prefix}.{generator.get_secret_key()}"
        return token, generator.hash(token)
