"""Sending what is due: claimed for a while, sent, and written down; again later if that fails.

A sender that dies is replaced when its claim is over: a message can then arrive twice, but is
never lost.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from jobs.models import Event, Notice, Notifier
from jobs.notifications.addresses import unsealed
from jobs.notifications.fanout import actor_of, due_after_quiet, fan_out
from jobs.notifications.sending import send
from mobilesd.sqlite import write_turn

__all__ = ["KEPT_DAYS", "TEST", "forget_notices", "is_needed", "run"]

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=2)
RETRY_AFTER = (
    timedelta(seconds=10),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
)
KEPT_DAYS = 14
TEST = "test"
_TOGETHER = 200
_LINES = 20

Send = Callable[[str, str, str], str]


@dataclass(frozen=True)
class _Claim:
    notifier: Notifier
    notices: tuple[Notice, ...]
    until: datetime


def _waiting() -> QuerySet[Notice]:
    return Notice.objects.filter(
        sent_at__isnull=True, given_up_at__isnull=True, notifier__is_active=True
    )


def is_needed() -> bool:
    """Tell whether there is anything to do: new events for a notifier, or a message that is due."""
    behind = Notifier.objects.filter(is_active=True, last_event_id__lt=Event.objects.last_id())
    return behind.exists() or _waiting().filter(due_at__lte=timezone.now()).exists()


def run(*, stop: Callable[[], bool] = lambda: False, send: Send = send) -> int:
    """Make the notices of all new events and send what is due; return how many messages went."""
    for notifier in Notifier.objects.filter(is_active=True).select_related("owner"):
        actor = actor_of(notifier)
        while actor is not None and not stop() and fan_out(notifier, actor):
            pass
    sent = 0
    due = _waiting().filter(due_at__lte=timezone.now())
    for notifier_id in list(due.values_list("notifier", flat=True).distinct()):
        claim = None if stop() else _claim(notifier_id)
        if claim is not None:
            sent += _deliver(claim, send)
    return sent


def _claim(notifier_id: UUID) -> _Claim | None:
    """Take all that is due for a notifier; what its quiet hours hold back is put off."""
    now = timezone.now()
    with write_turn(), transaction.atomic():
        notifier = (
            Notifier.objects.select_for_update(of=("self",))
            .select_related("owner")
            .get(pk=notifier_id)
        )
        if not notifier.is_active or actor_of(notifier) is None:
            return None
        due = _waiting().filter(notifier=notifier, due_at__lte=now).order_by("event_id", "pk")
        later = due_after_quiet(notifier, now)
        if later > now:
            due.exclude(kind=TEST).update(due_at=later)
        found = list(due[:_TOGETHER])
        until = now + LEASE
        Notice.objects.filter(pk__in=[row.pk for row in found]).update(
            due_at=until, tries=F("tries") + 1
        )
    return _Claim(notifier, tuple(found), until) if found else None


def _deliver(claim: _Claim, send: Send) -> bool:
    address = unsealed(claim.notifier.sealed_url)
    if address:
        trouble = send(address, *_message(claim.notices))
    else:
        trouble = (
            "Its address can't be read any more, because the secret key of MobileSD has changed."
            " Enter it again."
        )
    now = timezone.now()
    mine = Notice.objects.filter(
        pk__in=[row.pk for row in claim.notices], due_at=claim.until, sent_at__isnull=True
    )
    with write_turn(), transaction.atomic():
        if trouble:
            log.warning("notifier %s: %s", claim.notifier.pk, trouble)
            _put_off(mine, claim, now)
        else:
            mine.update(sent_at=now)
        told = {"last_error": trouble[:300]} if trouble else {"last_error": "", "last_sent_at": now}
        Notifier.objects.filter(pk=claim.notifier.pk).update(**told)
    return not trouble


def _put_off(mine: QuerySet[Notice], claim: _Claim, now: datetime) -> None:
    for notice in claim.notices:
        row = mine.filter(pk=notice.pk)
        if notice.tries >= len(RETRY_AFTER) or notice.kind == TEST:
            row.update(given_up_at=now)
        else:
            row.update(due_at=now + RETRY_AFTER[notice.tries])


def _message(notices: tuple[Notice, ...]) -> tuple[str, str]:
    """Return title and text: what was held back comes as one message."""
    if len(notices) == 1:
        return notices[0].title, notices[0].text
    lines = [notice.title for notice in notices[:_LINES]]
    if more := len(notices) - _LINES:
        lines += [f"and {more} more"] if more > 0 else []
    return f"{len(notices)} messages from MobileSD", "\n".join(lines)


def forget_notices() -> int:
    """Delete notices of more than KEPT_DAYS ago that are sent or given up."""
    old = timezone.now() - timedelta(days=KEPT_DAYS)
    ended = Notice.objects.filter(due_at__lt=old)
    return (
        ended.filter(sent_at__isnull=False).delete()[0]
        + ended.filter(given_up_at__isnull=False).delete()[0]
    )
