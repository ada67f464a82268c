"""Who is asking: a signed-in user, or a key. All visibility is decided from this."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apikeys.scopes import MEMBER_SCOPES, SCOPES
from mobilesd.errors import Problem

if TYPE_CHECKING:
    from apikeys.models import ApiKey

__all__ = ["SYSTEM", "Actor"]

_ALL_SCOPES = frozenset(SCOPES)


@dataclass(frozen=True)
class Actor:
    """A key with an owner acts as its owner's; one without as the installation's own.

    `scopes` is what it may do, and so all that it may let a new key do. Empty
    `allowed_app_types` means all. `has_quota`: submissions have to be counted.
    """

    user_id: int | None = None
    key_prefix: str | None = None
    sees_all_jobs: bool = False
    sees_all_keys: bool = False
    scopes: frozenset[str] = frozenset()
    allowed_app_types: tuple[str, ...] = ()
    has_quota: bool = False

    @property
    def scope(self) -> str:
        """Return whose idempotency keys these are: the owner's, or a key's without owner."""
        return f"user:{self.user_id}" if self.user_id is not None else f"key:{self.key_prefix}"

    def may_see(self, owner_id: int | None, key_prefix: str | None) -> bool:
        """Tell whether a row of this owner, made by this key, may be seen.

        The rule of `visible_to` in `jobs.querysets`, for a row that is read already.
        """
        if self.sees_all_jobs:
            return True
        if self.user_id is not None:
            return owner_id == self.user_id
        return owner_id is None and key_prefix is not None and key_prefix == self.key_prefix

    def require_app_type(self, app_type: str) -> None:
        """Refuse an app type that the key may not submit jobs of; raise Problem."""
        if self.allowed_app_types and app_type not in self.allowed_app_types:
            allowed = ", ".join(self.allowed_app_types)
            raise Problem(
                f"This key may not submit jobs of the app type {app_type}.",
                error="app_type_not_allowed",
                hint=f"It may submit: {allowed}. Use one of them, or another key.",
                extra={"app_type": app_type, "allowed_app_types": list(self.allowed_app_types)},
            )

    @classmethod
    def of_user(cls, user: Any) -> "Actor":
        """Return the actor of a signed-in user; staff see all jobs and keys."""
        staff = bool(user.is_staff)
        return cls(
            user_id=user.pk,
            sees_all_jobs=staff,
            sees_all_keys=staff,
            scopes=_ALL_SCOPES if staff else MEMBER_SCOPES,
        )

    @classmethod
    def of_key(cls, key: "ApiKey") -> "Actor":
        """Return the actor of a key; only `jobs:all` (or `admin`) sees all jobs.

        Of the keys, one of the installation with `admin` sees all, any other its owner's.
        """
        scopes = key.counting_scopes
        admin = "admin" in scopes
        return cls(
            user_id=key.owner_id,
            key_prefix=key.prefix,
            sees_all_jobs=admin or "jobs:all" in scopes,
            sees_all_keys=admin and key.owner_id is None,
            scopes=_ALL_SCOPES if admin else scopes,
            allowed_app_types=tuple(key.allowed_app_types),
            has_quota=key.jobs_per_day is not None or key.gpu_seconds_per_day is not None,
        )

    @classmethod
    def of_request(cls, request: Any) -> "Actor":
        """Return the actor of an authenticated request of the API or of a page."""
        from apikeys.models import ApiKey

        if isinstance(getattr(request, "auth", None), ApiKey):
            return cls.of_key(request.auth)
        return cls.of_user(request.user)


SYSTEM = Actor(sees_all_jobs=True, sees_all_keys=True, scopes=_ALL_SCOPES)
