"""Who is asking: a signed-in user, or a key. All visibility is decided from this."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apikeys.models import ApiKey

__all__ = ["SYSTEM", "Actor"]


@dataclass(frozen=True)
class Actor:
    """A key with an owner acts as its owner's; one without as the installation's own."""

    user_id: int | None = None
    key_prefix: str | None = None
    sees_all_jobs: bool = False

    @property
    def scope(self) -> str:
        """Return whose idempotency keys these are: the owner's, or a key's without owner."""
        return f"user:{self.user_id}" if self.user_id is not None else f"key:{self.key_prefix}"

    @classmethod
    def of_user(cls, user: Any) -> "Actor":
        """Return the actor of a signed-in user; staff see all jobs."""
        return cls(user_id=user.pk, sees_all_jobs=bool(user.is_staff))

    @classmethod
    def of_key(cls, key: "ApiKey") -> "Actor":
        """Return the actor of a key; only `jobs:all` (or `admin`) sees all jobs."""
        return cls(
            user_id=key.owner_id,
            key_prefix=key.prefix,
            sees_all_jobs=key.has_scope("jobs:all"),
        )

    @classmethod
    def of_request(cls, request: Any) -> "Actor":
        """Return the actor of an authenticated request of the API or of a page."""
        from apikeys.models import ApiKey

        if isinstance(getattr(request, "auth", None), ApiKey):
            return cls.of_key(request.auth)
        return cls.of_user(request.user)


SYSTEM = Actor(sees_all_jobs=True)
