"""Many jobs by one request."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from apikeys.limits import Bucket, charge_jobs
from apikeys.middleware import tell_source
from jobs import services
from jobs.api.changes import read_dry_run
from jobs.api.orders import kind_of, read_order
from jobs.choices import Status
from jobs.ports import Result
from jobs.services import undo
from jobs.services.variations import MAX_JOBS, SeedVariation, Variations, read_variations
from mobilesd.errors import bad_field
from mobilesd.http.extension_version import check_source
from mobilesd.http.times import rfc3339
from mobilesd.http.views import ApiView, json_object

__all__ = ["BulkCancelV2", "BulkRetryV2", "BulkStatusV2", "BulkV2", "NodV2", "read_bulk"]

READ = "jobs:read"
WRITE = "jobs:write"
_OWN = (
    *("bulk_quantity", "seed_variation", "base_seed", "variations"),
    *("checkpoints_in", "expand_alternatives", "run_first", "batch_name"),
)
_MAKES_MANY = ("bulk_quantity", "variations", "checkpoints_in", "expand_alternatives")


class BulkV2(ApiView):
    """Submit up to 1,000 jobs, all or none: 202, or 200 with the batch of the same key.

    `variations` is `{"mode": "product", "fields": {"checkpoint_name": [...], ...}}` (or "zip"), or
    the fields alone. Each combination is made `bulk_quantity` times. `seed_variation` is
    incremental unless said: the first job has `base_seed` (or the seed of generation_params, or
    one that is drawn), and each further job goes on after the pictures of the one before.
    """

    required_scopes = {"POST": WRITE}
    rate_bucket = Bucket.SUBMISSIONS

    def post(self, request: Request) -> Response:
        bulk, actor = read_bulk(json_object(request)), Actor.of_request(request)
        tell_source(request, bulk.order.source_info)
        check_source(request, bulk.order.source_info)
        bulk = services.expanded(bulk, actor)
        charge_jobs(request, min(bulk.total, MAX_JOBS))
        done = services.submit_bulk(bulk, actor)
        return Response(_submission(done), status=202 if done.created else 200)


class BulkStatusV2(ApiView):
    """Show how far the jobs of a bulk order are, by status."""

    required_scopes = {"GET": READ}

    def get(self, request: Request, batch_id: UUID) -> Response:
        batch = services.find_batch(batch_id, Actor.of_request(request))
        stands = services.batch_standing(batch)
        return Response(
            {
                "success": True,
                "bulk_job_id": str(batch.pk),
                "total_jobs": batch.total,
                "counts": stands.counts,
                "deleted": stands.deleted,
                "finished": stands.finished,
                "held": stands.held,
                "results": [_shown(job_id, result) for job_id, result in stands.results],
                "batch_name": batch.name or None,
                "run_first": batch.run_first,
                "nodded_timestamp": rfc3339(batch.nodded_at),
                "seed_variation": batch.seed_variation or None,
                "creation_timestamp": rfc3339(batch.created_at),
            }
        )


class NodV2(ApiView):
    """Let the held jobs of a bulk order run (`{"go": true}`), or cancel them."""

    required_scopes = {"POST": WRITE}

    def post(self, request: Request, batch_id: UUID) -> Response:
        actor = Actor.of_request(request)
        services.find_batch(batch_id, actor)
        body = json_object(request)
        if "go" not in body:
            raise bad_field("go", "is missing.", error="missing_required_field")
        go = _flag(body, "go")
        done = services.nod(batch_id, actor, go=go)
        return Response(
            {
                "success": True,
                "released": done.count if go else 0,
                "cancelled": 0 if go else done.count,
                "also": [str(job_id) for job_id in done.also],
                "undo": undo.shown(done.undo),
            }
        )


class BulkCancelV2(ApiView):
    """Cancel the jobs of a bulk order that wait or run, and answer how many.

    `also` names the jobs that fail with them. With `?dry_run=1` nothing is changed.
    """

    required_scopes = {"POST": WRITE}

    def post(self, request: Request, batch_id: UUID) -> Response:
        actor, dry_run = Actor.of_request(request), read_dry_run(request)
        done = services.cancel_batch(batch_id, actor, dry_run=dry_run)
        return Response(
            {
                "success": True,
                "cancelled": done.count,
                "also": [str(job_id) for job_id in done.also],
                "undo": undo.shown(done.undo),
            }
        )


class BulkRetryV2(ApiView):
    """Queue the jobs of a bulk order again that failed, and answer how many.

    `left` names those that can't be made still: they need another job that came to nothing, or a
    file that is gone.
    """

    required_scopes = {"POST": WRITE}
    rate_bucket = Bucket.SUBMISSIONS  # it puts as much work into the queue as new jobs

    def post(self, request: Request, batch_id: UUID) -> Response:
        actor = Actor.of_request(request)
        batch = services.find_batch(batch_id, actor)
        charge_jobs(request, services.batch_standing(batch).counts[Status.FAILED])
        done = services.retry_batch(batch_id, actor)
        return Response(
            {
                "success": True,
                "retried": done.count,
                "left": [str(job_id) for job_id in done.left],
                "undo": undo.shown(done.undo),
            }
        )


def read_bulk(body: Mapping[str, Any]) -> services.BulkOrder:
    """Read the body of a bulk order; raise InvalidInput that names the field."""
    if not any(name in body for name in _MAKES_MANY):
        raise bad_field(
            "bulk_quantity",
            "is missing.",
            "Say how many jobs to make, or send variations.",
            error="missing_required_field",
        )
    order = read_order({name: value for name, value in body.items() if name not in _OWN})
    varied = body.get("variations")
    variations = Variations({}) if varied is None else read_variations(varied)
    variation = body.get("seed_variation", SeedVariation.INCREMENTAL)
    if not isinstance(variation, str):
        raise bad_field("seed_variation", f"must be a text, not {kind_of(variation)}.")
    if "seed" in variations.fields and "seed_variation" in body:
        raise bad_field(
            "seed_variation", "can't be combined with a list of seeds. Send one of them."
        )
    return services.BulkOrder(
        order=replace(order, received=body),
        quantity=_whole(body, "bulk_quantity") if "bulk_quantity" in body else 1,
        seed_variation=variation,
        base_seed=_whole(body, "base_seed") if "base_seed" in body else None,
        variations=variations,
        checkpoints_in=_text(body, "checkpoints_in") if "checkpoints_in" in body else None,
        expand_alternatives=_flag(body, "expand_alternatives"),
        run_first=_whole(body, "run_first") if "run_first" in body else None,
        name=_text(body, "batch_name").strip(),
    )


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise bad_field(name, f"must be a text, not {kind_of(value)}.")
    return value


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise bad_field(name, f"must be true or false, not {kind_of(value)}.")
    return value


def _whole(body: Mapping[str, Any], name: str) -> int:
    value = body[name]
    if type(value) is not int:
        raise bad_field(name, f"must be a whole number, not {kind_of(value)}.")
    return value


def _shown(job_id: UUID, result: Result) -> dict[str, Any]:
    return {
        "mobilesd_job_id": str(job_id),
        "image_ids": list(result.image_ids),
        "thumbnail_urls": list(result.thumbnail_urls),
    }


def _submission(done: services.BatchSubmission) -> dict[str, Any]:
    batch = done.batch
    return {
        "success": True,
        "bulk_job_id": str(batch.pk) if batch is not None else None,
        "total_jobs": batch.total if batch is not None else 0,
        "jobs": [
            {"mobilesd_job_id": str(job_id), "queue_position": place} for job_id, place in done.jobs
        ],
        "creation_timestamp": rfc3339(batch.created_at) if batch is not None else None,
        "warnings": list(done.warnings),
        **({"deleted": True} if batch is None else {}),
    }
