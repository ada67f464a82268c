"""Why a pending job waits, in the one sentence to show for it: pure, like `dispatch.scheduling`.

What keeps a job from a server is asked of the scheduler's own `hindrance`, so that the reason and
the decision can't differ.
"""

from collections.abc import Sequence
from dataclasses import replace

from dispatch.scheduling import (
    DROP_LORAS,
    EDIT,
    PATIENCE_LOADS,
    Candidate,
    Facts,
    ServerState,
    better_elsewhere,
    held_back,
    hindrance,
)
from jobs.ports import Button, Reason

__all__ = ["why_waiting"]


def why_waiting(job: Candidate, servers: Sequence[ServerState]) -> Reason:
    """Return the one reason to show for a pending job: the one nearest to going away."""
    if waiting := held_back(job):
        return waiting
    same = [server for server in servers if server.app_type == job.app_type]
    if job.target and all(server.alias != job.target for server in servers):
        return Reason(
            "server_removed",
            f"The server {job.target} was removed.",
            "Choose another server, cancel the job, or add the server again.",
            _instead(job, same) or _ANYWHERE,
        )
    fitting = [server for server in same if job.target in ("", server.alias)]
    if not fitting:
        return Reason(
            "no_server_for_app_type",
            f"There is no server for {job.app_type} jobs.",
            "Add a server.",
            (_ADD,),
        )
    found = {server.alias: hindrance(job, server, same) for server in fitting}
    able = [server for server in fitting if found[server.alias] is None]
    if able:
        return _its_turn(job, able)
    nowhere = not any(server.index.matches(job.checkpoint) for server in fitting)
    if len(fitting) > 1 and nowhere and {h.code for h in found.values() if h} == {"model_missing"}:
        return Reason(
            "model_missing",
            f"No server has the checkpoint {job.checkpoint}.",
            "Copy the file to a server, or choose another checkpoint.",
            (EDIT,),
        )
    known = [h for h in found.values() if h is not None]
    nearest = min(
        known, key=lambda h: _NEAREST.index(h.code) if h.code in _NEAREST else len(_NEAREST)
    )
    with_loras = next((h for h in known if any(b.kind == DROP_LORAS for b in h.buttons)), nearest)
    if with_loras is not nearest:  # else nobody would see why the other servers do not take it
        nearest = replace(
            nearest,
            message=f"{nearest.message} {with_loras.message}",
            buttons=(*nearest.buttons, *with_loras.buttons),
        )
    if job.target and (others := _instead(job, same)):
        names = ", ".join(button.target for button in others)
        could = f"{nearest.action} {names} could do it.".strip()
        return replace(nearest, action=could, buttons=(*nearest.buttons, *others))
    return nearest


# Which of several servers' reasons is shown: the one that is the nearest to going away.
_NEAREST = ("server_offline", "yielding", "outside_hours", "model_missing", "paused", "server_busy")
_ADD = Button("Add a server", "add_server")
_ANYWHERE = (Button("Use any server", "choose_server"), _ADD)


def _its_turn(job: Candidate, able: Sequence[ServerState]) -> Reason:
    if all(not server.has_lane for server in able):
        return Reason(
            "no_free_lane",
            "All lanes are in use by other servers.",
            "Switch a server off that is not needed, or raise MOBILESD_LANES.",
            (Button("Look at the servers", "show_servers"),),
        )
    lacking = [name for name in job.loras if all(server.lacking([name]) for server in able)]
    without = (
        f" {', '.join(lacking)} is not there: the picture would be made without it."
        if lacking
        else ""
    )
    buttons = (EDIT,) if lacking else ()
    action = "Copy the LoRA to the server, or change the prompt." if lacking else ""
    return Reason("server_busy", f"{_what_for(job, able)}{without}", action, buttons)


def _what_for(job: Candidate, able: Sequence[ServerState]) -> str:
    """Return in words which of the servers that could do it a job waits for, and why."""
    free = [server for server in able if not server.busy and not server.sees_off]
    if free:
        better = [better_elsewhere(job, server, able, {}, Facts()) for server in free]
        if better[0] is not None and all(better) and job.waited <= _patience(free):
            return (
                f"It is left to {better[0].alias}, which has the checkpoint loaded"
                " and is free before another server could load it."
            )
    elif all(server.sees_off for server in able):
        return f"It waits for {able[0].alias}. {able[0].sees_off}"
    names = " or ".join(server.alias for server in able[:2])
    return f"It waits for its turn on {names}."


def _patience(servers: Sequence[ServerState]) -> float:
    return PATIENCE_LOADS * min(server.load_seconds for server in servers)


def _instead(job: Candidate, servers: Sequence[ServerState]) -> tuple[Button, ...]:
    """Return the other servers that could do this job, as buttons."""
    free = replace(job, target="")
    others = [server.alias for server in servers if server.alias != job.target]
    able = {server.alias for server in servers if hindrance(free, server, servers) is None}
    return tuple(
        Button(f"Use {alias}", "choose_server", alias) for alias in others if alias in able
    )[:3]
