"""How a lane learns that there may be work: `wake_seq` for live lanes, a kick for the rest.

A kick is a django-q2 task that only says "look": a lost or doubled one costs time, never work.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from dispatch.models import Health, Server
from jobs.signals import attempt_cancelled, job_waiting, job_watched, queue_resumed

# How long one sign of a watcher counts; the page renews it every few seconds.
WATCHED_SECONDS = 15

# A lane could do nothing on a server that is known to be down; the probe that finds it up again
# kicks. Without this each submission meanwhile would pay for a task in vain.
_ABLE = (Health.HEALTHY, Health.UNKNOWN)

__all__ = ["bump", "connect", "kick"]


def kick(server_id: int) -> None:
    """Enqueue a task that takes the server's lease if nobody has it."""
    from django_q.tasks import async_task

    async_task("dispatch.tasks.run_lane", server_id, cluster="dispatch")


def _kick_sleeping(server_ids: Iterable[int]) -> None:
    able = Server.objects.filter(
        pk__in=list(server_ids),
        lane_token__isnull=True,
        health__in=_ABLE,
    )
    for server_id in able.values_list("pk", flat=True):
        kick(server_id)


def bump(**which: Any) -> None:
    """Wake the lanes of the matching servers; call it inside the transaction of the change.

    `which` are columns and their values. Servers whose lease is free get a kick after the commit.
    A lease whose lane has died looks taken here: the sweep finds that within seconds. It finds as
    well whom a kick that failed was meant for: what is done after the commit must never make the
    caller believe that its change was not stored.
    """
    # With locks by row, a caller that holds its job's would wait here for a lane that holds its
    # server's and waits for the job: there each server is woken on its own, after the commit. The
    # UPDATE still comes before the look at the lease: it waits for a lane that is just releasing.
    if connection.features.has_select_for_update:
        found = list(Server.objects.filter(**which).order_by("pk").values_list("pk", flat=True))
        transaction.on_commit(lambda: _raise_one_by_one(found), robust=True)
        transaction.on_commit(lambda: _kick_sleeping(found), robust=True)
        return
    # The write lock is ours until the commit, so no lane releases its lease after this look.
    asleep = _raise_all(which)
    if asleep:
        transaction.on_commit(lambda: _kick_sleeping(asleep), robust=True)


def _raise_all(which: Mapping[str, Any]) -> list[int]:
    """Raise `wake_seq`, and return the servers that nobody drives and that may be able to work.

    Plain SQL, because every submission comes here: building this from its parts takes ten times
    as long as running it.
    """
    where = " AND ".join(f"{connection.ops.quote_name(name)} = %s" for name in which)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {Server._meta.db_table} SET wake_seq = wake_seq + 1 WHERE {where}"
            " RETURNING id, lane_token IS NULL AND health IN (%s, %s)",
            [*which.values(), *_ABLE],
        )
        return [server_id for server_id, asleep in cursor.fetchall() if asleep]


def _raise_one_by_one(server_ids: Iterable[int]) -> None:
    for server_id in server_ids:
        Server.objects.filter(pk=server_id).update(wake_seq=F("wake_seq") + 1)


def _on_job_waiting(app_type: str, target_server_alias: str, **_: object) -> None:
    if target_server_alias:
        bump(alias=target_server_alias, enabled=True, paused=False)
    else:
        bump(app_type=app_type, enabled=True, paused=False)


def _on_queue_resumed(app_type: str, **_: object) -> None:
    bump(enabled=True, paused=False, **({"app_type": app_type} if app_type else {}))


def _on_attempt_cancelled(server_alias: str, **_: object) -> None:
    bump(alias=server_alias)


def _on_job_watched(server_alias: str, **_: object) -> None:
    until = timezone.now() + timedelta(seconds=WATCHED_SECONDS)
    Server.objects.filter(alias=server_alias).update(watched_until=until)


def connect() -> None:
    """Listen to the signals of the jobs app."""
    job_waiting.connect(_on_job_waiting, dispatch_uid="dispatch.wake.job_waiting")
    queue_resumed.connect(_on_queue_resumed, dispatch_uid="dispatch.wake.queue_resumed")
    attempt_cancelled.connect(_on_attempt_cancelled, dispatch_uid="dispatch.wake.cancelled")
    job_watched.connect(_on_job_watched, dispatch_uid="dispatch.wake.watched")
