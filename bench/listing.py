"""Lists and searches of 1,000,000 jobs: page 1, a page in the middle, each filter, each reader.

Prints per list the median and the 95th percentile in ms of the best of three rounds, beside
GET /status of the same process at the same time; the first list after a start counts by itself.
`python -m bench.listing COUNT` takes another number of jobs.
"""

import base64
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial

from bench.common import (
    Bounds,
    Figures,
    best_of,
    installation,
    round_trip,
    seed,
    show,
    tell_and_exit,
)
from bench.seed import BATCH_ID
from tests.processes.installation import Api, Installation

JOBS = 1_000_000
SAMPLES = 40
PAGE, FILTER = Bounds(p95=40), Bounds(p95=60)


def _lists(middle: datetime, key: str) -> dict[str, tuple[str, Bounds]]:
    cursor = base64.urlsafe_b64encode(f"{middle.isoformat()}|{BATCH_ID}".encode())
    at = middle.strftime("%Y-%m-%dT%H:%M:%SZ")
    filters = {
        "status": "status=completed",
        "status, none has it": "status=processing",
        "two statuses": "status=failed&status=cancelled",
        "app_type of most": "app_type=none",
        "app_type of few": "app_type=rare",
        "server of most": "server=first",
        "server of few": "server=attic",
        "source_info of most": "source_info=an extension",
        "source_info of few": "source_info=a phone",
        "source of most": "source=an extension/2",
        "source of few": "source=a phone/2",
        "api_key": f"api_key={key}",
        "batch": f"batch={BATCH_ID}",
        "created_after": f"created_after={at}",
        "created_before": f"created_before={at}",
        "app_type + status": "app_type=other&status=failed",
        "server + status": "server=attic&status=completed",
        "api_key + status": f"api_key={key}&status=failed",
        "q of 900,000": "q=lighthouse",
        "q of one": "q=zanzibar",
        "q, phrase": 'q="dramatic light by the sea"',
        "q, prefix": "q=zanz*",
        "q of most + status": "q=lighthouse&status=failed",
        "q of most + server of few": "q=lighthouse&server=attic",
        "q + app_type": "q=storm&app_type=other",
    }
    pages = {"page 1": "", "a page in the middle": f"cursor={cursor.decode().rstrip('=')}"}
    return {name: (query, PAGE) for name, query in pages.items()} | {
        name: (query, FILTER) for name, query in filters.items()
    }


def _measure(started: Installation, api: Api, query: str, samples: int = SAMPLES) -> Figures:
    taken = []
    for _ in range(samples):
        began = time.perf_counter()
        answer = api.get(f"/api/v2/jobs?{query}")
        taken.append((time.perf_counter() - began) * 1000)
        answer.raise_for_status()
    return Figures(taken, round_trip(started, 20))


def _readers(started: Installation, seeded: str) -> dict[str, Api]:
    options = ("--rate", "unlimited", "--scopes")
    readers = {"staff": started.create_key(*options, "jobs:read,jobs:all")}
    for owner in ("many", "few"):
        readers[owner] = started.create_key(*options, "jobs:read", "--owner", owner)
    return {name: Api(started.url, token) for name, token in {**readers, "key": seeded}.items()}


def main(count: int = JOBS) -> None:
    with installation() as started:
        began = time.monotonic()
        seeded = seed(started, count)
        print(f"{count:,} jobs made in {time.monotonic() - began:.0f} s, load {os.getloadavg()[0]}")
        middle = datetime.now(UTC) - timedelta(seconds=count // 2)
        readers = _readers(started, seeded)
        lists = _lists(middle, seeded.partition(".")[0])
        started.stop()
        started.start()
        show("staff: the first list", _measure(started, readers["staff"], "", 1), PAGE)
        for reader, api in readers.items():
            for name, (query, bounds) in lists.items():
                figures = best_of(partial(_measure, started, api, query))
                show(f"{reader}: {name}", figures, bounds)
        print(f"load {os.getloadavg()[0]}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else JOBS)
    tell_and_exit()
