"""The same lanes without their guards: what the guards are good for, shown by their absence.

Each conditional UPDATE becomes a read and then a write, as one would write it at first.
"""

import contextlib
import os
import random
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psutil
from django.db import connection, transaction
from django.utils import timezone

from dispatch import lease
from dispatch.models import Server
from jobs.choices import Status
from jobs.models import Attempt, Job

__all__ = ["claim", "drop_constraint", "install", "renew", "restore_constraint", "take", "unfenced"]

# What a loaded machine puts between two statements by itself.
_BETWEEN_SECONDS = 0.05


def take(server_id: int, sighting: Any = None) -> lease.Lease | None:
    """Look whether the lease is free, and then write into it."""
    server = Server.objects.get(pk=server_id)
    if server.lane_token is not None:
        return None
    time.sleep(_BETWEEN_SECONDS)
    token = uuid.uuid4()
    Server.objects.filter(pk=server_id).update(
        lane_token=token,
        lane_host=socket.gethostname(),
        lane_pid=os.getpid(),
        lane_started=psutil.Process().create_time(),
        heartbeat_at=timezone.now(),
    )
    return lease.Lease(server_id, token)


def renew(self: lease.Lease) -> bool:
    """Beat, whoever has the lease."""
    return Server.objects.filter(pk=self.server_id).update(heartbeat_at=timezone.now()) == 1


@contextlib.contextmanager
def fenced(self: lease.Lease) -> Iterator[None]:
    """Prove nothing, and let others write in between: SQLite's transactions are a guard too."""
    yield


@contextlib.contextmanager
def unfenced(self: lease.Lease) -> Iterator[None]:
    """Write in a transaction as always, only without asking who owns the server."""
    with transaction.atomic():
        yield


def claim(job_id: uuid.UUID, *, server_alias: str, lane: uuid.UUID) -> Attempt | None:
    """Look whether the job is pending, and then write that it is not."""
    job = Job.objects.get(pk=job_id)
    if job.status != Status.PENDING:
        return None
    time.sleep(_BETWEEN_SECONDS)
    job.status = Status.PROCESSING
    job.server_alias = server_alias
    job.save()
    return Attempt.objects.create(
        job=job,
        server_alias=server_alias,
        number=random.randrange(2**31),  # not the guard that is looked at here
        lane=lane,
        created_at=timezone.now(),
    )


def install(patch: Callable[[str, Any], Any]) -> None:
    """Take the guards out of this process: of the lease, the fence and the claim."""
    patch("dispatch.lease.take", take)
    patch("dispatch.lease.Lease.renew", renew)
    patch("dispatch.lease.Lease.fenced", fenced)
    patch("jobs.transitions.in_transaction", lambda: None)
    patch("dispatch.lanes.claims.transitions", _Transitions())


class _Transitions:
    """jobs.transitions with the unguarded claim, outside the fence's transaction."""

    def __getattr__(self, name: str) -> Any:
        from jobs import transitions

        return claim if name == "claim" else getattr(transitions, name)


def drop_constraint() -> None:
    """Let a job have several open attempts."""
    _constraint("remove_constraint")


def restore_constraint() -> None:
    """Undo `drop_constraint`; the rows must allow it again."""
    _constraint("add_constraint")


def _constraint(what: str) -> None:
    [constraint] = [c for c in Attempt._meta.constraints if c.name == "one_open_attempt_a_job"]
    with connection.schema_editor() as editor:
        getattr(editor, what)(Attempt, constraint)
