"""Changing what a waiting job asks for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apikeys.actors import Actor
from jobs import events, inputs, outputs, transitions, wording
from jobs.choices import Status
from jobs.models import Job, JobDependency, hold_queue
from jobs.params import normalise
from jobs.params.loras import without_loras
from jobs.ports import ports
from jobs.readiness import note_blocked
from jobs.services import chains
from jobs.services.changes import find, wrong_state
from jobs.services.checks import check_rest, checked_app_type
from jobs.services.orders import Order
from jobs.services.variations import canonical_name
from mobilesd.errors import Conflict, Unavailable, bad_field
from mobilesd.sqlite import write_turn

__all__ = ["PATCHABLE", "leave_out_loras", "patch", "wait_no_more"]

# The names of an Order's fields that a job keeps until it starts -> the job's own.
PATCHABLE = {
    "priority": "priority",
    "lane": "lane_class",
    "target_server_alias": "target_server_alias",
    "not_before": "not_before",
    "deadline": "deadline",
    "source_info": "source_info",
}
_TRIES = 10


def patch(job_id: UUID, actor: Actor, changes: Mapping[str, Any], params: Mapping[str, Any]) -> Job:
    """Change fields of a waiting job, and some of its generation_params; null removes a parameter.

    What is not named stays. The whole is checked like a new order, by the same code. Two changes
    at once both take effect: who comes second is applied to what the first one left. Raises
    NotFound, InvalidInput, Problem (`app_type_not_allowed`), or Conflict for a job that does not
    wait any more.
    """
    return _changed_job(job_id, actor, lambda job: _apply(job, actor, changes, params))


def leave_out_loras(job_id: UUID, actor: Actor, names: Sequence[str]) -> Job:
    """Take these LoRAs out of a waiting job's prompts and list; raises what `patch` raises."""

    def apply(job: Job) -> bool:
        return _apply(job, actor, {}, without_loras(job.generation_params, names))

    return _changed_job(job_id, actor, apply)


def _changed_job(job_id: UUID, actor: Actor, apply: Callable[[Job], bool]) -> Job:
    """Apply a change to a waiting job until nobody was faster; return the job."""
    for _ in range(_TRIES):
        job = find(job_id, actor)
        if job.status != Status.PENDING:
            raise wrong_state(
                job,
                f"The job can't be changed: it is {job.status}.",
                "Only a job that waits can be changed. Submit a new one instead.",
            )
        if apply(job):
            return find(job_id, actor)
    raise Unavailable("The job is being changed by others all the time.", retry_after=1)


def _apply(job: Job, actor: Actor, changes: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """Change the job if it still is as it was read; tell whether it was."""
    order = replace(_as_order(job), **changes)
    if "target_server_alias" in changes:  # the one that it names may have been removed since
        checked_app_type(order, actor)
    actor.require_app_type(job.app_type)
    check_rest(order, changed=changes.keys())
    values = {PATCHABLE[name]: getattr(order, name) for name in changes if name in PATCHABLE}
    if "target_server_alias" in changes:
        values["avoid_servers"] = []  # whoever names a server means it
    wanted = _merged(job.generation_params, params) if params else job.generation_params
    normalised = normalise(wanted, app_type=job.app_type)
    if job.images_made and wanted != job.generation_params:
        raise _has_pictures(job)
    if params or "target_server_alias" in changes:
        found = ports.servers.submission_warnings(
            normalised.params, job.app_type, order.target_server_alias
        )
        values["warnings"] = [*normalised.warnings, *found]
    # Its own files are not read again, and nobody else may name them.
    own = inputs.Known(job.generation_params, job.generation_params)
    taken = inputs.take(normalised.params, actor, known=own) if params else None
    if taken is not None:
        values |= {
            "generation_params": taken.params,
            "kind": normalised.kind,
            "checkpoint": normalised.checkpoint,
            "images_wanted": normalised.images_wanted,
        }
    ties = None
    if taken is not None or "depends_on" in changes:
        bound = outputs.bound_jobs(job.generation_params if taken is None else taken.params)
        kept = order.depends_on if "depends_on" in changes else chains.needs_of(job.pk)
        ties = chains.ties_of(kept, bound, actor) or chains.Ties({}, actor)
    with write_turn(), transaction.atomic():
        if ties is not None:
            hold_queue()
        won = Job.objects.filter(
            pk=job.pk,
            status=Status.PENDING,
            deleted_at__isnull=True,
            updated_at=job.updated_at,
        ).update(**values, updated_at=timezone.now())
        if not won:
            return False
        job.refresh_from_db()
        if ties is not None:
            ties.replace(job.pk)
        if taken is not None:
            inputs.reattach(job.pk, taken.params, taken.files)
        names = [*changes, *(["generation_params"] if params else [])]
        events.emit_for_job("job.changed", job, _changed(job, names))
        wording.change(job)
        transitions.announce_waiting(job)
    return True


def _has_pictures(job: Job) -> Conflict:
    return wrong_state(
        job,
        f"{job.images_made} of its {job.images_wanted} pictures are made already: what it asks for"
        " can't be changed any more.",
        "Cancel it, which keeps them, and submit a new job for the others.",
    )


def wait_no_more(job_id: UUID, parent: UUID, actor: Actor) -> int:
    """Let a waiting job run without one that it depends on; return how many keep it waiting still.

    Raises NotFound, or Conflict: it does not wait any more, does not depend on that job, or is
    made from its picture.
    """
    find(job_id, actor)
    with write_turn(), transaction.atomic():
        hold_queue()
        # First, so that nobody starts or edits it in between.
        waits = Job.objects.listed().filter(pk=job_id, status=Status.PENDING)
        if not waits.update(updated_at=timezone.now()):
            job = find(job_id, actor)
            raise wrong_state(job, f"The job waits for nothing any more: it is {job.status}.")
        job = Job.objects.get(pk=job_id)
        if parent in outputs.bound_jobs(job.generation_params):
            raise wrong_state(
                job,
                f"The job is made from a picture of the job {parent}: it can't run without it.",
                "Give it another picture to start from, or cancel it.",
            )
        if not chains.let_go(job_id, [parent]):
            raise wrong_state(job, f"The job does not wait for the job {parent} any more.")
        note_blocked([job_id])
        events.emit_for_job("job.changed", job, _changed(job, ["depends_on"]))
        transitions.announce_waiting(job)
        return JobDependency.objects.unmet().filter(job=job_id).count()


def _changed(job: Job, names: list[str]) -> events.JobChanged:
    return events.JobChanged(job=str(job.pk), status=job.status, fields=names)


def _as_order(job: Job) -> Order:
    return Order(
        generation_params=job.generation_params,
        app_type=job.app_type,
        **{name: getattr(job, own) for name, own in PATCHABLE.items()},
    )


def _merged(stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stored parameters with the given ones in their place, whatever they are called."""
    renamed: dict[str, Any] = {}
    for name, value in given.items():
        known = canonical_name(name)
        if known in renamed:
            raise bad_field(
                f"generation_params.{name[:60]}", f"is a second name of {known}. Send one."
            )
        renamed[known] = value
    kept = {name: value for name, value in stored.items() if name not in renamed}
    return kept | {name: value for name, value in renamed.items() if value is not None}
