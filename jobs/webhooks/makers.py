"""Whether the maker of a webhook may still see what it is told."""

from dataclasses import replace

from apikeys.actors import Actor
from jobs.models import Webhook

__all__ = ["actor_of"]


def actor_of(webhook: Webhook) -> Actor | None:
    """Return as whom a webhook looks at events now, or None while it may see nothing.

    Asked anew each time: a key that is revoked, switched off or expired, or lost its scope, and an
    owner who may not sign in any more, get nothing from that moment on. Needs `owner` and
    `api_key__owner` loaded.
    """
    owner, key = webhook.owner, webhook.api_key
    if owner is not None and not owner.is_active:
        return None
    if key is not None:
        usable = key.is_active and not key.revoked and not key.has_expired
        if not usable or not key.has_scope("jobs:read"):
            return None
        actor = Actor.of_key(key)
    elif owner is not None:
        actor = Actor.of_user(owner)
    else:
        return None
    return replace(actor, sees_all_jobs=actor.sees_all_jobs and webhook.sees_all_jobs)
