"""Jobs as MobileSD tells them, for a scripted one."""

from typing import Any
from urllib.parse import parse_qsl

from tests.extension_forge.core.scripted import Asked, Reply

__all__ = ["HOSTILE", "PNG", "MobileSDWithJobs", "job"]

HOSTILE = "<img src=x onerror=\"document.title='broken in'\"><script>document.title='in'</script>"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108020000009077"
    "53de0000000c4944415408d763f8cfc000000301010018dd8db00000000049454e44ae426082"
)


def job(number: int = 1, status: str = "pending", **more: Any) -> dict[str, Any]:
    """Return a job of this status, with all that MobileSD says of it."""
    done = status == "completed"
    result = {
        "images": ["a.png"],
        "image_ids": ["5"],
        "image_urls": ["/api/v2/images/5/file"],
        "thumbnail_urls": ["/api/v2/images/5/thumbnail?size=256"],
        "generation_info": {},
        "warnings": [],
        "info": "a boat\nSteps: 4, Sampler: Euler, Seed: 5",
    }
    return {
        "mobilesd_job_id": f"00000000-0000-4000-8000-{number:012d}",
        "status": status,
        "generation_params": {"positive_prompt": f"a boat at dawn, number {number}"},
        "server_alias": None if status == "pending" else "gpu",
        "target_server_alias": None,
        "queue_position": number if status == "pending" else None,
        "waiting_reason": {
            "code": "busy",
            "message": "gpu works on another job.",
            "action": "Nothing to do.",
        }
        if status == "pending"
        else None,
        "progress": 1.0 if done else 0.4 if status == "processing" else 0.0,
        "progress_text": "step 8 of 20" if status == "processing" else "",
        "estimated_time_remaining": 75.0 if status == "processing" else None,
        "estimated_start_time": None,
        "creation_timestamp": "2026-01-31T18:00:00.000Z",
        "warnings": [],
        "error": {
            "code": "out_of_memory",
            "message": "The server ran out of memory.",
            "hint": "Make the picture smaller.",
        }
        if status == "failed"
        else None,
        "result_details": result if done else None,
        **more,
    }


class MobileSDWithJobs:
    """What a scripted MobileSD answers: a list of jobs, newest first, that a test may change."""

    def __init__(self, *jobs: dict[str, Any]) -> None:
        self.jobs = list(jobs)
        self.reply: dict[str, Reply] = {}

    def __call__(self, asked: Asked) -> Reply:
        path = asked.path.partition("?")[0]
        for part, reply in self.reply.items():
            if part in path:
                return reply
        if path.endswith(("/cancel", "/retry")):
            status = "cancelled" if path.endswith("/cancel") else "pending"
            for number, one in enumerate(self.jobs):
                if one["mobilesd_job_id"] in path:
                    self.jobs[number] = {**one, "status": status}
            return Reply(json={"success": True})
        if path == "/api/v2/jobs":
            return Reply(json=self.page(dict(parse_qsl(asked.path.partition("?")[2]))))
        if path.endswith("/thumbnail"):
            return Reply(body=PNG, headers={"Content-Type": "image/png"})
        if path == "/api/v2/generate":
            return Reply(202, json={})
        return Reply(404, body=b"")

    def page(self, query: dict[str, str]) -> dict[str, Any]:
        """Return what a list of jobs answers."""
        found = [one for one in self.jobs if query.get("status") in (None, one["status"])]
        if query.get("order") == "asc":
            found.reverse()
        return {
            "filters": {"source": ""},
            "jobs": found[: int(query["limit"])],
            "total": len(found),
        }
