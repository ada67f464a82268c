"""A drag in a queue of 10,000: the answer's time over HTTP, and how many rows it writes.

`python -m bench.drag [COUNT]`. Scenes: anywhere to anywhere; always into the same gap; to the top;
a hundred jobs at once. Rows are those of jobs whose place changed, as the database has them.
"""

import os
import random
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.common import Bounds, Figures, best_of, installation, round_trip, show, tell_and_exit
from tests.processes.installation import Api, Installation

JOBS = 10_000
SAMPLES = 60
BOUND = 50

_FILL = """
import os, sys, uuid
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mobilesd.settings")
import mobilesd, django
django.setup()
from django.utils import timezone
from django.db import transaction
from jobs.models import Job
from jobs.models.job import position_now
count, now, first = int(sys.argv[1]), timezone.now(), position_now()
params = {"positive_prompt": "a lighthouse", "width": 512, "height": 512, "steps": 20, "seed": 1}
with transaction.atomic():
    Job.objects.bulk_create(
        (Job(id=uuid.uuid4(), app_type="none", generation_params=params, created_at=now,
             updated_at=now, position=first - (count - n) * 16_000) for n in range(count)),
        batch_size=500,
    )
"""


def fill(started: Installation, count: int) -> None:
    """Put so many jobs into the queue that nothing can take."""
    subprocess.run(
        [sys.executable, "-c", _FILL, str(count)],
        env={**os.environ, **started.env},
        check=True,
        capture_output=True,
    )


def _places(database: Path) -> dict[str, tuple[int, int, str]]:
    """Return position, priority and lane class of each job, in the order of the queue."""
    # Read-only in a process that has no other connection to the file.
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT id, position, priority, lane_class FROM jobs_job"
            " WHERE status = 'pending' AND deleted_at IS NULL ORDER BY position, id"
        ).fetchall()
    return {str(uuid.UUID(row[0])): (row[1], row[2], row[3]) for row in rows}


def _measure(
    started: Installation, api: Api, request: Callable[[Sequence[str]], tuple[str, Any]]
) -> tuple[Figures, list[int]]:
    database = next(Path(started.env["MOBILESD_DATA_DIR"]).glob("*.sqlite3"))
    taken, written = [], []
    before = _places(database)
    for _ in range(SAMPLES):
        path, body = request(list(before))
        began = time.perf_counter()
        answer = api.post(path, json=body)
        taken.append((time.perf_counter() - began) * 1000)
        answer.raise_for_status()
        after = _places(database)
        written.append(sum(before.get(pk) != place for pk, place in after.items()))
        before = after
    return Figures(taken, round_trip(started, 20)), written


def main(count: int = JOBS) -> None:
    chance = random.Random(1)
    with installation() as started:
        fill(started, count)
        token = started.create_key(
            "--rate", "unlimited", "--scopes", "jobs:write,jobs:read,jobs:all"
        )
        api = Api(started.url, token)

        def anywhere(ids: Sequence[str]) -> tuple[str, Any]:
            mover, beside = chance.sample(ids, 2)
            return f"/api/v2/jobs/{mover}/move", {"before": beside}

        def same_gap(ids: Sequence[str]) -> tuple[str, Any]:
            return f"/api/v2/jobs/{ids[-1]}/move", {"after": ids[len(ids) // 2]}

        def top(ids: Sequence[str]) -> tuple[str, Any]:
            return f"/api/v2/jobs/{chance.choice(ids[1:])}/move", {"to": "top"}

        def hundred(ids: Sequence[str]) -> tuple[str, Any]:
            first, *rest = chance.sample(ids, 101)
            return "/api/v2/queue/move", {"jobs": rest, "before": first}

        scenes = {
            "anywhere": (anywhere, Bounds(p95=BOUND)),
            "into the middle, again and again": (same_gap, Bounds(p95=BOUND)),
            "to the top": (top, Bounds(p95=BOUND)),
            "a hundred at once": (hundred, Bounds()),
        }
        for name, (request, bounds) in scenes.items():
            rows: list[int] = []

            def measure(request: Callable[..., Any] = request, rows: list[int] = rows) -> Figures:
                figures, written = _measure(started, api, request)
                rows.extend(written)
                return figures

            show(f"Drag in {count:,}: {name}", best_of(measure), bounds)
            print(f"    rows written: median {sorted(rows)[len(rows) // 2]}, most {max(rows)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else JOBS)
    tell_and_exit()
