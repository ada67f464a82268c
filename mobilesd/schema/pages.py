"""Pages of the docs that are made from the code."""

from mobilesd.errors import CATALOGUE

__all__ = ["errors_page"]

_HEAD = """\
# Errors

<!-- Made by `manage.py api_docs` from mobilesd/errors.py; do not edit. -->

Whatever goes wrong, the answer has this form:

```json
{
  "success": false,
  "error": "job_not_found",
  "message": "There is no such job.",
  "details": {
    "code": "JOB_NOT_FOUND",
    "timestamp": "2026-01-31T18:00:00.000Z",
    "fields": {},
    "hint": "Check the id. A deleted job and a job of somebody else look the same.",
    "request_id": "4f1c2a9be07d3358"
  }
}
```

- `error` is for programs: one of the codes below. New codes may be added, so decide by the status
  when you meet one that you do not know.
- `message` says what is wrong, `details.hint` what to do. Show both to people.
- `details.fields` names each wrong field by its path, such as `generation_params.width`.
- `details.request_id` is also the header `X-Request-ID`. With it the request is found in the
  server's log.
- `details` may hold more: `scope` for `scope_missing`, `mobilesd_job_id` for
  `idempotency_conflict`.

What may be sent again:

- **429 and 503**: yes, after as many seconds as the header `Retry-After` says. Nothing was changed.
- **500, or no answer at all**: yes, if it was a GET, or carries an `idempotency_key`.
- **All others**: not without a change. The same request gets the same answer.
"""


def errors_page() -> str:
    """Return docs/api/errors.md."""
    parts = [_HEAD]
    for status in sorted({kind.status for kind in CATALOGUE.values()}):
        parts.append(f"\n## {status}\n\n| error | what it means | what to do |\n|---|---|---|\n")
        parts += [
            f"| `{code}` | {kind.meaning} | {kind.hint} |\n"
            for code, kind in CATALOGUE.items()
            if kind.status == status
        ]
    return "".join(parts)
