"""A lane in a thread of this process, against a fake backend on a real socket."""

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction
from django.utils import timezone

from dispatch import health
from dispatch.fakes.forge import FakeForge
from dispatch.lanes.lane import Lane
from dispatch.lanes.pace import Pace
from dispatch.lease import Sighting, take
from dispatch.models import Server
from jobs import transitions
from jobs.models import Attempt, Job
from tests import factories

__all__ = [
    "PACE",
    "Running",
    "cancel",
    "connected",
    "earlier",
    "eventually",
    "failing",
    "lane",
    "most_at_once",
    "no_attempt_left",
    "queue",
    "samples",
    "taken_over",
    "until_final",
]

PACE = Pace(
    budget=60,
    linger=0.3,
    poll=0.03,
    poll_calm=0.05,
    recheck=0.1,
    look=0.1,
    gone_gap=0.3,
    grace=0.2,
    patience=3,
    stall=30,
    stop_check=0.05,
)


def eventually(true: Callable[[], Any], seconds: float = 15) -> Any:
    """Wait until something holds, and return it; fail with what it was."""
    end = time.monotonic() + seconds
    while True:
        value = true()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds} s: {true}"
        time.sleep(0.02)


def connected(fake: FakeForge, alias: str = "a", **fields: Any) -> Server:
    """Make a server row for a fake, asked once for its health and lists.

    It gets the token of the fake's companion, if there is one and nothing else is said.
    """
    if fake.companion is not None:
        fields.setdefault("companion_token", fake.companion.token)
    server = factories.server(alias, url=fake.url, **fields)
    health.check(server)
    server.refresh_from_db()
    return server


def queue(count: int = 1, **fields: Any) -> list[Job]:
    """Queue jobs with a seed each."""
    params = fields.pop("params", {})
    return [
        factories.job(
            generation_params={
                "positive_prompt": "a lighthouse",
                "width": 64,
                "height": 64,
                "steps": 4,
                "seed": 100 + number,
                "sampler_name": "Euler a",
                "scheduler": "Karras",
                **params,
            },
            **fields,
        )
        for number in range(count)
    ]


class Running:
    """A lane's thread; `errors` holds what it died of."""

    def __init__(self, server: Server, pace: Pace, sighting: Sighting | None) -> None:
        self.server = server
        self.pace = pace
        self.sighting = sighting
        self.errors: list[BaseException] = []
        self.lane: Lane | None = None
        self.thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        try:
            lease = take(self.server.pk, self.sighting)
            if lease is not None:
                self.lane = Lane(lease, self.pace)
                self.lane.live()
        except Exception as error:
            self.errors.append(error)
        finally:
            connections.close_all()

    def give_up(self) -> None:
        """End it after a failed test, so that it does not write into the next one."""
        if self.lane is not None:
            self.lane._lease.lost.set()
            for run in self.lane._runs:
                run.abandon()
        self.thread.join(10)

    def join(self, seconds: float = 20) -> None:
        """Wait for the lane's own end."""
        self.thread.join(seconds)
        assert not self.thread.is_alive(), "the lane did not end"
        assert not self.errors


@contextlib.contextmanager
def lane(
    server: Server, pace: Pace = PACE, *, sighting: Sighting | None = None, **changes: Any
) -> Iterator[Running]:
    """Run a lane until it ends by itself; the block ends when the lane has.

    With `sighting` it takes over from a lane that seems dead.
    """
    running = Running(server, replace(pace, **changes), sighting)
    running.thread.start()
    try:
        yield running
    except BaseException:
        running.give_up()
        raise
    running.join()


def until_final(jobs: list[Job], seconds: float = 20) -> list[Job]:
    """Wait until all jobs are final, and return them as they are then."""
    ids = [job.pk for job in jobs]
    eventually(lambda: all(job.is_final for job in Job.objects.filter(pk__in=ids)), seconds)
    found = {job.pk: job for job in Job.objects.filter(pk__in=ids)}
    return [found[pk] for pk in ids]


def samples(fake: FakeForge) -> bool:
    """Tell whether the backend is at work on a picture, past its first step."""
    return fake.engine.state.sampling_step >= 1


def cancel(job: Job) -> None:
    """Cancel a job as the API does."""
    with transaction.atomic():
        assert transitions.cancel(job.pk)


def no_attempt_left() -> bool:
    """Tell whether no attempt is open or uncleared."""
    return not Attempt.objects.filter(cleared_at__isnull=True).exists()


def most_at_once(runs) -> int:
    """Return how many runs the backend had at the same time at most."""
    moments = [(run.arrived_at, 1) for run in runs] + [(run.ended_at, -1) for run in runs]
    most = now = 0
    for _, step in sorted(moments):
        now += step
        most = max(most, now)
    return most


def earlier(job: Job, *ends: str) -> None:
    """Give a job attempts that ended like this, oldest first."""
    for outcome in ends:
        factories.attempt(
            job,
            outcome=outcome,
            submitted_at=job.created_at,
            ended_at=job.created_at,
            cleared_at=job.created_at,
        )


def taken_over() -> uuid.UUID:
    """Let somebody else own the only server."""
    token = uuid.uuid4()
    Server.objects.update(lane_token=token, heartbeat_at=timezone.now())
    return token


def failing(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, times: int = 1) -> list[int]:
    """Let a function fail as a busy database does, so many times."""
    original = getattr(owner, name)
    left = [times]

    def fails(*args: Any, **kwargs: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise OperationalError("database is locked")
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, fails)
    return left
