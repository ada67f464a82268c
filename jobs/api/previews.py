"""The preview of a running job."""

import contextlib
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from apikeys.actors import Actor
from jobs import services
from mobilesd.errors import NotFound
from mobilesd.http.files import VOLATILE, file_answer
from mobilesd.http.views import AnyAccept, ApiView

__all__ = ["Preview"]

READ = "jobs:read"


class Preview(ApiView):
    """Show the latest preview of a running job, as the lane wrote it."""

    required_scopes = {"GET": READ}
    content_negotiation_class = AnyAccept

    def get(self, request: Request, job_id: UUID) -> HttpResponseBase:
        job = services.find(job_id, Actor.of_request(request))
        missing = NotFound("This job has no preview now.", error="image_not_found")
        file = _newest_preview(job.pk)
        if file is None:
            raise missing
        try:
            return file_answer(
                request,
                file,
                mime="image/png" if file.suffix == ".png" else "image/jpeg",
                etag=f"{job.pk.hex}-{file.stat().st_mtime_ns:x}",
                filename=file.name,
                cache=VOLATILE,
            )
        except FileNotFoundError:  # the job ended meanwhile
            raise missing from None


def _newest_preview(job_id: UUID) -> Path | None:
    folder = Path(settings.DATA_DIR) / "previews"
    found = []
    for suffix in ("png", "jpg"):
        file = folder / f"{job_id}.{suffix}"
        with contextlib.suppress(FileNotFoundError):
            found.append((file.stat().st_mtime_ns, file))
    return max(found)[1] if found else None
