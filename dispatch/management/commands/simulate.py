"""Play a trace of jobs against the scheduler, and against first come, first served."""

import json
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from dispatch.scheduling import DEFAULT_LOAD_SECONDS, Candidate, ServerState
from dispatch.simulation import Course, Machine, Work, fifo, play, policy
from models_catalog.resolve import KnownModel

__all__ = ["Command", "read_trace"]

_FORMAT = """
TRACE is a JSON file: {"servers": [{"alias": "a", "checkpoints": ["x", "y"], "loaded": "x",
"unit_seconds": 0.5, "load_seconds": 20}], "jobs": [{"at": 0, "checkpoint": "x", "units": 5.2,
"owner": "user:1", "priority": 5, "background": false, "server": ""}]}. Times are seconds, units
are steps on a megapixel; of a job only checkpoint and units are needed.
"""


class Command(BaseCommand):
    help = f"Play a trace of jobs against the scheduler, and against a plain queue.{_FORMAT}"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("trace", type=Path, metavar="TRACE")

    def handle(self, *args: Any, trace: Path, **options: Any) -> None:
        machines, works = read_trace(trace)
        self.stdout.write(f"{len(works)} jobs on {len(machines)} servers")
        for name, pick in (("scheduler", policy), ("first come, first served", fifo)):
            self.stdout.write(_line(name, play(machines, works, pick)))


def _line(name: str, course: Course) -> str:
    waits = sorted(step.waited for step in course.steps)
    middle, longest = (median(waits), waits[-1]) if waits else (0.0, 0.0)
    left = f"   {course.left} found no server" if course.left else ""
    return (
        f"{name:<26} makespan {course.seconds:10.1f} s   loads {course.loads:5}   "
        f"waits: median {middle:9.1f} s, longest {longest:9.1f} s{left}"
    )


def read_trace(path: Path) -> tuple[list[Machine], list[Work]]:
    """Return the servers and jobs of a trace; raise CommandError, which says what is wrong."""
    try:
        trace = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{path} can't be read: {error.strerror}.") from None
    except ValueError as error:
        raise CommandError(f"{path} is no JSON: {error}.") from None
    servers, jobs = _list(trace, "servers"), _list(trace, "jobs")
    if not servers:
        raise CommandError("The trace names no server.")
    machines = [_machine(row, f"servers[{n}]") for n, row in enumerate(servers)]
    return machines, [_work(row, n) for n, row in enumerate(jobs)]


def _list(trace: Any, name: str) -> Sequence[Any]:
    rows = trace.get(name) if isinstance(trace, dict) else None
    if not isinstance(rows, list):
        raise CommandError(f"The trace has no list {name!r}.{_FORMAT}")
    return rows


def _value(row: Any, name: str, default: Any, path: str) -> Any:
    """Return a value of the type of its default; a whole number counts as a fraction."""
    if not isinstance(row, Mapping):
        raise CommandError(f"{path} must be an object.")
    value = row.get(name, default)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not type(default) or (isinstance(value, float) and not 0 <= value < 1e9):
        raise CommandError(f"{path}.{name} can't be {value!r}.")
    return value


def _machine(row: Any, path: str) -> Machine:
    names = _value(row, "checkpoints", [], path)
    speed = _value(row, "unit_seconds", 0.5, path)
    load = _value(row, "load_seconds", DEFAULT_LOAD_SECONDS, path)
    state = ServerState(
        alias=_value(row, "alias", "", path),
        app_type="",
        checkpoints=tuple(KnownModel(str(name)) for name in names) if names else None,
        loaded=_value(row, "loaded", "", path),
        load_seconds=load,
    )
    return Machine(state, unit_seconds={"": speed})


def _work(row: Any, number: int) -> Work:
    path = f"jobs[{number}]"
    at = _value(row, "at", 0.0, path)
    job = Candidate(
        id=UUID(int=number),
        app_type="",
        checkpoint=_value(row, "checkpoint", "", path),
        target=_value(row, "server", "", path),
        rank=(
            int(_value(row, "background", False, path)),
            _value(row, "priority", 5, path),
            number,
            "",
        ),
        # Counted from the start of the trace, as all times are.
        waited=-at,
        queued_for=-at,
        owner=_value(row, "owner", "", path),
    )
    return Work(job, _value(row, "units", 1.0, path), at)
