"""The errors that a caller of the API or the page may see (contracts/api.md, "Common").

`CATALOGUE` is the only list of them: the status of an answer, the page of errors in the docs and
the OpenAPI schema all come from it. An error that is not in it can't be raised.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "CATALOGUE",
    "Conflict",
    "ErrorKind",
    "Fields",
    "InvalidInput",
    "NotFound",
    "Problem",
    "Unavailable",
    "bad_field",
]

# Path of a field ("generation_params.width") -> sentences that say what is wrong with it.
Fields = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class ErrorKind:
    """One error code: its HTTP status, what it means, and what its reader can do.

    The hint is sent when the place that raised the error knows no better one.
    """

    status: int
    meaning: str
    hint: str


CATALOGUE: Mapping[str, ErrorKind] = {
    # --- The request itself
    "missing_required_field": ErrorKind(
        400, "A field that the request needs is missing.", "Send the field that `fields` names."
    ),
    "invalid_field_value": ErrorKind(
        400, "A field holds a value that can't be taken.", "Correct the fields that `fields` names."
    ),
    "invalid_json": ErrorKind(
        400, "The body is not the JSON that is asked for.", "Send one JSON object in UTF-8."
    ),
    "unsupported_parameter": ErrorKind(
        400,
        "This version of MobileSD does not know what a parameter asks for.",
        "Leave the parameter out, or update MobileSD.",
    ),
    "job_operation_invalid": ErrorKind(
        400, "What is asked for makes no sense for this job.", "Read what the sentence says."
    ),
    "dependency_cycle": ErrorKind(
        400,
        "Jobs would wait for each other in a circle, and none of them could ever start.",
        "Take one of the jobs of the circle out of depends_on.",
    ),
    "extension_too_old": ErrorKind(
        400,
        "The extension that asks is older than this MobileSD can serve.",
        "Download the extension anew from this MobileSD (page Servers), unpack it over the old"
        " folder, not beside it, and restart the program that it extends.",
    ),
    # --- Who is asking
    "authentication_required": ErrorKind(
        401,
        "The request carries no API key and no page's session.",
        "Send an API key: Authorization: Api-Key P.S, or the headers X-API-Key and X-API-Secret.",
    ),
    "invalid_api_key": ErrorKind(
        401, "There is no such API key, or it is switched off.", "Check the key, or make a new one."
    ),
    "api_key_expired": ErrorKind(401, "The API key has expired.", "Make a new key."),
    "api_key_revoked": ErrorKind(401, "The API key was revoked, for good.", "Make a new key."),
    "scope_missing": ErrorKind(
        403,
        "The key, or the person who is signed in, may not do this.",
        "Use a key with the scope that `details.scope` names.",
    ),
    "app_type_not_allowed": ErrorKind(
        403,
        "The key may not submit jobs of this app type.",
        "Use one of the app types that the key allows, or another key.",
    ),
    "preset_not_yours": ErrorKind(
        403,
        "The preset is shared by somebody else, or the installation's, and can only be used.",
        "Save a copy of your own and change that.",
    ),
    "ip_not_allowed": ErrorKind(
        403,
        "The key may not be used from this address.",
        "Add the address to the key's list of addresses.",
    ),
    "csrf_failed": ErrorKind(
        403,
        "The page's security token is missing or out of date.",
        "Reload the page and try again. Programs should use an API key.",
    ),
    # --- What is asked for
    "job_not_found": ErrorKind(
        404,
        "There is no such job, or it is somebody else's.",
        "Check the id. A deleted job and a job of somebody else look the same.",
    ),
    "server_not_found": ErrorKind(
        404, "There is no server with this alias.", "GET /api/v2/servers lists them."
    ),
    "image_not_found": ErrorKind(
        404,
        "There is no such picture, its file is gone, or it is somebody else's.",
        "Check the id. A picture of somebody else looks the same as none.",
    ),
    "model_not_found": ErrorKind(404, "There is no such model.", "GET /api/v2/models lists them."),
    "not_found": ErrorKind(
        404,
        "There is nothing at this address.",
        "Check the path; the API's paths begin with /api/v1/ or /api/v2/.",
    ),
    "method_not_allowed": ErrorKind(
        405, "The address does not take this method.", "Use a method of the Allow header."
    ),
    "not_acceptable": ErrorKind(
        406, "The answer can't have the form that Accept asks for.", "Accept application/json."
    ),
    "request_timeout": ErrorKind(
        408,
        "The request came in too slowly, or not at all.",
        "Send it again over a better connection; smaller pictures help.",
    ),
    "payload_too_large": ErrorKind(
        413,
        "The body, or a part of it, is too large.",
        "Send smaller pictures, or refer to a picture of the gallery by its image_id.",
    ),
    "unsupported_media_type": ErrorKind(
        415,
        "The body has a form that is not understood.",
        "Send the body with Content-Type: application/json, not compressed.",
    ),
    # --- What stands in the way
    "idempotency_conflict": ErrorKind(
        409,
        "The idempotency_key came with another request before.",
        "Use a new key for a new request; repeat a key only with the very same body.",
    ),
    "already_exists": ErrorKind(
        409, "Something of this name is there already.", "Use another name."
    ),
    "dependency_failed": ErrorKind(
        409,
        "A job that this one depends on has come to nothing.",
        "Retry that job first, or leave it out of depends_on.",
    ),
    "job_operation_conflict": ErrorKind(
        409,
        "The job is in a state that does not allow this.",
        "Look at the job again: it may have changed meanwhile.",
    ),
    "undo_expired": ErrorKind(
        409,
        "It is too late to undo this.",
        "Retry cancelled jobs, or submit again what was deleted.",
    ),
    "webhook_off": ErrorKind(
        409,
        "The webhook is switched off, so nothing is sent to it.",
        "Switch it on first: PATCH it with is_active true.",
    ),
    "limit_reached": ErrorKind(
        409, "There are as many of these as there may be.", "Remove one that is not needed."
    ),
    "key_operation_conflict": ErrorKind(
        409,
        "The API key is in a state that does not allow this.",
        "Look at the key again: it may have been revoked or rotated meanwhile.",
    ),
    "server_not_ready": ErrorKind(
        409,
        "The server does not answer as it should.",
        "Check its address, and that it was started with its API switched on.",
    ),
    "preflight_failed": ErrorKind(
        422,
        "No server can run this job as it is. Reserved: this version takes such a job with a"
        " warning, and it waits.",
        "Correct the job; `details` names what the servers lack.",
    ),
    "rate_limited": ErrorKind(
        429, "Too many requests in this minute.", "Wait as long as Retry-After says."
    ),
    "quota_exceeded": ErrorKind(
        429,
        "The key has used up what it may use in a day; more `jobs` than the `limit` never fit.",
        "Wait as long as Retry-After says, or raise the key's quota.",
    ),
    # --- Trouble here
    "internal_error": ErrorKind(
        500,
        "MobileSD could not answer because of a fault of its own.",
        "Look for the request_id in MobileSD's log, and report what you find there.",
    ),
    "submissions_closed": ErrorKind(
        503,
        "This MobileSD takes no jobs now (setting accept_submissions).",
        "Send the job later, or ask who runs this MobileSD.",
    ),
    "database_busy": ErrorKind(
        503,
        "The database is busy; nothing was changed.",
        "Send the request again. With an idempotency_key that is always safe.",
    ),
    "server_busy": ErrorKind(
        503,
        "Too many large or waiting requests are in work.",
        "Send the request again in a few seconds.",
    ),
    "storage_failed": ErrorKind(
        503,
        "A file could not be stored.",
        "Free some space on MobileSD's disk, then send the request again.",
    ),
    "storage_low": ErrorKind(
        503,
        "Too little room is left on the disk with MobileSD's data folder to begin new work.",
        "Make room on that disk, or lower MOBILESD_MIN_FREE_MB. What was accepted is safe.",
    ),
    "storage_full": ErrorKind(
        503,
        "The disk with MobileSD's data folder is full; nothing was changed.",
        "Make room on that disk, then send the request again.",
    ),
}


class Problem(Exception):
    """A refusal with everything its reader needs: what, where, and what to do.

    `error` is a code of CATALOGUE, which gives the HTTP status.
    """

    error = "invalid_field_value"

    def __init__(
        self,
        message: str,
        *,
        error: str = "",
        hint: str = "",
        fields: Fields | None = None,
        extra: Mapping[str, object] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.error = error or self.error
        kind = CATALOGUE[self.error]
        self.status = kind.status
        self.hint = hint or kind.hint
        self.fields: Fields = fields or {}
        self.extra = dict(extra or {})
        self.retry_after = retry_after


class InvalidInput(Problem):
    """The request holds a value that can't be taken (400)."""


class NotFound(Problem):
    """There is no such thing, or the caller may not see it (404)."""

    error = "not_found"


class Conflict(Problem):
    """The thing is in a state that does not allow this (409)."""

    error = "job_operation_conflict"


class Unavailable(Problem):
    """Not now (503)."""

    error = "database_busy"


def bad_field(name: str, sentence: str, hint: str = "", *, error: str = "") -> InvalidInput:
    """Return the refusal of one field; the sentence goes on after its name ("must be …")."""
    text = f"{name} {sentence}"
    return InvalidInput(text, error=error, fields={name: [text]}, hint=hint)
