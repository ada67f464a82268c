"""Browsers that somebody signed in with before, so that strangers' wrong tries don't slow them.

Each has a cookie for each name that signed in there: a random device, signed for that name. It
opens nothing. It only lets wrong tries of that name be counted for this device, and not for the
address, which may be shared with whoever is guessing. It is bound to the name, because else each
sign-in with one account would allow more guesses at all others.
"""

import secrets
import unicodedata

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.crypto import salted_hmac

__all__ = ["device_of", "remember"]

_PURPOSE = "mobilesd.known_device"
_SECONDS = 60 * 60 * 24 * 400  # browsers keep no cookie for longer


def device_of(request: HttpRequest, name: str) -> str | None:
    """Return the device that this name signed in with before; None for an unknown one."""
    name = _as_stored(name)
    try:
        return _signer(name).unsign(request.COOKIES.get(_cookie(name), ""))
    except BadSignature:
        return None


def remember(response: HttpResponse, name: str) -> None:
    """Let the browser that gets this answer be known to have signed in with this name."""
    response.set_cookie(
        _cookie(name),
        _signer(name).sign(secrets.token_urlsafe(12)),
        max_age=_SECONDS,
        path=reverse("sign-in"),
        secure=bool(settings.SESSION_COOKIE_SECURE),
        httponly=True,
        samesite="Lax",
    )


def _as_stored(name: str) -> str:
    """Return a typed name as the form will read it."""
    return unicodedata.normalize("NFKC", name.strip())


def _cookie(name: str) -> str:
    return f"known_{salted_hmac(_PURPOSE, name).hexdigest()[:12]}"


def _signer(name: str) -> Signer:
    return Signer(salt=f"{_PURPOSE}:{name}")
