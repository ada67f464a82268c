"""How a chain of jobs is drawn: who stands where. Pure.

Rows from top to bottom: a job stands below all that it depends on, so that arrows only point down.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Arrow", "Box", "Layout", "laid_out"]

BOX_WIDTH, BOX_HEIGHT = 152, 46
_GAP_X, _GAP_Y = 14, 34
_EDGE = 4  # room for the outlines
_PASSES = 3

_Id = TypeVar("_Id", bound=Hashable)


@dataclass(frozen=True)
class Box(Generic[_Id]):
    """Where one job stands: its upper left corner, in pixels."""

    id: _Id
    x: float
    y: float

    @property
    def middle(self) -> float:
        return self.x + BOX_WIDTH / 2


@dataclass(frozen=True)
class Arrow(Generic[_Id]):
    """From a job to one that waits for it, as an SVG path."""

    parent: _Id
    child: _Id
    path: str


@dataclass(frozen=True)
class Layout(Generic[_Id]):
    """A drawing: boxes row by row, arrows, and its size in pixels."""

    boxes: Sequence[Box[_Id]]
    arrows: Sequence[Arrow[_Id]]
    width: float
    height: float


def laid_out(ids: Sequence[_Id], edges: Iterable[tuple[_Id, _Id]]) -> Layout[_Id]:
    """Return where each job stands; `edges` are (parent, child). Raises ValueError for a circle."""
    known = set(ids)
    arrows = [edge for edge in dict.fromkeys(edges) if edge[0] in known and edge[1] in known]
    parents: dict[_Id, list[_Id]] = {one: [] for one in ids}
    children: dict[_Id, list[_Id]] = {one: [] for one in ids}
    for parent, child in arrows:
        parents[child].append(parent)
        children[parent].append(child)
    rows = _rows(ids, parents, children)
    for _ in range(_PASSES):
        _untangle(rows, parents)
        _untangle(rows[::-1], children)
    boxes = _boxes(rows)
    drawn = [Arrow(a, b, _path(boxes[a], boxes[b])) for a, b in arrows]
    widest = max((len(row) for row in rows), default=0)
    return Layout(
        boxes=list(boxes.values()),
        arrows=drawn,
        width=widest * (BOX_WIDTH + _GAP_X) - _GAP_X + 2 * _EDGE if widest else 0,
        height=len(rows) * (BOX_HEIGHT + _GAP_Y) - _GAP_Y + 2 * _EDGE if rows else 0,
    )


def _rows(
    ids: Sequence[_Id], parents: Mapping[_Id, Sequence[_Id]], children: Mapping[_Id, Sequence[_Id]]
) -> list[list[_Id]]:
    """Return the rows: each job in the first one that is below all of its parents."""
    left = {one: len(parents[one]) for one in ids}
    row = [one for one in ids if not left[one]]
    rows: list[list[_Id]] = []
    while row:
        rows.append(row)
        following: list[_Id] = []
        for one in row:
            for child in children[one]:
                left[child] -= 1
                if not left[child]:
                    following.append(child)
        row = following
    if sum(map(len, rows)) != len(ids):
        raise ValueError("these jobs wait for each other in a circle")
    return rows


def _untangle(rows: Sequence[list[_Id]], near: Mapping[_Id, Sequence[_Id]]) -> None:
    """Put each job near the middle of its neighbours, so that few arrows cross."""
    place = {one: (n + 0.5) / len(row) for row in rows for n, one in enumerate(row)}
    for row in rows:
        middle = {
            one: sum(place[n] for n in near[one]) / len(near[one]) if near[one] else place[one]
            for one in row
        }
        row.sort(key=middle.__getitem__)
        place |= {one: (n + 0.5) / len(row) for n, one in enumerate(row)}


def _boxes(rows: Sequence[Sequence[_Id]]) -> dict[_Id, Box[_Id]]:
    widest = max((len(row) for row in rows), default=0)
    boxes = {}
    for number, row in enumerate(rows):
        indent = (widest - len(row)) * (BOX_WIDTH + _GAP_X) / 2
        for place, one in enumerate(row):
            boxes[one] = Box(
                one,
                _EDGE + indent + place * (BOX_WIDTH + _GAP_X),
                _EDGE + number * (BOX_HEIGHT + _GAP_Y),
            )
    return boxes


def _path(above: Box[_Id], below: Box[_Id]) -> str:
    start, end = above.y + BOX_HEIGHT, below.y - 3
    bend = max(14.0, (end - start) / 2)
    return (
        f"M{above.middle:g} {start:g}C{above.middle:g} {start + bend:g}"
        f" {below.middle:g} {end - bend:g} {below.middle:g} {end:g}"
    )
