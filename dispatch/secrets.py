"""Passwords of servers, encrypted at rest with a key derived from the installation's own."""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings

__all__ = ["seal", "unseal"]


def _fernet() -> Fernet:
    digest = hashlib.sha256(b"mobilesd.server-password:" + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))


def seal(value: str) -> str:
    """Return the encrypted form of a password."""
    return _fernet().encrypt(value.encode()).decode("ascii")


def unseal(sealed: str) -> str:
    """Return the password, or "" when the installation's secret key has changed since."""
    try:
        return _fernet().decrypt(sealed.encode("ascii")).decode()
    except InvalidToken:
        return ""
