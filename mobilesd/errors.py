"""The errors that a caller of the API or the page may see (contracts/api.md, "Common")."""

from collections.abc import Mapping, Sequence

__all__ = [
    "Conflict",
    "Fields",
    "InvalidInput",
    "NotFound",
    "Problem",
    "Unavailable",
    "bad_field",
]

# Path of a field ("generation_params.width") -> sentences that say what is wrong with it.
Fields = Mapping[str, Sequence[str]]


class Problem(Exception):
    """A refusal with everything its reader needs: what, where, and what to do."""

    status = 400
    error = "invalid_field_value"

    def __init__(
        self,
        message: str,
        *,
        error: str = "",
        hint: str = "",
        fields: Fields | None = None,
        status: int | None = None,
        extra: Mapping[str, object] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.error = error or self.error
        self.hint = hint
        self.fields: Fields = fields or {}
        self.status = status or self.status
        self.extra = dict(extra or {})
        self.retry_after = retry_after


class InvalidInput(Problem):
    """The request holds a value that can't be taken (400)."""


class NotFound(Problem):
    """There is no such thing, or the caller may not see it (404)."""

    status = 404
    error = "not_found"


class Conflict(Problem):
    """The thing is in a state that does not allow this (409)."""

    status = 409
    error = "job_operation_conflict"


class Unavailable(Problem):
    """Not now (503)."""

    status = 503
    error = "database_busy"


def bad_field(name: str, sentence: str, hint: str = "", *, error: str = "") -> InvalidInput:
    """Return the refusal of one field; the sentence goes on after its name ("must be …")."""
    text = f"{name} {sentence}"
    return InvalidInput(text, error=error, fields={name: [text]}, hint=hint)
