"""What a key may be allowed to do, in the API's words and in plain ones."""

__all__ = ["ANYONE", "DEFAULT_SCOPES", "IN_WORDS", "MEMBER_SCOPES", "SCOPES", "STAFF_SCOPES"]

IN_WORDS = {
    "jobs:read": "See jobs and their progress",
    "jobs:write": "Send, cancel and delete jobs",
    "jobs:all": "See and change everybody's jobs",
    "servers:read": "See the servers",
    "images:read": "See pictures",
    "images:write": "Rate, tag and delete pictures",
    "models:read": "See models",
    "models:write": "Download and change models",
    "admin": "Everything, also servers, settings and keys",
}
SCOPES = tuple(IN_WORDS)
DEFAULT_SCOPES = ("jobs:read", "jobs:write", "servers:read", "images:read", "models:read")
# What signed-in members may do, and so give to their keys; staff may do everything.
STAFF_SCOPES = frozenset({"admin", "jobs:all", "models:write"})
MEMBER_SCOPES = frozenset(SCOPES) - STAFF_SCOPES
# What a view asks for that is open to every key and everybody who is signed in.
ANYONE = ""
