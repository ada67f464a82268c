"""The chain that a job belongs to, as somebody may see it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q

from apikeys.actors import Actor
from jobs.choices import Status
from jobs.graph import BOX_HEIGHT, BOX_WIDTH, Arrow, laid_out
from jobs.models import Job, JobDependency, OnFailure

__all__ = ["Family", "Member", "family_of"]

MOST = 40  # drawn; a chain of hundreds is no picture any more


@dataclass(frozen=True)
class Member:
    """A job of a chain and its box; without words, link and state if it is somebody else's."""

    id: UUID
    x: float
    y: float
    words: str
    status: str
    is_own: bool
    is_this: bool
    needs: Sequence[str]
    width: int = BOX_WIDTH
    height: int = BOX_HEIGHT

    @property
    def state(self) -> str:
        return Status(self.status).label if self.status else "Not yours"

    @property
    def short(self) -> str:
        """Return what fits into the box."""
        return self.words if len(self.words) <= 20 else f"{self.words[:19].rstrip()}…"


@dataclass(frozen=True)
class Family:
    """A chain as a drawing. `goes_on`: there are more jobs than are drawn."""

    members: Sequence[Member]
    arrows: Sequence[tuple[Arrow[UUID], bool]]  # with whether it runs whatever becomes of that
    width: float
    height: float
    goes_on: bool


def family_of(job: Job, actor: Actor) -> Family | None:
    """Return all that this job depends on, and all that depends on it; None if it stands alone.

    One query for a job that stands alone.
    """
    edges, goes_on = _edges_around(job.pk)
    if not edges:
        return None
    ids = list(dict.fromkeys([job.pk, *(pk for edge in edges for pk in edge[:2])]))
    rows = {
        row.pk: row
        for row in Job.objects.filter(pk__in=ids).only(
            "pk", "status", "kind", "generation_params", "owner_id", "api_key_id", "position"
        )
    }
    ids = sorted(rows, key=lambda pk: (rows[pk].position, pk))
    drawing = laid_out(ids, [edge[:2] for edge in edges])
    regardless = {edge[:2] for edge in edges if edge[2] == OnFailure.RUN}
    seen = {pk for pk, row in rows.items() if actor.may_see(row.owner_id, row.api_key_id)}
    words = {pk: _words(rows[pk]) if pk in seen else "Somebody else's job" for pk in ids}
    return Family(
        members=[
            Member(
                id=box.id,
                x=box.x,
                y=box.y,
                words=words[box.id],
                status=rows[box.id].status if box.id in seen else "",
                is_own=box.id in seen,
                is_this=box.id == job.pk,
                needs=[words[parent] for parent, child, _ in edges if child == box.id],
            )
            for box in drawing.boxes
        ],
        arrows=[(arrow, (arrow.parent, arrow.child) in regardless) for arrow in drawing.arrows],
        width=drawing.width,
        height=drawing.height,
        goes_on=goes_on,
    )


def _words(job: Job) -> str:
    return " ".join(job.title.split())[:80] or job.get_kind_display()


def _edges_around(job_id: UUID) -> tuple[list[tuple[UUID, UUID, str]], bool]:
    """Return (parent, child, on_failure) around a job, nearest first, and whether there are more.

    All ancestors and all descendants, but not the other descendants of an ancestor.
    """
    found: dict[tuple[UUID, UUID], str] = {}
    members = {job_id}
    up, down = [job_id], [job_id]
    while up or down:
        near = Q(job__in=up) | Q(parent__in=down)
        rows = JobDependency.objects.filter(near).order_by("pk")
        asked_up, up, down = set(up), [], []
        for parent, child, on_failure in rows.values_list("parent", "job", "on_failure"):
            other = parent if child in asked_up else child
            if other not in members and len(members) >= MOST:
                return _among(found, members), True
            found[parent, child] = on_failure
            if other in members:
                continue
            members.add(other)
            (up if child in asked_up else down).append(other)
    return _among(found, members), False


def _among(
    found: dict[tuple[UUID, UUID], str], members: Iterable[UUID]
) -> list[tuple[UUID, UUID, str]]:
    inside = set(members)
    return [(a, b, how) for (a, b), how in found.items() if a in inside and b in inside]
