"""Waking the servers that jobs wait for: by a magic packet, or by a command.

A command runs on this machine as the user that runs MobileSD. So it can be set by `manage.py`
alone, never over REST or a page: whoever steals a browser session or a key would own the machine.
"""

import logging
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from dispatch import wake_on_lan
from dispatch.candidates import candidates_for
from dispatch.models import Health, Server
from dispatch.scheduling import ServerState, hindrance
from dispatch.states import server_states
from jobs.moments import in_words

__all__ = ["COMMAND_SECONDS", "due", "wake", "wake_needed"]

log = logging.getLogger(__name__)

COMMAND_SECONDS = 60
# A machine that wakes needs a while; then it is looked at more often than an offline one.
_LOOK_AFTER = timedelta(seconds=5)


def due(server: Server, now: datetime) -> bool:
    """Tell whether it may be woken again; a moment ahead of us is of a clock that was wrong."""
    last = server.woken_at
    return last is None or last > now or now - last >= timedelta(seconds=server.wake_seconds)


def wake_needed() -> None:
    """Wake each offline server that a job waits for and that nobody else could take."""
    now = timezone.now()
    rows = Server.objects.filter(enabled=True, paused=False, health=Health.OFFLINE)
    asleep = [server for server in rows.exclude(wake_mac="", wake_command="") if due(server, now)]
    if not asleep:
        return
    states = {state.alias: state for state in server_states(timed=False)}
    for server in asleep:
        if server.alias in states and _is_wanted(server, states):
            _begin(server, now)


def _is_wanted(server: Server, states: Mapping[str, ServerState]) -> bool:
    up = replace(states[server.alias], healthy=True)
    others = [state for alias, state in states.items() if alias != server.alias]
    every = [up, *others]
    return any(
        hindrance(job, up, every) is None and all(hindrance(job, other, every) for other in others)
        for job in candidates_for(server, "")
    )


def _begin(server: Server, now: datetime) -> None:
    from django_q.tasks import async_task

    # On the value that was read, so that two supervisors wake it once.
    won = Server.objects.filter(pk=server.pk, woken_at=server.woken_at).update(
        woken_at=now, wake_text=f"It was woken at {in_words(now, now)}.", probe_at=now + _LOOK_AFTER
    )
    if won:
        async_task("dispatch.tasks.wake_server", server.pk, cluster="background")


def wake(server: Server) -> str:
    """Send the packet, or run the command; return what went wrong, "" if nothing did."""
    troubles = []
    if server.wake_mac:
        try:
            wake_on_lan.send(server.wake_mac, settings.WAKE_BROADCAST)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            troubles.append(f"The wake-up packet could not be sent: {reason}.")
    if server.wake_command:
        troubles.append(_run(server))
    trouble = " ".join(filter(None, troubles))[:300]
    if trouble:
        log.warning("waking %s: %s", server.alias, trouble)
        Server.objects.filter(pk=server.pk).update(wake_text=trouble)
    return trouble


def _run(server: Server) -> str:
    """Run the command, without a shell; its output is thrown away, for it may hold anything."""
    try:
        process = subprocess.Popen(
            shlex.split(server.wake_command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={k: v for k, v in os.environ.items() if not k.startswith("MOBILESD_")},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return f"The wake-up command could not be started: {error}."
    try:
        code = process.wait(COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        _kill(process)
        return f"The wake-up command did not end within {COMMAND_SECONDS} s."
    return f"The wake-up command failed (exit code {code})." if code else ""


def _kill(process: "subprocess.Popen[bytes]") -> None:
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
