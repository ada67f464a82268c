"""Secrets that we must be able to use again, encrypted at rest.

Passwords of servers and signing secrets of webhooks can't be hashed: they are sent, or signed with.
The key is derived from the installation's own secret key, which is not in the database.
"""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings

__all__ = ["seal", "unseal"]


def _fernet(purpose: str) -> Fernet:
    # One key a purpose: what is sealed as one kind of secret can't be passed off as another.
    digest = hashlib.sha256(f"mobilesd.{purpose}:{settings.SECRET_KEY}".encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))


def seal(value: str, *, purpose: str) -> str:
    """Return the encrypted form of a secret; `purpose` has to be the same for `unseal`."""
    return _fernet(purpose).encrypt(value.encode()).decode("ascii")


def unseal(sealed: str, *, purpose: str) -> str:
    """Return the secret, or "" when the installation's secret key has changed since."""
    try:
        return _fernet(purpose).decrypt(sealed.encode("ascii")).decode()
    except InvalidToken:
        return ""
