"""The ladder against too little GPU memory (design §6): one measure more after each failure.

A job remembers how far down it is (`Job.memory_step`); what a step does is the dispatcher's
business. Below the last step there are only servers with more memory, and then the end.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dispatch import inventory
from dispatch.candidates import able_elsewhere
from dispatch.dispatchers.base import Relief
from dispatch.dispatchers.registry import dispatcher_class
from dispatch.inventory import ServerInventory
from dispatch.models import Server
from jobs.models import Job

__all__ = ["LAST_STEP", "next_step", "not_bigger", "planned", "relieved"]

# Six halvings bring the largest batch down to single pictures.
LAST_STEP = 8


def relieved(
    job: Job, params: Mapping[str, Any], known: ServerInventory | None
) -> tuple[Mapping[str, Any], Sequence[str]]:
    """Return the parameters after the job's measures, and these in words."""
    words = []
    for relief in _reliefs(job, params, known):
        params = relief.params
        words.append(relief.words)
    return params, words


def planned(job: Job, known: ServerInventory | None) -> Sequence[str]:
    """Return what the next attempt does differently, in short words."""
    return [relief.short for relief in _reliefs(job, job.generation_params, known)]


def _reliefs(
    job: Job, params: Mapping[str, Any], known: ServerInventory | None
) -> Iterator[Relief]:
    kind = dispatcher_class(job.app_type)
    for step in range(1, job.memory_step + 1):
        if relief := kind.relieve(params, step, known):
            params = relief.params
            yield relief


def next_step(job: Job, alias: str) -> tuple[int, str] | None:
    """Return the next measure that changes anything on this server, with its words, or None."""
    server = Server.objects.filter(alias=alias).first()
    known = inventory.load(server) if server else None
    params, _ = relieved(job, job.generation_params, known)
    kind = dispatcher_class(job.app_type)
    for step in range(job.memory_step + 1, LAST_STEP + 1):
        if relief := kind.relieve(params, step, known):
            return step, relief.words
    return None


def not_bigger(job: Job, alias: str) -> Sequence[str] | None:
    """Return the servers to keep this job from, so that one with more memory does it.

    None if there is no such server. One whose memory is not known may be bigger.
    """
    if job.target_server_alias:
        return None
    servers = {
        server.alias: server
        for server in Server.objects.filter(app_type=job.app_type, enabled=True)
        if server.alias not in job.avoid_servers
    }
    here = servers.pop(alias, None)
    ours = here.vram_total_mb if here else None
    small = [
        each.alias
        for each in servers.values()
        if ours is not None and each.vram_total_mb is not None and each.vram_total_mb <= ours
    ]
    # Whether a bigger one is up now does not matter: the job waits for it. Whether it has the
    # models does.
    return [alias, *small] if able_elsewhere(job, [alias, *small]) else None
