"""The link by which the first person becomes the administrator: 256 bits, 15 minutes, once.

Only its hash is kept, in the data folder; the link itself is shown once, in the console.
"""

import contextlib
import hashlib
import hmac
import json
import secrets
import time
from pathlib import Path

from django.conf import settings

from mobilesd.supervisor.state import write_atomically

__all__ = ["LIFETIME_SECONDS", "is_valid", "issue", "redeem", "revoke"]

LIFETIME_SECONDS = 15 * 60


def _file() -> Path:
    return Path(settings.RUN_DIR) / "first-run.json"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def issue() -> str:
    """Return a new token, in the place of any earlier one."""
    token = secrets.token_urlsafe(32)
    _file().parent.mkdir(parents=True, exist_ok=True)
    content = {"sha256": _digest(token), "expires": time.time() + LIFETIME_SECONDS}
    write_atomically(_file(), json.dumps(content), mode=0o600)
    return token


def is_valid(token: str) -> bool:
    """Tell whether `redeem` would take this token now, without using it up."""
    try:
        content = json.loads(_file().read_text(encoding="utf-8"))
        known, expires = str(content["sha256"]), float(content["expires"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    left = expires - time.time()
    # More than a lifetime left means that the clock was set back: then the link is not trusted.
    return 0 < left <= LIFETIME_SECONDS and hmac.compare_digest(known, _digest(token))


def redeem(token: str) -> bool:
    """Use the token up; return True for exactly one caller.

    A wrong token uses nothing up: whoever guesses can't take the link away from its reader.
    """
    if not is_valid(token):
        return False
    with contextlib.suppress(FileNotFoundError):
        _file().unlink()
        return True
    return False


def revoke() -> None:
    """Make the link worthless, whoever has read it."""
    _file().unlink(missing_ok=True)
