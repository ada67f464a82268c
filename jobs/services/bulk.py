"""Many jobs by one request: all of them or none, in one transaction."""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count
from django.utils import timezone

from apikeys.actors import Actor
from jobs import events, inputs, transitions, wording
from jobs.choices import Status
from jobs.models import Batch, Job, hold_queue
from jobs.models.job import position_now
from jobs.params import Normalised, normalise
from jobs.ports import ports
from jobs.services import idempotency
from jobs.services.checks import check_open, check_rest, checked_app_type
from jobs.services.orders import Order
from jobs.services.submit import new_job
from jobs.services.variations import (
    MAX_JOBS,
    Seeds,
    SeedVariation,
    Variations,
    canonical_name,
)
from jobs.usage import QuotaExceeded, check_quota
from mobilesd.errors import InvalidInput, NotFound, bad_field
from mobilesd.rows import Rows
from mobilesd.sqlite import write_turn

__all__ = [
    "BatchStanding",
    "BatchSubmission",
    "BulkOrder",
    "batch_standing",
    "cancel_batch",
    "find_batch",
    "submit_bulk",
]

# All rows of a batch are written under one write lock, which lanes wait for.
MAX_BATCH_BYTES = 32 * 1024 * 1024
# Room in the queue's order between two jobs of a batch, in which others can be dropped.
POSITION_STEP = 16
_SUBSEEDS = 2**32
_WARNINGS_SHOWN = 50
_PLACES_SHOWN = 1_000
_UNFINISHED = (Status.PENDING, Status.PROCESSING)


@dataclass(frozen=True)
class BulkOrder:
    """One order, and how its jobs differ; `quantity` jobs for each combination of variations."""

    order: Order
    quantity: int = 1
    seed_variation: str = ""
    base_seed: int | None = None
    variations: Variations = field(default_factory=lambda: Variations({}))

    @property
    def total(self) -> int:
        """Return how many jobs it makes."""
        return self.variations.total * self.quantity

    @property
    def varies_seed(self) -> bool:
        """Tell whether the variations list the seeds themselves."""
        return "seed" in self.variations.fields


@dataclass(frozen=True)
class BatchSubmission:
    """The batch that a bulk order became, now or (`created` false) when it was first sent.

    `jobs` holds each job's id and its place in the queue, in the order of the batch.
    """

    batch: Batch | None
    created: bool
    jobs: Sequence[tuple[UUID, int | None]] = ()
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class BatchStanding:
    """How far a batch is: its jobs by status; deleted ones are in none of these."""

    counts: Mapping[str, int]
    deleted: int

    @property
    def finished(self) -> bool:
        """Tell whether nothing more will happen to its jobs by itself."""
        return not self.counts[Status.PENDING] and not self.counts[Status.PROCESSING]


def submit_bulk(bulk: BulkOrder, actor: Actor) -> BatchSubmission:
    """Put many jobs into the queue, or none (contracts/api.md, `/generate/bulk`).

    Parameters are checked once a combination and big inputs are stored once, both before the
    transaction. Raises what `submit` raises, with nothing written.
    """
    order = bulk.order
    sha256 = idempotency.fingerprint(order, route="bulk") if order.idempotency_key else ""
    if order.idempotency_key:
        idempotency.check_key(order.idempotency_key)
        if earlier := _earlier(order.idempotency_key, sha256, actor):
            return earlier
    check_open()
    _check(bulk)
    app_type = checked_app_type(order, actor)
    check_rest(order)
    made = _Making(bulk, actor, app_type)
    jobs = made.jobs()
    batch = Batch(
        owner_id=actor.user_id,
        api_key_id=actor.key_prefix,
        total=len(jobs),
        seed_variation="" if bulk.varies_seed else bulk.seed_variation,
        created_at=timezone.now(),
    )
    for job in jobs:
        job.batch = batch
    rows = Rows(jobs)
    try:
        with write_turn(), transaction.atomic():
            check_quota(actor, len(jobs))
            hold_queue()
            batch.save(force_insert=True)
            _insert(rows, len(jobs))
            if order.idempotency_key:
                idempotency.remember(order.idempotency_key, sha256, actor, batch=batch)
            if made.files:
                inputs.attach_all(jobs, made.files.values())
            events.emit_for_jobs(
                "job.created",
                [(job, events.JobCreated(job=str(job.pk), status=job.status)) for job in jobs],
            )
            wording.add(jobs)
            transitions.announce_waiting(jobs[0])
            first = Job.objects.place_of(jobs[0])
    except (IntegrityError, QuotaExceeded):
        # The same key a moment earlier, from another thread or process: that one has won. It may
        # have used the quota up as well.
        earlier = _earlier(order.idempotency_key, sha256, actor) if order.idempotency_key else None
        if earlier is not None:
            return earlier
        raise
    places = [(job.pk, first + n if first is not None else None) for n, job in enumerate(jobs)]
    return BatchSubmission(batch, True, places, _shown(made.warnings))


def _insert(rows: Rows, count: int) -> None:
    # Only here, under the lock of the queue: whatever is committed already stands before them, so
    # that their places in the queue follow one another.
    now, position = timezone.now(), position_now()
    times = [now + timedelta(microseconds=number) for number in range(count)]
    rows.set("position", range(position, position + count * POSITION_STEP, POSITION_STEP))
    rows.set("created_at", times)
    rows.set("updated_at", times)
    rows.insert()


def _earlier(key: str, sha256: str, actor: Actor) -> BatchSubmission | None:
    row = idempotency.earlier_row(key, sha256, actor)
    if row is None:
        return None
    jobs: list[Job] = []
    if row.batch is not None:
        listed = Job.objects.listed().filter(batch=row.batch)
        jobs = list(listed.order_by("created_at", "id"))
    waiting = [job for job in jobs if job.status == Status.PENDING]
    places = Job.objects.places_of(waiting, at_most=_PLACES_SHOWN) if waiting else {}
    warnings = list(dict.fromkeys(text for job in jobs for text in job.warnings))
    return BatchSubmission(
        row.batch, False, [(job.pk, places.get(job.pk)) for job in jobs], _shown(warnings)
    )


def _check(bulk: BulkOrder) -> None:
    if not 1 <= bulk.quantity <= MAX_JOBS:
        raise bad_field("bulk_quantity", f"must be from 1 to {MAX_JOBS}, not {bulk.quantity}.")
    if bulk.total > MAX_JOBS:
        raise bad_field(
            "bulk_quantity",
            f"and variations make {bulk.total} jobs. The limit is {MAX_JOBS} in one request.",
            "Send several requests.",
        )
    if bulk.seed_variation not in SeedVariation.values:
        words = ", ".join(SeedVariation.values)
        raise bad_field(
            "seed_variation", f"must be one of {words}, not {bulk.seed_variation[:60]!r}."
        )
    if bulk.base_seed is not None and not -1 <= bulk.base_seed < 2**64:
        raise bad_field("base_seed", "must be from -1 (draw one) to 2^64 − 1.")
    if bulk.varies_seed and bulk.base_seed is not None:
        raise bad_field("base_seed", "can't be combined with a list of seeds. Send one of them.")


class _Making:
    """One bulk order on its way to unsaved jobs; collects their files and warnings."""

    def __init__(self, bulk: BulkOrder, actor: Actor, app_type: str) -> None:
        self.bulk = bulk
        self.actor = actor
        self.app_type = app_type
        self.files: dict[str, inputs.TakenFile] = {}
        self.warnings: list[str] = []
        self._known: inputs.Known | None = None
        self._lacking: dict[tuple[str, ...], list[str]] = {}
        self._bytes = 0

    def jobs(self) -> list[Job]:
        """Return the jobs, each with a seed of its own kind; raise InvalidInput."""
        varied = self.bulk.variations.fields
        given = self.bulk.order.generation_params
        base = {name: value for name, value in given.items() if canonical_name(name) not in varied}
        jobs: list[Job] = []
        for number, combination in enumerate(self.bulk.variations.combinations(), start=1):
            try:
                jobs += self._copies({**base, **combination})
            except InvalidInput as problem:
                raise _in_combination(number, problem) if varied else problem from None
        if not self.bulk.varies_seed:
            self._seed(jobs)
        self.warnings = list(
            dict.fromkeys([*self._of_the_order(), *(w for job in jobs for w in job.warnings)])
        )
        return jobs

    def _copies(self, raw: dict[str, Any]) -> Iterator[Job]:
        normalised = normalise(raw, app_type=self.app_type)
        taken = inputs.take(normalised.params, self.actor, known=self._known)
        self._known = self._known or inputs.Known(normalised.params, taken.params)
        self.files |= {file.sha256: file for file in taken.files}
        self._bytes += len(json.dumps(taken.params)) * self.bulk.quantity
        if self._bytes > MAX_BATCH_BYTES:
            raise bad_field(
                "generation_params",
                f"makes more than {MAX_BATCH_BYTES // 2**20} MB of parameters in all jobs.",
                "Send several smaller requests.",
                error="payload_too_large",
            )
        warnings = [*self.bulk.order.warnings, *normalised.warnings, *self._lacks(normalised)]
        draws = _draws_subseed(raw, normalised)
        for copy in range(self.bulk.quantity):
            params = dict(taken.params)
            if draws and copy:
                params["subseed"] = secrets.randbelow(_SUBSEEDS)
            yield new_job(self.bulk.order, self.actor, self.app_type, normalised, params, warnings)

    def _lacks(self, normalised: Normalised) -> list[str]:
        """Say what no server has for these parameters; asked once for the same models."""
        prompt = str(normalised.params.get("positive_prompt", ""))
        key = (
            normalised.checkpoint,
            prompt if "<lora:" in prompt.lower() else "",
            *normalised.params.get("override_settings", ()),
        )
        if key not in self._lacking:
            alias = self.bulk.order.target_server_alias
            found = ports.servers.submission_warnings(normalised.params, self.app_type, alias)
            self._lacking[key] = list(found)
        return self._lacking[key]

    def _seed(self, jobs: Sequence[Job]) -> None:
        base = self.bulk.base_seed
        if base is None:
            base = jobs[0].generation_params["seed"]  # as it was sent, or drawn by `normalise`
        seeds = Seeds.of(self.bulk.seed_variation, base)
        pictures = [job.images_wanted for job in jobs]
        for job, seed in zip(jobs, seeds.each(pictures), strict=True):
            job.generation_params["seed"] = seed

    def _of_the_order(self) -> Iterator[str]:
        if self.bulk.seed_variation != SeedVariation.RANDOM or self.bulk.varies_seed:
            return
        given = self.bulk.order.generation_params.get("seed")
        if self.bulk.base_seed not in (None, -1) or given not in (None, -1, "-1"):
            yield "The seed that was sent is not used: seed_variation random draws all seeds."


def _draws_subseed(raw: Mapping[str, Any], normalised: Normalised) -> bool:
    strength = normalised.params.get("subseed_strength", 0)
    return strength > 0 and raw.get("subseed") in (None, -1, "-1")


def _in_combination(number: int, problem: InvalidInput) -> InvalidInput:
    return InvalidInput(
        f"Combination {number} of the variations: {problem.message}",
        error=problem.error,
        fields=problem.fields,
        hint=problem.hint,
        extra={"combination": number},
    )


def _shown(warnings: Sequence[str]) -> list[str]:
    shown = list(warnings[:_WARNINGS_SHOWN])
    if len(warnings) > _WARNINGS_SHOWN:
        shown.append(f"{len(warnings) - _WARNINGS_SHOWN} more warnings stand with the jobs.")
    return shown


def find_batch(batch_id: UUID, actor: Actor) -> Batch:
    """Return a batch that this actor may see; raise NotFound (`not_found`)."""
    batch = Batch.objects.visible_to(actor).filter(pk=batch_id).first()
    if batch is None:
        raise NotFound(
            "There is no such bulk order.",
            hint="Check the id: it is the bulk_job_id of POST /api/v2/generate/bulk.",
        )
    return batch


def batch_standing(batch: Batch) -> BatchStanding:
    """Return how far a batch is, in one query."""
    found = dict(
        Job.objects.listed()
        .filter(batch=batch)
        .order_by()
        .values_list("status")
        .annotate(Count("pk"))
    )
    counts = {str(status): found.get(status, 0) for status in Status.values}
    return BatchStanding(counts, deleted=max(0, batch.total - sum(counts.values())))


def cancel_batch(batch_id: UUID, actor: Actor) -> int:
    """Cancel what waits or runs of a batch, final at once; return how many jobs.

    Doing it twice is no error. Raises NotFound.
    """
    batch = find_batch(batch_id, actor)
    with write_turn(), transaction.atomic():
        # All at once, before the first event: a lane may hold one of them and wait for that
        # event's lock, or put one back into the queue between two looks.
        hold_queue()
        left = Job.objects.listed().filter(batch=batch, status__in=_UNFINISHED)
        held = list(left.select_for_update(no_key=True).values_list("pk", "status"))
        waiting = [job_id for job_id, status in held if status == Status.PENDING]
        running = [job_id for job_id, status in held if status == Status.PROCESSING]
        cancelled = transitions.cancel_pending(waiting)
        cancelled += sum(transitions.cancel(job_id) for job_id in running)
    return cancelled
