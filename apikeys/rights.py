"""Whether those who opened a stream still may have it; asked for many at once."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from apikeys.actors import Actor
from apikeys.models import ApiKey
from mobilesd.http.addresses import client_address, plain_address

__all__ = ["Credential", "actors"]

_SCOPE = "jobs:read"


@dataclass(frozen=True)
class Credential:
    """What somebody was let in by: a secret of a key, by its hash, or the key of a page's session.

    The prefix alone would outlive a rotation: whoever has a leaked secret could go on listening.
    `address` is where a key's request came from, which the key may not allow any more.
    """

    key_prefix: str = ""
    key_hash: str = field(default="", repr=False)
    session_key: str = ""
    address: str = ""

    @classmethod
    def of_request(cls, request: Any) -> "Credential":
        """Return what an authenticated request of the API was let in by."""
        if isinstance(request.auth, ApiKey):
            return cls(
                key_prefix=request.auth.prefix,
                key_hash=request.auth.used_hash,
                address=client_address(request),
            )
        return cls(session_key=request.session.session_key or "")


def actors(credentials: Collection[Credential]) -> Mapping[Credential, Actor]:
    """Return who these are now; those that may not read jobs any more are left out."""
    return {**_by_key(credentials), **_by_session(credentials)}


def _by_key(credentials: Collection[Credential]) -> Mapping[Credential, Actor]:
    prefixes = {wanted.key_prefix for wanted in credentials if wanted.key_prefix}
    if not prefixes:
        return {}
    now = timezone.now()
    rows = ApiKey.objects.select_related("owner").filter(prefix__in=prefixes)
    keys = {key.prefix: key for key in rows if _may_read(key, now)}
    return {
        wanted: Actor.of_key(keys[wanted.key_prefix])
        for wanted in credentials
        if wanted.key_prefix in keys and _lets_in(keys[wanted.key_prefix], wanted, now)
    }


def _lets_in(key: ApiKey, wanted: Credential, now: datetime) -> bool:
    return wanted.key_hash in key.hashes(now) and key.allows_address(plain_address(wanted.address))


def _may_read(key: ApiKey, now: datetime) -> bool:
    return (
        key.is_active
        and not key.revoked
        and (key.expiry_date is None or key.expiry_date > now)
        and (key.owner is None or key.owner.is_active)
        and key.has_scope(_SCOPE)
    )


def _by_session(credentials: Collection[Credential]) -> Mapping[Credential, Actor]:
    store = import_module(settings.SESSION_ENGINE).SessionStore
    sessions = {c: store(c.session_key).load() for c in credentials if c.session_key}
    ids = {session[SESSION_KEY] for session in sessions.values() if SESSION_KEY in session}
    users = {str(user.pk): user for user in get_user_model().objects.filter(pk__in=ids)}
    return {
        credential: Actor.of_user(users[session[SESSION_KEY]])
        for credential, session in sessions.items()
        if session.get(SESSION_KEY) in users and _signed_in(session, users[session[SESSION_KEY]])
    }


def _signed_in(session: Mapping[str, Any], user: Any) -> bool:
    """Tell whether a session is good for its user: a new password ends the others."""
    known = session.get(HASH_SESSION_KEY, "")
    return bool(user.is_active) and constant_time_compare(known, user.get_session_auth_hash())
