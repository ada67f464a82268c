"""drf-spectacular's settings; read while Django's settings are made, so no app is loaded here."""

from typing import Any

from mobilesd import VERSION
from mobilesd.errors import CATALOGUE

__all__ = ["SPECTACULAR_SETTINGS"]

_INTRODUCTION = """\
MobileSD takes Stable Diffusion jobs from programs and people, and drives the servers that make the
pictures.

Use **v2** in new programs; v1 is kept for old ones. v2 answers carry `success`; v1 answers are
flat.

- **Keys**: send `Authorization: Api-Key P.S`. A key is shown once, when it is made.
- **Times** are RFC 3339 in UTC with milliseconds. **Ids** are UUIDs. `null` in a request means
  absent.
- **Lists** take `limit` and `cursor` (or `offset`) and answer `next_cursor`.
- **Limits**: each answer to a key carries `X-RateLimit-Limit`, `-Remaining` and `-Reset`
  (seconds). 429 and 503 carry `Retry-After`.
- **Repeating**: a submission with an `idempotency_key` may be sent again without harm.
- **What one may not see** is 404, never 403.

## Errors

Every error has the same form (`Error`); `error` is one of these:

| status | error | meaning |
|---|---|---|
"""


def _description() -> str:
    rows = [f"| {kind.status} | `{code}` | {kind.meaning} |" for code, kind in CATALOGUE.items()]
    return _INTRODUCTION + "\n".join(rows) + "\n"


SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "MobileSD",
    "VERSION": VERSION,
    "DESCRIPTION": _description(),
    "OAS_VERSION": "3.1.1",
    "DEFAULT_GENERATOR_CLASS": "mobilesd.schema.generator.Generator",
    "POSTPROCESSING_HOOKS": [],
    "ENABLE_DJANGO_DEPLOY_CHECK": False,  # a test validates the document
    "SERVERS": [{"url": "/", "description": "This MobileSD"}],
    "TAGS": [
        {"name": "Jobs", "description": "Submit jobs, follow them, change them."},
        {"name": "Bulk", "description": "Many jobs at once."},
        {"name": "Queue", "description": "The queue as a whole."},
        {"name": "Events", "description": "What happens, as it happens."},
        {"name": "Pictures", "description": "What the jobs made."},
        {"name": "Servers", "description": "What makes the pictures."},
        {"name": "Keys", "description": "Who may use this API."},
        {"name": "Presets", "description": "Parameters with a name."},
        {"name": "Notifiers", "description": "Be told by ntfy, Telegram, mail and others."},
        {"name": "Webhooks", "description": "Be told of events by HTTP."},
        {"name": "Jobs (v1)"},
        {"name": "Pictures (v1)"},
        {"name": "Servers (v1)"},
        {"name": "Settings (v1)"},
        {"name": "Health", "description": "For load balancers and scripts; no key needed."},
    ],
}
