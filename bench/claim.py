"""Choosing and claiming a job while 100,000 wait: `python -m bench.claim [COUNT]`.

Each scene puts another kind of jobs before the one that can be taken. Of each are told the time on
the wall, the disk's part in it included, and that of the processor alone, which a busy machine
changes less.
"""

import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    _folder = tempfile.TemporaryDirectory()
    os.environ["MOBILESD_DATA_DIR"] = str(Path(_folder.name) / "data")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mobilesd.settings")
    import django

    django.setup()

from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from bench.common import Bounds, Figures, tell_and_exit, verdict

ROUNDS = 100
WANTED = Bounds(p95=15)
WANTED_CPU = Bounds(p95=8)

_JOBS = """
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < %(count)s)
INSERT INTO jobs_job (
    id, status, app_type, kind, generation_params, warnings, target_server_alias, server_alias,
    avoid_servers, priority, position, lane_class, owner_id, source_info, checkpoint,
    images_wanted, images_made, attempts_made, max_attempts, error_code, error_message, error_hint,
    created_at, updated_at, held, not_before, put_off_until, retry_at, blocked, loras, memory_step,
    request_id, checksum
)
SELECT lower(hex(randomblob(16))), 'pending', 'forge', 'txt2img',
    '{"positive_prompt": "a lighthouse", "width": 512, "height": 512, "steps": 4, "seed": 1}',
    '[]', %(target)s, '', '[]', 5, %(position)s + n, 'interactive', %(owner)s, '',
    %(model)s || (n %% %(models)s), 1, 0, 0, 3, '', '', '',
    %(now)s, %(now)s, %(held)s, %(not_before)s,
    COALESCE(%(not_before)s, %(retry_at)s), %(retry_at)s, %(blocked)s, %(loras)s, 0, '', ''
FROM numbers
"""


def fill(count: int, **changes: Any) -> None:
    """Queue so many jobs of one owner."""
    now = timezone.now().strftime("%Y-%m-%d %H:%M:%S.%f")
    values: dict[str, Any] = {"count": count, "target": "", "position": 0, "owner": None}
    values |= {"models": 5, "model": "model", "now": now, "held": 0, "not_before": None}
    values |= {"retry_at": None, "blocked": 0, "loras": ""} | changes
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_JOBS, values)


def measure(name: str, server: Any) -> None:
    """Choose and claim a few times, each claim taken back, and print the percentiles."""
    from dispatch.lanes.claims import Claimer
    from dispatch.lanes.outcomes import Settler
    from dispatch.lease import take
    from jobs import transitions

    lease = take(server.pk)
    assert lease is not None
    import queue

    claimer = Claimer(lease, server.alias, Settler(lease, server.alias), queue.SimpleQueue())
    wall, cpu, statements = [], [], 0

    def count(execute: Any, *asked: Any) -> Any:
        nonlocal statements
        statements += 1
        return execute(*asked)

    for number in range(ROUNDS + 1):
        began, worked = time.perf_counter(), time.thread_time()
        candidate = claimer.next_candidate()
        assert candidate is not None, name
        with lease.fenced():
            attempt = transitions.claim(candidate.id, server_alias=server.alias, lane=lease.token)
            assert attempt is not None, name
        if number:  # a lane's first look reads and prepares what later ones have
            wall.append((time.perf_counter() - began) * 1000)
            cpu.append((time.thread_time() - worked) * 1000)
        with transaction.atomic():
            attempt.delete()
            type(attempt.job).objects.filter(pk=candidate.id).update(status="pending")
    with connection.execute_wrapper(count):
        claimer.next_candidate()
    with lease.fenced():
        lease.release()
    told = (
        f"{kind} median {figures.median:6.2f} ms  p95 {figures.p95:6.2f} ms  ({wanted}:"
        f" {verdict(wanted.hold(figures))})"
        for kind, figures, wanted in (
            ("wall", Figures(wall, 0), WANTED),
            ("CPU", Figures(cpu, 0), WANTED_CPU),
        )
    )
    print(f"{name:<58} {'   '.join(told)}   {statements} statements to choose")


def scenes(count: int) -> dict[str, Callable[[dict[str, int]], None]]:
    """Return what waits in each scene; the ids of two owners are given."""
    future = (timezone.now() + timedelta(days=1)).strftime("%Y-%m-%d %H:%M:%S.%f")

    def dependent(owners: dict[str, int]) -> None:
        from jobs.models import Job

        fill(1, owner=owners["a"], not_before=future)
        parent = Job.objects.get()
        fill(count, owner=owners["a"], position=10, blocked=1)
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO jobs_jobdependency (job_id, parent_id, on_failure)"
                " SELECT id, %s, 'cancel' FROM jobs_job WHERE id <> %s",
                [parent.pk.hex, parent.pk.hex],
            )
        fill(1, owner=owners["b"], position=2 * count)

    def ahead(**changes: Any) -> Callable[[dict[str, int]], None]:
        def queue(owners: dict[str, int]) -> None:
            fill(count, owner=owners["a"], **changes)
            fill(1, owner=owners["a"], position=2 * count)
            fill(1, owner=owners["b"], position=2 * count)

        return queue

    return {
        "one owner, 5 models": ahead(),
        "500 models, none of them here but one": ahead(models=500),
        "before it: held": ahead(held=1),
        "before it: not before tomorrow": ahead(not_before=future),
        "before it: tried again tomorrow": ahead(retry_at=future),
        "before it: for another server": ahead(target="elsewhere"),
        "before it: with a LoRA that another server has": ahead(loras="film"),
        "before it: with a checkpoint that another server has": ahead(model="elsewhere"),
        "before it: waiting for other jobs": dependent,
    }


def main(count: int = 100_000) -> None:
    from django.contrib.auth import get_user_model

    from dispatch.models import Health, Inventory, Server
    from jobs.models import JobDependency

    call_command("migrate", verbosity=0)
    users = get_user_model().objects
    owners = {name: users.create_user(name + uuid.uuid4().hex[:6]).pk for name in "ab"}
    models = [{"name": f"model{n}", "hashes": []} for n in range(5)]
    for alias in ("first", "second"):
        server = Server.objects.create(
            alias=alias,
            url="http://127.0.0.1:9",
            app_type="forge",
            health=Health.HEALTHY,
            loaded_checkpoint="model3",
        )
        Inventory.objects.create(
            server=server,
            data={"checkpoints": models, "loras": ["film"] if alias == "second" else []},
            updated_at=timezone.now(),
        )
    for name, queue in scenes(count).items():
        JobDependency.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM jobs_event")
            cursor.execute("DELETE FROM jobs_job")
        queue(owners)
        measure(f"{count} wait; {name}", Server.objects.get(alias="first"))


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
    tell_and_exit()
