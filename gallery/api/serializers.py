"""Pictures as the contract emits them (contracts/api.md, `image`)."""

from typing import Any

from django.urls import reverse

from gallery.models import Image
from mobilesd.http.times import rfc3339

__all__ = ["emit_image"]


def emit_image(image: Image) -> dict[str, Any]:
    """Return one picture as the contract emits it; needs no query."""
    params = image.parameters
    return {
        "id": str(image.pk),
        "filename": image.filename,
        "url": reverse("image-file", args=[image.pk]),
        "thumbnail_url": reverse("image-thumbnail", args=[image.pk]),
        "width": image.width,
        "height": image.height,
        "bytes": image.bytes,
        "sha256": image.sha256,
        "created": rfc3339(image.created_at),
        "mobilesd_job_id": str(image.job_id) if image.job_id else None,
        "server_alias": image.server_alias,
        "app_type": image.app_type,
        "positive_prompt": params.get("positive_prompt", ""),
        "negative_prompt": params.get("negative_prompt", ""),
        "checkpoint_name": image.checkpoint or None,
        "loras": image.loras,
        "seed": int(image.seed) if image.seed.lstrip("-").isdigit() else None,
        "parameters": params,
        "infotext": image.infotext,
        "warnings": image.warnings,
        "rejected": image.rejected,
        "favourite": False,
        "rating": None,
        "tags": [],
        "albums": [],
    }
