"""Making, changing and ending keys, by whoever may: a person, a key, the command line.

What the actor may not see is absent. A secret is returned by the call that makes it and is stored,
logged and shown nowhere else.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from apikeys.actors import Actor
from apikeys.models import ApiKey, KeyDay, default_scopes
from apikeys.scopes import STAFF_SCOPES
from mobilesd.errors import Conflict, NotFound, Problem, bad_field

__all__ = [
    "change",
    "check_counting",
    "create",
    "delete",
    "find",
    "requests_of",
    "revoke",
    "rotate",
]


def find(prefix: str, actor: Actor) -> ApiKey:
    """Return a key that this actor may see; raise NotFound."""
    keys = ApiKey.objects.visible_to(actor).select_related("owner")
    key: ApiKey | None = keys.filter(prefix=prefix).first()
    if key is None:
        raise _absent()
    return key


def create(fields: Mapping[str, Any], actor: Actor) -> tuple[ApiKey, str]:
    """Make a key of the fields that `apikeys.fields` has read; return it with its `P.S`.

    Raises InvalidInput, or Problem (`scope_missing`) for more than the actor may do itself.
    """
    values = dict(fields)
    if "name" not in values:
        raise bad_field(
            "name", "is missing.", "Say what the key is for.", error="missing_required_field"
        )
    expiry = values.get("expiry_date")
    if expiry is not None and expiry <= timezone.now():
        raise bad_field("expires_at", "has passed already.", "Send a time in the future.")
    values.setdefault("scopes", default_scopes())
    _check_scopes(values["scopes"], actor)
    values["owner_id"] = actor.user_id
    if "owner" in values:
        values["owner_id"] = _owner_id(values.pop("owner"), actor, actor.user_id)
    check_counting(values["scopes"], values["owner_id"])
    key, token = ApiKey.objects.create_key(**values)
    return key, token


def change(prefix: str, fields: Mapping[str, Any], actor: Actor) -> ApiKey:
    """Change the given fields of a key that is not revoked.

    Scopes that it has it may keep, whoever gave them. Raises as `create`, NotFound, and Conflict
    for a revoked key.
    """
    values = dict(fields)
    with transaction.atomic():
        key = _held(prefix, actor)
        if "scopes" in values:
            _check_scopes([s for s in values["scopes"] if s not in key.scopes], actor)
        if "owner" in values:
            values["owner_id"] = _owner_id(values.pop("owner"), actor, key.owner_id)
        check_counting(values.get("scopes", key.scopes), values.get("owner_id", key.owner_id), key)
        if values:
            _changed(ApiKey.objects.filter(prefix=prefix, revoked=False).update(**values))
        changed: ApiKey = ApiKey.objects.select_related("owner").get(prefix=prefix)
    return changed


def revoke(prefix: str, actor: Actor) -> ApiKey:
    """Refuse a key from now on, for good; revoking it twice is no error. Raises NotFound."""
    find(prefix, actor)
    with transaction.atomic():
        # The secret before goes as well: a rotation that comes later finds nothing to change.
        ApiKey.objects.visible_to(actor).filter(prefix=prefix).update(
            revoked=True, previous_hash="", previous_until=None
        )
    return find(prefix, actor)


def rotate(prefix: str, grace_seconds: int, actor: Actor) -> tuple[ApiKey, str]:
    """Give a key another secret; return it with its new `P.S`.

    The secret before works for `grace_seconds` more; one that was in its grace time ends at once.
    Raises NotFound, and Conflict for a revoked key or where another rotation was faster: its
    secret is the one that counts.
    """
    key = find(prefix, actor)
    token, new_hash = key.new_secret()
    grace = {
        "previous_hash": key.hashed_key if grace_seconds else "",
        "previous_until": (
            timezone.now() + timedelta(seconds=grace_seconds) if grace_seconds else None
        ),
    }
    with transaction.atomic():
        _changed(
            ApiKey.objects.filter(prefix=prefix, revoked=False, hashed_key=key.hashed_key).update(
                hashed_key=new_hash, **grace
            )
        )
    return find(prefix, actor), token


def delete(prefix: str, actor: Actor) -> None:
    """Delete a key; its jobs and pictures stay. Raises NotFound."""
    with transaction.atomic():
        _held(prefix, actor, revoked_too=True).delete()


def check_counting(scopes: Sequence[str], owner_id: int | None, key: ApiKey | None = None) -> None:
    """Refuse scopes that would not count (`ApiKey.counting_scopes`); raise InvalidInput.

    What `key` has of its owner it may keep, also when that one has left the staff.
    """
    had = key.scopes if key is not None and key.owner_id == owner_id else []
    idle = [scope for scope in scopes if scope in STAFF_SCOPES and scope not in had]
    if not idle or owner_id is None:
        return
    if not get_user_model()._default_manager.filter(pk=owner_id, is_staff=True).exists():
        raise bad_field(
            "scopes",
            f"may not hold {', '.join(idle)}: these count only while the key's owner is of the"
            " staff.",
            "Leave them out, or make it a key of the installation or of somebody of the staff.",
        )


def requests_of(keys: Sequence[ApiKey]) -> Mapping[str, tuple[int, int]]:
    """Return how many requests and errors each key has had, by prefix, in one query."""
    rows = (
        KeyDay.objects.filter(key__in=[key.prefix for key in keys])
        .order_by()
        .values_list("key_id")
        .annotate(requests=Sum("requests"), errors=Sum("errors"))
    )
    found = {prefix: (requests, errors) for prefix, requests, errors in rows}
    return {key.prefix: found.get(key.prefix, (0, 0)) for key in keys}


def _held(prefix: str, actor: Actor, *, revoked_too: bool = False) -> ApiKey:
    """Return a key that nobody else changes until this transaction ends."""
    keys = ApiKey.objects.visible_to(actor).select_for_update()
    key: ApiKey | None = keys.filter(prefix=prefix).first()
    if key is None:
        raise _absent()
    if key.revoked and not revoked_too:
        raise _refused()
    return key


def _changed(rows: int) -> None:
    if rows != 1:
        raise _refused()


def _absent() -> NotFound:
    return NotFound("There is no such API key.", hint="GET /api/v1/api-keys lists them.")


def _refused() -> Conflict:
    return Conflict(
        "The API key can't be changed: it was revoked, deleted or rotated meanwhile.",
        error="key_operation_conflict",
        hint="Look at the key again. A revoked key can only be deleted.",
    )


def _check_scopes(scopes: Sequence[str], actor: Actor) -> None:
    if beyond := [scope for scope in scopes if scope not in actor.scopes]:
        text = f"scopes may not hold {', '.join(beyond)}: nobody gives away more than they have."
        raise Problem(
            text,
            error="scope_missing",
            fields={"scopes": [text]},
            extra={"scope": beyond[0]},
            hint="Leave them out, or ask somebody who runs this MobileSD.",
        )


def _owner_id(username: str, actor: Actor, current: int | None) -> int | None:
    """Return whose key it will be; only who sees all keys may make it another's than `current`."""
    owner_id = None
    if username:
        users = get_user_model()._default_manager.filter(username=username)
        owner_id = users.values_list("pk", flat=True).first()
    known = not username or owner_id is not None
    if known and owner_id == current:
        return current
    if not actor.sees_all_keys:
        # The same answer whether there is such a user or not.
        text = "owner can be set by staff only."
        raise Problem(text, error="scope_missing", fields={"owner": [text]}, hint="Leave it out.")
    if not known:
        raise bad_field("owner", f"names no user: {username[:60]!r}.", 'Send "" for no owner.')
    return owner_id
