"""Who sends a request: an API key in one of four header forms, or a signed-in page."""

import base64
import binascii
import logging
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from apikeys.models import ApiKey
from mobilesd.http.addresses import client_address, plain_address
from mobilesd.rows import Reader

__all__ = ["ApiKeyAuthentication", "InstallationUser", "PageSessionAuthentication"]

logger = logging.getLogger(__name__)

LAST_USED_EVERY = timedelta(minutes=1)
_MALFORMED = (
    "The API key is malformed. Send Authorization: Api-Key P.S,"
    " or X-API-Key: P with X-API-Secret: S."
)


class InstallationUser(AnonymousUser):
    """Stands for the installation, when a key without an owner asks."""

    @property
    def is_authenticated(self) -> bool:  # type: ignore[override]
        return True


def _refuse(code: str, message: str) -> AuthenticationFailed:
    return AuthenticationFailed(message, code=code)


def _token_of(request: Request) -> str | None:
    """Return `P.S`, or None if the request carries no key; raise AuthenticationFailed."""
    scheme, _, value = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    value = value.strip()
    match scheme.lower():
        case "api-key":
            return _checked(value)
        case "bearer":
            return _checked(value if "." in value else _decoded(value))
    prefix = request.META.get("HTTP_X_API_KEY", "").strip()
    secret = request.META.get("HTTP_X_API_SECRET", "").strip()
    if prefix or secret:
        return _checked(f"{prefix}.{secret}")
    return None  # other schemes, such as a proxy's Basic, are no business of ours


def _decoded(value: str) -> str:
    try:
        pair = base64.b64decode(value + "=" * (-len(value) % 4), validate=True).decode("ascii")
    except (ValueError, binascii.Error):
        raise _refuse("invalid_api_key", _MALFORMED) from None
    return pair.replace(":", ".", 1)


def _checked(token: str) -> str:
    prefix, dot, secret = token.partition(".")
    if not (prefix and dot and secret) or len(token) > 200 or not token.isascii():
        raise _refuse("invalid_api_key", _MALFORMED)
    return token


@cache
def _keys() -> Reader[ApiKey]:
    users = get_user_model()._meta.db_table
    rest = f"LEFT JOIN {users} u ON u.id = t.owner_id WHERE t.prefix = %s"
    return Reader(ApiKey, rest, "u.is_active", "u.is_staff")


def _find(prefix: str) -> tuple[ApiKey | None, bool]:
    """Return a key, and whether its owner (if any) may still sign in."""
    for key, (owner_is_active, owner_is_staff) in _keys().with_more(prefix):
        key.owner_is_staff = bool(owner_is_staff)
        return key, key.owner_id is None or bool(owner_is_active)
    return None, False


def _owner_of(key: ApiKey) -> Any:
    # Most requests need the owner's id only, and that is in the key.
    return SimpleLazyObject(lambda: key.owner)


def _check_address(key: ApiKey, request: Request) -> None:
    address = client_address(request)
    if not key.allows_address(plain_address(address)):
        raise PermissionDenied(
            f"This API key may not be used from {address or 'a socket without an address'}.",
            code="ip_not_allowed",
        )


def _touch(key: ApiKey, now: datetime) -> None:
    """Note the use of a key, at most once a minute; a busy database is no reason to refuse."""
    limit = now - LAST_USED_EVERY
    if key.last_used_at is not None and key.last_used_at > limit:
        return
    try:
        ApiKey.objects.filter(prefix=key.prefix).filter(
            Q(last_used_at__isnull=True) | Q(last_used_at__lte=limit)
        ).update(last_used_at=now)
    except DatabaseError:
        logger.warning("the last use of key %s could not be noted", key.prefix)


class ApiKeyAuthentication(BaseAuthentication):
    """API keys (contracts/api.md, "Common").

    `request.user` becomes the key's owner, or InstallationUser for a key without one;
    `request.auth` the ApiKey. What is wrong with a key is told only to who knows its secret.
    """

    def authenticate(self, request: Request) -> tuple[Any, ApiKey] | None:
        token = _token_of(request)
        if token is None:
            return None
        key, owner_is_active = _find(token.partition(".")[0])
        now = timezone.now()
        used_hash = key.hash_of(token, now) if key is not None else ""
        if key is None or not used_hash:
            raise _refuse("invalid_api_key", "There is no such API key.")
        key.used_hash = used_hash
        if key.revoked:
            raise _refuse("api_key_revoked", "This API key was revoked. Make a new one.")
        if key.expiry_date is not None and key.expiry_date <= now:
            raise _refuse("api_key_expired", "This API key has expired. Make a new one.")
        if not key.is_active:
            raise _refuse("invalid_api_key", "This API key is switched off.")
        if not owner_is_active:
            raise _refuse("invalid_api_key", "The owner of this API key may not sign in any more.")
        if key.allowed_ips:
            _check_address(key, request)
        _touch(key, now)
        return (InstallationUser() if key.owner_id is None else _owner_of(key)), key

    def authenticate_header(self, request: Request) -> str:
        return "Api-Key"


class PageSessionAuthentication(SessionAuthentication):
    """The page's own sign-in; whatever changes something needs the CSRF token."""

    def enforce_csrf(self, request: Request) -> None:
        try:
            super().enforce_csrf(request)
        except PermissionDenied:
            raise PermissionDenied(
                "The page's security token is missing or out of date.", code="csrf_failed"
            ) from None
