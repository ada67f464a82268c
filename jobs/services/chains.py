"""What an order depends on: checked, tied to its jobs, changed, and queued again together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from apikeys.actors import Actor
from jobs import chains, journal
from jobs.choices import Status
from jobs.models import Job, JobDependency, OnFailure
from jobs.readiness import note_blocked
from jobs.services.cancelling import visible_of
from jobs.services.orders import Need
from mobilesd.errors import Conflict, InvalidInput, bad_field

__all__ = [
    "MAX_NEEDS",
    "Ties",
    "check_no_circle",
    "circle_in",
    "failed_with",
    "let_go",
    "needs_of",
    "ties_of",
]

MAX_NEEDS = 50
_CAME_TO_NOTHING = (Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True)
class Ties:
    """The jobs that new ones will wait for, checked against what the actor may see."""

    needs: Mapping[UUID, str]
    actor: Actor

    def tie(self, job_ids: Sequence[UUID]) -> None:
        """Insert the dependencies of new jobs; call it in the transaction that inserts these.

        Raises InvalidInput for a job that was deleted meanwhile, Conflict (`dependency_failed`)
        for one that came to nothing, so that the order is not taken at all.
        """
        # Locked on PostgreSQL, so that none of them ends between this look and the commit: who
        # ends it sees the new jobs, or is seen here. SQLite has one writer anyway.
        parents = Job.objects.listed().visible_to(self.actor).filter(pk__in=self.needs)
        if connection.features.has_select_for_update:
            parents = parents.order_by("pk").select_for_update(no_key=True)
        states = {row.pk: row for row in parents.only("pk", "status", "error_message")}
        for number, (parent, on_failure) in enumerate(self.needs.items()):
            _check_parent(number, parent, states.get(parent), on_failure)
        rows = [
            JobDependency(job_id=job_id, parent_id=parent, on_failure=on_failure)
            for job_id in job_ids
            for parent, on_failure in self.needs.items()
        ]
        JobDependency.objects.bulk_create(rows, batch_size=250)
        note_blocked(job_ids)
        journal.needs(rows)

    def replace(self, job_id: UUID) -> None:
        """Let a waiting job depend on these and on no others; call it in its change's transaction.

        Call `hold_queue` before any row of a job is locked. What it depended on before is not
        checked again. Raises what `tie` raises, and InvalidInput (`dependency_cycle`).
        """
        check_no_circle(job_id, self.needs)
        old = dict(JobDependency.objects.filter(job=job_id).values_list("parent", "on_failure"))
        new = {parent: how for parent, how in self.needs.items() if old.get(parent) != how}
        let_go(job_id, [p for p in old if p not in self.needs or p in new])
        if new:
            Ties(new, self.actor).tie([job_id])
        else:
            note_blocked([job_id])


def let_go(job_id: UUID, parents: Sequence[UUID]) -> int:
    """Let a job wait for these no more; return how many of them it waited for.

    Call it in the transaction of its change, and `note_blocked` behind it.
    """
    journal.needs_gone(job_id, parents)
    return JobDependency.objects.filter(job=job_id, parent__in=parents).delete()[0]


def needs_of(job_id: UUID) -> tuple[Need, ...]:
    """Return what a job depends on now."""
    rows = JobDependency.objects.filter(job=job_id).order_by("pk")
    return tuple(Need(parent, how) for parent, how in rows.values_list("parent", "on_failure"))


def ties_of(needs: Sequence[Need], bound: Iterable[UUID], actor: Actor) -> Ties | None:
    """Return what an order is to wait for; None for nothing, which costs no query.

    `bound` are the jobs whose pictures it takes: it depends on these as well. Raises InvalidInput.
    """
    wanted: dict[UUID, str] = {}
    for number, need in enumerate(needs):
        if wanted.get(need.job, need.on_failure) != need.on_failure:
            raise bad_field(f"depends_on.{number}", f"names the job {need.job} a second time.")
        wanted[need.job] = need.on_failure
    for job_id in bound:
        if wanted.setdefault(job_id, OnFailure.CANCEL) == OnFailure.RUN:
            raise bad_field(
                "depends_on",
                f'says "run" for the job {job_id}, whose picture this one is made from.',
                'Without that picture it can\'t run. Say "cancel", or leave the picture out.',
            )
    if len(wanted) > MAX_NEEDS:
        raise bad_field("depends_on", f"names {len(wanted)} jobs. The limit is {MAX_NEEDS}.")
    return Ties(wanted, actor) if wanted else None


def _check_parent(number: int, parent: UUID, job: Job | None, on_failure: str) -> None:
    if job is None:
        raise bad_field(
            f"depends_on.{number}",
            f"names no job: {parent}.",
            "A deleted job and a job of somebody else look the same as none.",
        )
    if job.status in _CAME_TO_NOTHING and on_failure == OnFailure.CANCEL:
        raise Conflict(
            f"The job {parent}, which this one depends on, is {job.status} already."
            + (f" {job.error_message}" if job.error_message else ""),
            error="dependency_failed",
            hint='Retry that job first, leave it out, or send {"job": …, "on_failure": "run"}.',
            fields={f"depends_on.{number}": [f"names a job that is {job.status}."]},
            extra={"mobilesd_job_id": str(parent), "status": job.status},
        )


# --- Circles ------------------------------------------------------------------------------


def circle_in(needs: Mapping[UUID, Iterable[UUID]]) -> list[UUID]:
    """Return jobs that wait for each other in a circle, in its order; [] if there are none. Pure.

    Without recursion: a chain may be longer than Python's stack.
    """
    done: set[UUID] = set()
    for start in needs:
        path: list[UUID] = []
        on_path: dict[UUID, int] = {}
        steps = [(start, iter([start]))]
        while steps:
            following = next(steps[-1][1], None)
            if following is None:
                steps.pop()
                if path and steps:
                    left = path.pop()
                    del on_path[left]
                    done.add(left)
            elif following in on_path:
                return path[on_path[following] :]
            elif following not in done:
                on_path[following] = len(path)
                path.append(following)
                steps.append((following, iter(needs.get(following, ()))))
    return []


def check_no_circle(job_id: UUID, needs: Iterable[UUID]) -> None:
    """Refuse that a job waits for others that wait for it, directly or not.

    Call it in the transaction that ties them, after `hold_queue`. Raises InvalidInput
    (`dependency_cycle`).
    """
    known: dict[UUID, list[UUID]] = {job_id: list(needs)}
    frontier = [parent for parent in known[job_id] if parent != job_id]
    while frontier:
        rows = JobDependency.objects.filter(job__in=frontier[:500]).values_list("job", "parent")
        known |= {asked: [] for asked in frontier[:500]}
        for child, parent in rows:
            known[child].append(parent)
        found = [parent for asked in frontier[:500] for parent in known[asked]]
        frontier = [*frontier[500:], *(p for p in dict.fromkeys(found) if p not in known)]
    if circle := circle_in(known):
        raise _cycle(circle)


def _cycle(circle: Sequence[UUID]) -> InvalidInput:
    names = " → ".join(str(job_id) for job_id in [*circle, circle[0]])
    sentence = f"depends_on would make jobs wait for each other in a circle: {names}."
    return InvalidInput(sentence, error="dependency_cycle", fields={"depends_on": [sentence]})


# --- What came of it ----------------------------------------------------------------------


def failed_with(job_ids: Sequence[UUID], actor: Actor) -> list[UUID]:
    """Return which jobs, of those that the actor may see, failed because of these."""
    return visible_of(chains.failed_with(job_ids), actor)
