"""A job of MobileSD's as the panel shows it: few fields, of known types, of bounded length."""

from collections.abc import Mapping
from typing import Any

from mobilesd_forge.faults import plain

__all__ = ["infotext_of", "key_of", "shown", "thumbnails_of", "with_progress"]

FINAL = ("completed", "failed", "cancelled")
_STATUSES = ("pending", "processing", *FINAL)
MAX_INFOTEXT = 200_000


def key_of(job_id: object) -> str:
    """Return what two ways of writing one id have in common."""
    return str(job_id).replace("-", "").lower()


def shown(job: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a job for the panel, or None for what is no job."""
    job_id, status = job.get("mobilesd_job_id"), job.get("status")
    if not isinstance(job_id, str) or status not in _STATUSES:
        return None
    params = _object(job.get("generation_params"))
    reason = _object(job.get("waiting_reason"))
    error = _object(job.get("error"))
    warnings = job.get("warnings")
    return {
        "id": plain(job_id, 60),
        "status": status,
        "prompt": plain(params.get("positive_prompt") or "", 200),
        "created": plain(job.get("creation_timestamp") or "", 40),
        "server": plain(job.get("server_alias") or job.get("target_server_alias") or "", 80),
        "position": _whole(job.get("queue_position")),
        "waiting": plain(reason.get("message") or "", 300),
        "waiting_action": plain(reason.get("action") or "", 300),
        "progress": _share(job.get("progress")),
        "step": plain(job.get("progress_text") or "", 100),
        "eta": _seconds(job.get("estimated_time_remaining")),
        "starts": plain(job.get("estimated_start_time") or "", 40),
        "error": plain(error.get("message") or error.get("code") or "", 500),
        "hint": plain(error.get("hint") or "", 500),
        "warnings": [plain(text, 300) for text in warnings[:5]]
        if isinstance(warnings, list)
        else [],
        "pictures": len(thumbnails_of(job)),
        "can_send_back": bool(infotext_of(job)),
        "can_cancel": status in {"pending", "processing"},
        "can_retry": status in {"failed", "cancelled"},
    }


def with_progress(job: dict[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a running job as an event `job.progress` tells it."""
    return {
        **job,
        "progress": _share(told.get("progress")),
        "step": plain(told.get("text") or "", 100),
        "eta": _seconds(told.get("eta")),
    }


def thumbnails_of(job: Mapping[str, Any]) -> list[str]:
    """Return the paths of a job's small pictures."""
    urls = _object(job.get("result_details")).get("thumbnail_urls")
    return [url for url in urls if isinstance(url, str)] if isinstance(urls, list) else []


def infotext_of(job: Mapping[str, Any]) -> str:
    """Return the infotext of a job's first picture, as PNG info has it, or nothing."""
    text = _object(job.get("result_details")).get("info")
    return text if isinstance(text, str) and len(text) <= MAX_INFOTEXT else ""


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _share(value: Any) -> float:
    return min(1.0, max(0.0, float(value))) if _is_number(value) else 0.0


def _seconds(value: Any) -> float | None:
    return min(1e9, max(0.0, float(value))) if _is_number(value) else None
