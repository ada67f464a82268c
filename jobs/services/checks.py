"""What every order has to keep to, however it comes in: one job, many at once, or a change."""

from collections.abc import Collection
from datetime import datetime

from django.conf import settings
from django.utils import timezone

from apikeys.actors import Actor
from jobs.choices import LaneClass
from jobs.models import QueueSettings
from jobs.ports import ports
from jobs.services.orders import Order
from mobilesd.errors import Unavailable, bad_field
from mobilesd.storage import free_bytes, has_room

__all__ = ["check_deadline", "check_open", "check_rest", "check_room", "checked_app_type"]

MAX_SOURCE = 200
_CLOSED_RETRY_SECONDS = 60
_TIMES = frozenset({"not_before", "deadline"})
# A job without files is taken as long as there is room for its row and its line in the journal.
_LEAST_ROOM = 0.25


def check_open() -> None:
    """Raise Unavailable (`submissions_closed`) while this installation takes no jobs."""
    if not QueueSettings.accepts_submissions():
        raise Unavailable(
            "This MobileSD takes no jobs now.",
            error="submissions_closed",
            retry_after=_CLOSED_RETRY_SECONDS,
        )
    check_room(_LEAST_ROOM)


def check_room(part: float = 1.0) -> None:
    """Raise Unavailable (`storage_low`) while the disk has too little room, or a part of that."""
    if not has_room(part):
        raise Unavailable(
            f"Only {free_bytes() // 2**20} MB are left on MobileSD's disk: no new work is taken.",
            error="storage_low",
            retry_after=_CLOSED_RETRY_SECONDS,
        )


def checked_app_type(order: Order, actor: Actor) -> str:
    """Return the app type of an order: as said, else its server's, else the default one.

    Raises InvalidInput for an app type or a server that there is none of, or that don't match,
    Problem (`app_type_not_allowed`) for one that the actor may not submit.
    """
    app_type = _app_type(order)
    actor.require_app_type(app_type)
    return app_type


def _app_type(order: Order) -> str:
    known = ports.servers.app_types()
    if order.app_type and order.app_type not in known:
        raise bad_field(
            "app_type", f"must be one of {', '.join(known)}, not {order.app_type[:60]!r}."
        )
    alias = order.target_server_alias
    if not alias:
        return order.app_type or settings.DEFAULT_APP_TYPE
    of_server = ports.servers.app_type_of(alias)
    if of_server is None:
        aliases = ", ".join(ports.servers.aliases()) or "none yet"
        raise bad_field(
            "target_server_alias",
            f"names no server: {alias[:80]!r}.",
            f"The servers are: {aliases}. Leave the field out to use any of them.",
        )
    if order.app_type and order.app_type != of_server:
        raise bad_field(
            "target_server_alias",
            f"names a server of type {of_server}, but app_type is {order.app_type}.",
            "Leave app_type out, or name another server.",
        )
    return of_server


def check_rest(order: Order, *, changed: Collection[str] | None = None) -> None:
    """Check what has bounds of its own; raise InvalidInput that names the field.

    `changed`: what a change of a waiting job names. Its deadline may have passed since it was
    checked, which is no fault of a change of something else.
    """
    if not 1 <= order.priority <= 10:
        raise bad_field("priority", f"must be from 1 (first) to 10, not {order.priority}.")
    if order.lane not in LaneClass.values:
        words = " or ".join(LaneClass.values)
        raise bad_field("lane", f"must be {words}, not {order.lane[:60]!r}.")
    if len(order.source_info) > MAX_SOURCE:
        raise bad_field("source_info", f"is longer than {MAX_SOURCE} characters.")
    if changed is None or not _TIMES.isdisjoint(changed):
        check_deadline(order.deadline, order.not_before)


def check_deadline(deadline: datetime | None, not_before: datetime | None) -> None:
    """Refuse a deadline that no server could keep; raise InvalidInput."""
    if deadline is None:
        return
    if deadline <= timezone.now():
        raise bad_field("deadline", "has passed already.", "Send a time in the future.")
    if not_before is not None and deadline <= not_before:
        raise bad_field("deadline", "must be later than not_before.")
