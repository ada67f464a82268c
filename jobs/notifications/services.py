"""What people and programs do with notifiers: make, change, remove, test.

All take the actor; what is not its own is absent: an address holds a secret, and a message tells
of its owner's jobs. One without an owner is the installation's, and tells of all jobs.
"""

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from apikeys.actors import Actor
from jobs.hours import checked_hours, checked_zone
from jobs.models import Event, Notice, Notifier
from jobs.notifications.addresses import checked_address, sealed_address, service_of
from jobs.notifications.runner import TEST
from jobs.notifications.words import KINDS
from mobilesd.errors import Conflict, InvalidInput, NotFound, bad_field
from mobilesd.sqlite import write_turn

__all__ = ["MAX_EACH", "create", "delete", "edit", "find", "own", "test"]

MAX_EACH = 20
_LONGEST_NAME = 100


def own(actor: Actor) -> QuerySet[Notifier]:
    """Return the notifiers of an actor; who sees all jobs has those of the installation too."""
    mine = Q(pk__in=[]) if actor.user_id is None else Q(owner_id=actor.user_id)
    if actor.sees_all_jobs:
        mine |= Q(owner__isnull=True)
    return Notifier.objects.filter(mine)


def find(notifier_id: UUID, actor: Actor) -> Notifier:
    """Return a notifier of this actor; raise NotFound."""
    notifier = own(actor).filter(pk=notifier_id).first()
    if notifier is None:
        raise NotFound("There is no such notifier.", hint="GET /api/v2/notifiers lists yours.")
    return notifier


def create(actor: Actor, given: Mapping[str, Any]) -> Notifier:
    """Make a notifier from url, kinds and, if given, name, quiet_hours, time_zone, is_active.

    It tells what happens from now on. Raises InvalidInput, or Conflict (`limit_reached`).
    """
    if actor.user_id is None and not actor.sees_all_jobs:
        raise Conflict(
            "This key has no owner, and a notifier tells somebody of their own jobs.",
            hint="Use a key that belongs to a user, or one with the scope jobs:all.",
        )
    for name in ("url", "kinds"):
        if name not in given:
            raise bad_field(name, "is missing.", error="missing_required_field")
    values = _checked(given)
    values["name"] = values.get("name") or service_of(values["sealed_url"])
    notifier = Notifier(owner_id=actor.user_id, created_at=timezone.now(), **values)
    with write_turn(), transaction.atomic():
        if actor.user_id is not None:
            get_user_model().objects.select_for_update().filter(pk=actor.user_id).first()
        if own(actor).count() >= MAX_EACH:
            raise Conflict(
                f"There are {MAX_EACH} notifiers already, which is the most that one may have.",
                error="limit_reached",
                hint="Delete one that is not needed.",
            )
        notifier.last_event_id = Event.objects.last_id()
        notifier.save(force_insert=True)
    return notifier


def edit(notifier_id: UUID, actor: Actor, given: Mapping[str, Any]) -> Notifier:
    """Change some fields; switched on again it tells what happens from then on."""
    notifier = find(notifier_id, actor)
    values = _checked(given)
    now = timezone.now()
    with write_turn(), transaction.atomic():
        if values.get("is_active") and not notifier.is_active:
            values["last_event_id"] = Event.objects.last_id()
        if "sealed_url" in values:
            values["last_error"] = ""
        if values.get("name") == "":
            del values["name"]
        if values:
            Notifier.objects.filter(pk=notifier.pk).update(**values)
        if {"sealed_url", "quiet_hours", "time_zone", "is_active"} & set(values):
            # Looked at anew: the runner puts off what the hours of now hold back.
            _waiting(notifier).filter(due_at__gt=now).update(due_at=now)
    return find(notifier_id, actor)


def delete(notifier_id: UUID, actor: Actor) -> None:
    """Remove a notifier with what it has not told yet."""
    with write_turn(), transaction.atomic():
        find(notifier_id, actor).delete()


def test(notifier_id: UUID, actor: Actor) -> Notice:
    """Send a message that says only that it arrives, also in quiet hours."""
    notifier = find(notifier_id, actor)
    if not notifier.is_active:
        raise Conflict("The notifier is switched off.", hint="Switch it on first.")
    with write_turn(), transaction.atomic():
        if _waiting(notifier).filter(kind=TEST).count() >= MAX_EACH:
            raise Conflict("Several tests are on their way already.", error="limit_reached")
        return Notice.objects.create(
            notifier=notifier,
            event_id=-time.time_ns(),  # of no event
            kind=TEST,
            title="A test",
            text="It works: MobileSD reaches you here.",
            due_at=timezone.now(),
        )


def _waiting(notifier: Notifier) -> QuerySet[Notice]:
    return Notice.objects.filter(notifier=notifier, sent_at__isnull=True, given_up_at__isnull=True)


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in ("url", "name", "quiet_hours", "time_zone"):
        if not isinstance(given.get(name, ""), str):
            raise bad_field(name, "must be a text.")
    if "url" in given:
        values["sealed_url"] = sealed_address(checked_address(given["url"]))
    if "name" in given:
        values["name"] = _checked_name(given["name"])
    if "kinds" in given:
        values["kinds"] = _checked_kinds(given["kinds"])
    if "quiet_hours" in given:
        values["quiet_hours"] = _checked_quiet(given["quiet_hours"])
    if "time_zone" in given:
        values["time_zone"] = checked_zone(given["time_zone"])
    if "is_active" in given:
        if not isinstance(given["is_active"], bool):
            raise bad_field("is_active", "must be true or false.")
        values["is_active"] = given["is_active"]
    return values


def _checked_name(text: str) -> str:
    name = " ".join(text.split())
    if len(name) > _LONGEST_NAME:
        raise bad_field("name", f"is longer than {_LONGEST_NAME} characters.")
    return name


def _checked_kinds(wanted: Any) -> list[str]:
    known = f"They are: {', '.join(KINDS)}."
    if not isinstance(wanted, list) or not wanted:
        raise bad_field("kinds", "must be a list of at least one kind.", known)
    for each in wanted:
        if not isinstance(each, str) or each not in KINDS:
            raise bad_field("kinds", f"has no kind {str(each)[:40]!r}.", known)
    return list(dict.fromkeys(wanted))


def _checked_quiet(text: str) -> str:
    try:
        return checked_hours(text)
    except InvalidInput as wrong:
        sentences = [sentence for texts in wrong.fields.values() for sentence in texts]
        raise bad_field("quiet_hours", " ".join(sentences).partition(" ")[2], wrong.hint) from None
