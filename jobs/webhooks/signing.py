"""The signature of a delivery, by which its receiver knows who sent it and that nobody changed it.

`X-MobileSD-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">` (contracts/api.md). The
time is part of what is signed, so that a delivery that somebody recorded can't be sent again later.
"""

import hashlib
import hmac
import secrets

from mobilesd.errors import bad_field
from mobilesd.sealed import seal, unseal

__all__ = ["checked_secret", "new_secret", "sealed_secret", "signature", "unsealed_secret"]

_PURPOSE = "webhook-secret"
MIN_SECRET = 16
MAX_SECRET = 200


def new_secret() -> str:
    """Return a secret of 256 bits."""
    return secrets.token_urlsafe(32)


def checked_secret(text: str) -> str:
    """Return a secret that somebody chose; raise InvalidInput for one that is easily guessed."""
    if not MIN_SECRET <= len(text) <= MAX_SECRET:
        raise bad_field(
            "secret",
            f"must have {MIN_SECRET} to {MAX_SECRET} characters.",
            "Leave it out, and a good one is made and shown once.",
        )
    if not text.isascii() or not text.isprintable():
        raise bad_field("secret", "must consist of printable ASCII characters.")
    return text


def sealed_secret(secret: str) -> str:
    """Return a secret as it is stored: signing needs it again, so it can't be hashed."""
    return seal(secret, purpose=_PURPOSE)


def unsealed_secret(sealed: str) -> str:
    """Return the secret, or "" when the installation's secret key has changed since."""
    return unseal(sealed, purpose=_PURPOSE)


def signature(secret: str, body: bytes, at: int) -> str:
    """Return the header of a body that is sent at this time (unix seconds)."""
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={signed.hexdigest()}"
