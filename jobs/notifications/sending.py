"""One message to one address, by apprise: bounded in time, and only to where it may go.

apprise is imported here and when something is sent only: it costs 40 MB, which no web process
needs. What can't be held with it: it looks a name up again after we did, so that the owner of the
name could answer otherwise the second time (jobs.webhooks.sending connects to what was checked).
"""

import logging
import re
import socket
from collections.abc import Sequence
from typing import Any

from django.conf import settings

from jobs.notifications.addresses import SERVICES
from jobs.ports import ports
from jobs.webhooks.addresses import Resolver, refusal, resolve
from jobs.webhooks.servers import is_server

__all__ = ["send"]

_STATUS = re.compile(r"error=(\d{3})\b")
_SECONDS = 10.0


def send(address: str, title: str, text: str, *, resolver: Resolver = resolve) -> str:
    """Send a message; return what went wrong in words without any part of the address, or ""."""
    import apprise

    asset = apprise.AppriseAsset(app_id="MobileSD", app_desc="MobileSD", secure_logging=True)
    # A redirect leads to where nobody has looked.
    asset.http_redirects = False
    target = apprise.Apprise.instantiate(address, asset=asset, suppress_exceptions=True)
    if target is None:
        return "The address is not complete, or wrong for its service."
    scheme = address.partition("://")[0].lower()
    if SERVICES[scheme].own_host and (why := _refused(target, resolver)):
        return why
    target.redirects = False  # whatever the address says
    target.socket_connect_timeout = target.socket_read_timeout = _SECONDS
    log_of: Any = apprise.LogCapture
    with log_of(level=logging.WARNING) as captured:
        try:
            taken = target.notify(body=text or title, title=title if text else "")
        except Exception as error:  # a plugin of a hundred; whatever it trips over is its trouble
            return f"Sending failed ({type(error).__name__})."
        said = captured.getvalue()
    return "" if taken else _in_words(said)


def _refused(target: Any, resolver: Resolver) -> str:
    if getattr(target, "mode", None) == "cloud":  # the service's own machine
        return ""
    host = str(getattr(target, "smtp_host", "") or target.host or "")
    port = int(target.port or 0)
    try:
        addresses = resolver(host, port or 443)
    except (OSError, UnicodeError):
        return "The name of the host is not known."
    return _refused_addresses(host, port, addresses, resolver)


def _refused_addresses(host: str, port: int, addresses: Sequence[Any], resolver: Resolver) -> str:
    allow_local: bool = settings.WEBHOOK_ALLOW_LOCAL
    for each in addresses:
        if why := refusal(each, allow_local=allow_local):
            return f"Nothing is sent there: the host is {each}, {why}."
    if is_server(host, port, addresses, ports.servers.endpoints(), resolver):
        return "There is a server of this MobileSD at that address. Nothing was sent."
    return ""


def _in_words(said: str) -> str:
    """Say what went wrong; the words of apprise or of the other side may hold a secret."""
    if status := _STATUS.search(said):
        return f"The service answered with status {status[1]}."
    if "timed out" in said or "Timeout" in said:
        return "The service did not answer in time."
    if "onnection" in said or socket.gaierror.__name__ in said:
        return "The service could not be reached."
    return "The service did not take the message."
