"""The processes: whether `up` runs, what troubles it, and whether its clusters take tasks."""

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings

from mobilesd.doctor.database import has_tables
from mobilesd.doctor.findings import Finding, fail, ok, warn
from mobilesd.supervisor import probe
from mobilesd.supervisor.locks import owner_of
from mobilesd.supervisor.state import ROLES, leftovers, lock_file, remove, state_file

__all__ = ["look_at_processes"]

ANSWER_SECONDS = 10.0


def look_at_processes() -> Iterator[Finding]:
    """Look at the supervisor and what it watches."""
    owners = {role: owner_of(lock_file(role)) for role in ROLES}
    running = {role: pid for role, pid in owners.items() if pid is not None}
    if not running:
        yield warn("MobileSD is not running.", "Start it: `make run`, or `manage.py up`.")
        yield from _leftovers()
        return
    for pid in sorted(set(running.values())):
        roles = ", ".join(role for role, owner in running.items() if owner == pid)
        yield ok(f"`up` runs as process {pid} ({roles}).")
    for only in (None, "dispatch", "background"):
        yield from _trouble(state_file(only))
    for cluster in ("dispatch", "background"):
        if cluster in running and has_tables():
            yield _answers(cluster)


def _leftovers() -> Iterator[Finding]:
    found = list(leftovers(None))
    if found:
        yield warn(
            f"{len(found)} files of an earlier start are left in {settings.RUN_DIR}.",
            "The next start removes them.",
            partial(_remove, found),
        )


def _remove(found: list[Path]) -> str:
    for path in found:
        remove(path)
    return f"Removed {len(found)} files of an earlier start."


def _trouble(file: Path) -> Iterator[Finding]:
    try:
        state: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if state.get("trouble"):
        yield fail(str(state["trouble"]), "Look at what `up` printed; correct it; start again.")


def _answers(cluster: str) -> Finding:
    asked = time.monotonic()
    probe_id = probe.ask(cluster)
    while not probe.take_answer(probe_id):
        if time.monotonic() - asked > ANSWER_SECONDS:
            return warn(
                f"The {cluster} processes did not take a task within {ANSWER_SECONDS:.0f} s.",
                "They may be busy. If they hang, `up` starts them anew by itself.",
            )
        time.sleep(0.1)
    return ok(f"The {cluster} processes take tasks ({time.monotonic() - asked:.1f} s).")
