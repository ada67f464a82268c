"""Which addresses a notifier may have.

An address is written as apprise writes it (https://github.com/caronc/apprise): the scheme names
the service. Only services that talk to the network are taken, and no parameter that makes apprise
read a file of this machine: an address comes from whoever may use a page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlsplit

from django.conf import settings

from jobs.webhooks.addresses import refusal
from mobilesd.errors import bad_field
from mobilesd.sealed import seal, unseal

__all__ = ["SERVICES", "Service", "checked_address", "sealed_address", "service_of", "unsealed"]

MAX_ADDRESS = 1000
_PURPOSE = "notifier-address"
_EXAMPLE = (
    "Write it like ntfys://ntfy.sh/my-topic, tgram://bot-token/chat-id or"
    " mailtos://user:password@gmail.com."
)


@dataclass(frozen=True)
class Service:
    """A kind of service; `own_host`: the address names the machine that is connected to."""

    label: str
    own_host: bool = False


SERVICES: Mapping[str, Service] = {
    "ntfy": Service("ntfy", own_host=True),
    "ntfys": Service("ntfy", own_host=True),
    "tgram": Service("Telegram"),
    "mailto": Service("Mail", own_host=True),
    "mailtos": Service("Mail", own_host=True),
    "discord": Service("Discord"),
    "slack": Service("Slack"),
    "gotify": Service("Gotify", own_host=True),
    "gotifys": Service("Gotify", own_host=True),
    "pover": Service("Pushover"),
    "pbul": Service("Pushbullet"),
    "matrix": Service("Matrix", own_host=True),
    "matrixs": Service("Matrix", own_host=True),
    "mmost": Service("Mattermost", own_host=True),
    "mmosts": Service("Mattermost", own_host=True),
    "rocket": Service("Rocket.Chat", own_host=True),
    "rockets": Service("Rocket.Chat", own_host=True),
    "signal": Service("Signal", own_host=True),
    "signals": Service("Signal", own_host=True),
    "hassio": Service("Home Assistant", own_host=True),
    "hassios": Service("Home Assistant", own_host=True),
    "bark": Service("Bark", own_host=True),
    "barks": Service("Bark", own_host=True),
    "ifttt": Service("IFTTT"),
    "prowl": Service("Prowl"),
    "json": Service("JSON", own_host=True),
    "jsons": Service("JSON", own_host=True),
}
# They name files, or further addresses to fetch from.
_REFUSED = ("attach", "pgp", "template", "wkd")


def checked_address(text: str) -> str:
    """Return an address that may be used; raise InvalidInput. Nothing is looked up or sent."""
    text = text.strip()
    if not text:
        raise bad_field("url", "is missing.", _EXAMPLE, error="missing_required_field")
    if len(text) > MAX_ADDRESS:
        raise bad_field("url", f"is longer than {MAX_ADDRESS} characters.")
    if any(c.isspace() or not c.isprintable() for c in text):
        raise bad_field("url", "must not hold blanks or control characters.", _EXAMPLE)
    scheme, _, rest = text.partition("://")
    service = SERVICES.get(scheme.lower())
    if service is None or not rest:
        known = ", ".join(sorted(SERVICES))
        raise bad_field(
            "url", "names no service that is known here.", f"{_EXAMPLE} Known: {known}."
        )
    try:
        parts = urlsplit(f"//{rest}")
        host = (parts.hostname or "").lower()
        names = {name.lower().lstrip("+-:@") for name, _ in parse_qsl(parts.query)}
    except ValueError:
        raise bad_field("url", "is not an address.", _EXAMPLE) from None
    if not host:
        raise bad_field("url", "is not complete.", _EXAMPLE)
    if wrong := sorted(name for name in names if name.startswith(_REFUSED)):
        raise bad_field("url", f"must not have the parameter {wrong[0][:40]}.")
    if service.own_host:
        _check_host(host)
    return text


def _check_host(host: str) -> None:
    """Refuse what is surely this machine; a name is looked up when something is sent."""
    allow_local: bool = settings.WEBHOOK_ALLOW_LOCAL
    if host.removesuffix(".").rpartition(".")[2] == "localhost" and not allow_local:
        raise bad_field("url", "names this machine, where nothing is sent to.")
    try:
        literal = ip_address(host)
    except ValueError:
        return
    if why := refusal(literal, allow_local=allow_local):
        raise bad_field("url", f"names {literal}, {why}.")


def sealed_address(text: str) -> str:
    """Return an address encrypted: it may hold a password or a token."""
    return seal(text, purpose=_PURPOSE)


def unsealed(sealed: str) -> str:
    """Return the address, or "" when the installation's secret key has changed since."""
    return unseal(sealed, purpose=_PURPOSE)


def service_of(sealed: str) -> str:
    """Return the name of a notifier's service, all that is ever shown of its address."""
    service = SERVICES.get(unsealed(sealed).partition("://")[0].lower())
    return service.label if service else "Unreadable"
