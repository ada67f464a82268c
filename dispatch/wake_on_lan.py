"""Magic packets: a sleeping machine's network card wakes it (six 0xFF, its address 16 times)."""

import re
import socket
from collections.abc import Sequence

from mobilesd.errors import bad_field

__all__ = ["checked_mac", "send"]

_PORT = 9  # "discard": nobody listens, the card reads the packet before any program
_MAC = re.compile(r"([0-9a-f]{2})[:-]?" * 5 + r"([0-9a-f]{2})")


def checked_mac(text: str) -> str:
    """Return a MAC address as aa:bb:cc:dd:ee:ff, or "" for none; raise InvalidInput."""
    text = text.strip().lower()
    if not text:
        return ""
    parts = _MAC.fullmatch(text)
    if parts is None:
        raise bad_field("wake_mac", "is no MAC address.", "Write it like a4:bb:6d:12:34:56.")
    if int(parts[1], 16) & 1:  # the lowest bit of the first byte marks a group
        raise bad_field("wake_mac", "is a group's address, not that of one network card.")
    return ":".join(parts.groups())


def send(mac: str, targets: Sequence[str]) -> None:
    """Send the packet to each broadcast address ("host" or "host:port"); raises OSError."""
    packet = b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) * 16
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for target in targets:
            host, _, port = target.partition(":")
            sender.sendto(packet, (host, int(port or _PORT)))
