"""How fast a lane's choice, a claim and the sweep are beside a long queue with chains in it.

    python bench/chains.py [pending=100000] [chained=20000]

Works on a database of its own in a temporary folder.
"""

import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["DJANGO_SETTINGS_MODULE"] = "mobilesd.settings"
_folder = tempfile.TemporaryDirectory()
os.environ["MOBILESD_DATA_DIR"] = _folder.name
os.environ.pop("MOBILESD_DATABASE_URL", None)

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from apikeys.actors import SYSTEM  # noqa: E402
from jobs import chains, transitions  # noqa: E402
from jobs.models import Job, JobDependency  # noqa: E402
from jobs.services import Need, Order, submit  # noqa: E402


def main(pending: int, chained: int) -> None:
    call_command("migrate", verbosity=0)
    now = timezone.now()
    jobs = [
        Job(app_type="forge", position=n * 1_000_000, created_at=now, updated_at=now)
        for n in range(pending)
    ]
    Job.objects.bulk_create(jobs, batch_size=2_000)
    # At the head of the queue, where each look has to step over them.
    JobDependency.objects.bulk_create(
        [JobDependency(job=jobs[n], parent=jobs[-1 - n % 100]) for n in range(chained)],
        batch_size=2_000,
    )
    free = iter(jobs[chained:])
    params = {"positive_prompt": "a lighthouse"}
    plain, tied = Order(params), Order(params, depends_on=(Need(jobs[-1].pk),))
    print(f"{pending} pending, {chained} of them wait for others")
    _time("claim", 200, lambda: _claim(next(free).pk))
    _time("submit", 200, lambda: submit(plain, SYSTEM))
    _time("submit with depends_on", 200, lambda: submit(tied, SYSTEM))
    _time("look of the sweep for half-done chains", 5, chains.settle_left)
    below = JobDependency.objects.filter(parent=jobs[-1]).count()
    began = time.perf_counter()
    with transaction.atomic():
        transitions.cancel(jobs[-1].pk)
    print(f"cancel a job with {below} dependents: {time.perf_counter() - began:.2f} s")


def _claim(job_id: uuid.UUID) -> None:
    with transaction.atomic():
        if transitions.claim(job_id, server_alias="a", lane=uuid.uuid4()) is None:
            raise RuntimeError("the job could not be claimed")


def _time(name: str, times: int, act: Callable[[], object]) -> None:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    print(f"{name}: median {statistics.median(took):.1f} ms, p95 {took[int(len(took) * 0.95)]:.1f}")


if __name__ == "__main__":
    main(*(int(value) for value in [*sys.argv[1:], *("100000", "20000")[len(sys.argv) - 1 :]]))
