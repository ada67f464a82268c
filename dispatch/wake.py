"""How a lane learns that there may be work: `wake_seq` for live lanes, a kick for the rest.

A kick is a django-q2 task that only says "look": a lost or doubled one costs time, never work.
"""

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import F

from dispatch.models import Server
from jobs.signals import attempt_cancelled, job_waiting

__all__ = ["bump", "connect", "kick", "wake_all"]


def kick(server_id: int) -> None:
    """Enqueue a task that takes the server's lease if nobody has it."""
    from django_q.tasks import async_task

    async_task("dispatch.tasks.run_lane", server_id, cluster="dispatch")


def _kick_sleeping(server_ids: Iterable[int]) -> None:
    for server_id in Server.objects.filter(
        pk__in=list(server_ids), lane_token__isnull=True
    ).values_list("pk", flat=True):
        kick(server_id)


def bump(**which: Any) -> None:
    """Wake the lanes of the matching servers; call it inside the transaction of the change.

    Servers whose lease is free get a kick after the commit. A lease whose lane has died looks
    taken here: the sweep finds that within seconds.
    """
    server_ids = list(Server.objects.filter(**which).values_list("pk", flat=True))
    if not server_ids:
        return
    Server.objects.filter(pk__in=server_ids).update(wake_seq=F("wake_seq") + 1)
    transaction.on_commit(lambda: _kick_sleeping(server_ids))


def wake_all() -> None:
    """Wake every enabled server, after a change that may concern all of them."""
    bump(enabled=True)


def _on_job_waiting(app_type: str, target_server_alias: str, **_: object) -> None:
    if target_server_alias:
        bump(alias=target_server_alias, enabled=True, paused=False)
    else:
        bump(app_type=app_type, enabled=True, paused=False)


def _on_attempt_cancelled(server_alias: str, **_: object) -> None:
    bump(alias=server_alias)


def connect() -> None:
    """Listen to the signals of the jobs app."""
    job_waiting.connect(_on_job_waiting, dispatch_uid="dispatch.wake.job_waiting")
    attempt_cancelled.connect(_on_attempt_cancelled, dispatch_uid="dispatch.wake.cancelled")
