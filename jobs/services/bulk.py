"""Many jobs by one request: all of them or none, in one transaction."""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from apikeys.actors import Actor
from jobs import events, inputs, journal, outputs, transitions, wording
from jobs.checksums import JOB, of_row
from jobs.choices import Status
from jobs.models import Batch, Job, hold_queue
from jobs.models.job import position_now
from jobs.params import Normalised, normalise
from jobs.ports import ports
from jobs.services import idempotency
from jobs.services.chains import Ties, ties_of
from jobs.services.checks import check_open, check_rest, checked_app_type
from jobs.services.expansion import (
    MAX_BATCH_BYTES,
    too_large,
    too_many,
    with_alternatives,
    with_folder,
)
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
from mobilesd.errors import InvalidInput, bad_field
from mobilesd.rows import Rows
from mobilesd.sqlite import write_turn

__all__ = [
    "BatchSubmission",
    "BulkOrder",
    "BulkSize",
    "expanded",
    "size_of",
    "submit_bulk",
]

# Room in the queue's order between two jobs of a batch, in which others can be dropped.
POSITION_STEP = 16_000  # nanoseconds: jobs can be dragged between them
MAX_NAME = 200
_SUBSEEDS = 2**32
_WARNINGS_SHOWN = 50
_PLACES_SHOWN = 1_000


@dataclass(frozen=True)
class BulkOrder:
    """One order, and how its jobs differ; `quantity` jobs for each combination of variations.

    `checkpoints_in` and `expand_alternatives` are worked out by `expanded`. Of a batch with
    `run_first`, so many jobs run, and the rest is held until somebody nods.
    """

    order: Order
    quantity: int = 1
    seed_variation: str = ""
    base_seed: int | None = None
    variations: Variations = field(default_factory=lambda: Variations({}))
    checkpoints_in: str | None = None
    expand_alternatives: bool = False
    run_first: int | None = None
    name: str = ""

    @property
    def total(self) -> int:
        """Return how many jobs it makes."""
        return self.variations.total * self.quantity

    @property
    def varies_seed(self) -> bool:
        """Tell whether the variations list the seeds themselves."""
        return "seed" in self.variations.fields


@dataclass(frozen=True)
class BulkSize:
    """How many jobs a bulk order makes, how many pictures these make, and how many jobs wait."""

    jobs: int
    pictures: int
    held: int


@dataclass(frozen=True)
class BatchSubmission:
    """The batch that a bulk order became, now or (`created` false) when it was first sent.

    `jobs` holds each job's id and its place in the queue, in the order of the batch.
    """

    batch: Batch | None
    created: bool
    jobs: Sequence[tuple[UUID, int | None]] = ()
    warnings: Sequence[str] = ()


def expanded(bulk: BulkOrder, actor: Actor) -> BulkOrder:
    """Return the order with its folder and its alternatives written out; raise InvalidInput.

    The order of an earlier batch with the same idempotency key is returned as it is: what the
    servers have may have changed since.
    """
    if bulk.checkpoints_in is None and not bulk.expand_alternatives:
        return bulk
    order = bulk.order
    if order.idempotency_key:
        idempotency.check_key(order.idempotency_key)
        sha256 = idempotency.fingerprint(order, route="bulk")
        if idempotency.earlier_row(order.idempotency_key, sha256, actor) is not None:
            return bulk
    variations = bulk.variations
    if bulk.checkpoints_in is not None:
        app_type = checked_app_type(order, actor)
        alias = order.target_server_alias
        variations = with_folder(variations, bulk.checkpoints_in, app_type, alias)
    if bulk.expand_alternatives:
        variations = with_alternatives(variations, order.generation_params)
    return replace(bulk, variations=variations, checkpoints_in=None, expand_alternatives=False)


def size_of(bulk: BulkOrder, actor: Actor) -> BulkSize:
    """Return what an order would make, with nothing written; raise InvalidInput as a submission.

    Inputs are not looked at: who asks while somebody still types need not send the pictures.
    """
    bulk = expanded(bulk, actor)
    _check(bulk)
    app_type = checked_app_type(bulk.order, actor)
    check_rest(bulk.order)
    pictures = 0
    for number, raw in enumerate(_combinations(bulk), start=1):
        with _named(number, bulk):
            pictures += normalise(raw, app_type=app_type).images_wanted
    held = 0 if bulk.run_first is None else max(0, bulk.total - bulk.run_first)
    return BulkSize(bulk.total, pictures * bulk.quantity, held)


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
    bulk = expanded(bulk, actor)
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
        name=bulk.name,
        run_first=bulk.run_first,
        created_at=timezone.now(),
    )
    for number, job in enumerate(jobs):
        job.batch = batch
        job.held = bulk.run_first is not None and number >= bulk.run_first
    ties = _ties(bulk, jobs, actor)
    for job in jobs:
        job.checksum = of_row(job, JOB)
    rows = Rows(jobs)
    try:
        with write_turn(), transaction.atomic():
            check_quota(actor, len(jobs))
            hold_queue()
            batch.save(force_insert=True)
            journal.batch(batch)
            _insert(rows, len(jobs))
            for tie, job_ids in ties:
                tie.tie(job_ids)
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


def _ties(bulk: BulkOrder, jobs: Sequence[Job], actor: Actor) -> list[tuple[Ties, list[UUID]]]:
    """Return what the jobs are to wait for, with those that wait for the same."""
    alike: dict[tuple[UUID, ...], list[UUID]] = {}
    for job in jobs:
        alike.setdefault(tuple(outputs.bound_jobs(job.generation_params)), []).append(job.pk)
    found = [(ties_of(bulk.order.depends_on, bound, actor), ids) for bound, ids in alike.items()]
    return [(ties, ids) for ties, ids in found if ties is not None]


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
        raise too_many(bulk.total)
    if bulk.run_first is not None and bulk.run_first < 1:
        raise bad_field("run_first", f"must be at least 1, not {bulk.run_first}.")
    if len(bulk.name) > MAX_NAME:
        raise bad_field("batch_name", f"is longer than {MAX_NAME} characters.")
    if bulk.seed_variation not in SeedVariation.values:
        words = ", ".join(SeedVariation.values)
        raise bad_field(
            "seed_variation", f"must be one of {words}, not {bulk.seed_variation[:60]!r}."
        )
    if bulk.base_seed is not None and not -1 <= bulk.base_seed < 2**64:
        raise bad_field("base_seed", "must be from -1 (draw one) to 2^64 − 1.")
    if bulk.varies_seed and bulk.base_seed is not None:
        raise bad_field("base_seed", "can't be combined with a list of seeds. Send one of them.")


def _combinations(bulk: BulkOrder) -> Iterator[dict[str, Any]]:
    """Yield the parameters of each combination."""
    varied = bulk.variations.fields
    given = bulk.order.generation_params
    base = {name: value for name, value in given.items() if canonical_name(name) not in varied}
    for combination in bulk.variations.combinations():
        yield {**base, **combination}


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
        jobs: list[Job] = []
        for number, raw in enumerate(_combinations(self.bulk), start=1):
            with _named(number, self.bulk):
                jobs += self._copies(raw)
        drawn = [job for job in jobs if "seed" in job.generation_params]  # an upscale has none
        if drawn and not self.bulk.varies_seed:
            self._seed(drawn)
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
            raise too_large()
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
            str(normalised.params.get("upscaler", "")),
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


@contextmanager
def _named(number: int, bulk: BulkOrder) -> Iterator[None]:
    """Let a refusal say in which combination of the variations it is, if there are any."""
    try:
        yield
    except InvalidInput as problem:
        if not bulk.variations.fields:
            raise
        raise InvalidInput(
            f"Combination {number} of the variations: {problem.message}",
            error=problem.error,
            fields=problem.fields,
            hint=problem.hint,
            extra={"combination": number},
        ) from None


def _shown(warnings: Sequence[str]) -> list[str]:
    shown = list(warnings[:_WARNINGS_SHOWN])
    if len(warnings) > _WARNINGS_SHOWN:
        shown.append(f"{len(warnings) - _WARNINGS_SHOWN} more warnings stand with the jobs.")
    return shown
