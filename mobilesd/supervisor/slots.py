"""What `up` keeps running: one slot a role, with its process, its deaths and its troubles."""

import os
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from mobilesd import lifeline
from mobilesd.supervisor.children import Child
from mobilesd.supervisor.preparation import Prepared
from mobilesd.supervisor.restarts import Restarts
from mobilesd.supervisor.state import ROLES

__all__ = ["CLUSTERS", "Options", "Running", "Slot", "make_slots", "prepare_child"]

CLUSTERS = ("dispatch", "background")

Show = Callable[[str, str], None]
OnEnd = Callable[[Child], None]


@dataclass(frozen=True)
class Options:
    """What `up` was asked for; `only` is a single role, or None for all."""

    host: str
    port: int
    only: str | None = None
    demo: bool = False
    allowed_hosts: Sequence[str] = ()
    addresses: Sequence[str] = ()
    pid: int = field(default_factory=os.getpid)

    @property
    def roles(self) -> tuple[str, ...]:
        return ROLES if self.only is None else (self.only,)


@dataclass
class Running:
    """One start of a role's process."""

    child: Child
    boot_id: str
    lanes: int

    @property
    def started_at(self) -> float:
        return self.child.started_at


@dataclass
class Slot:
    """A role that is to be filled; `start` makes its process."""

    name: str
    start: Callable[["Slot"], Child]
    boot_id: str
    lanes: int = 0
    wanted: bool = True
    running: Running | None = None
    due_at: float = 0.0
    restarts: int = 0
    trouble: str | None = None
    deaths: Restarts = field(default_factory=Restarts)

    def fill(self) -> None:
        """Start the process now; raises OSError if it can't be started."""
        self.running = Running(self.start(self), self.boot_id, self.lanes)

    def lost(self) -> str | None:
        """Record that the process ended by itself; return a sentence when that is trouble."""
        assert self.running is not None
        child, self.running = self.running.child, None
        now = time.monotonic()
        self.due_at = now + self.deaths.delay(now, now - child.started_at)
        self.restarts += 1
        if self.deaths.too_many:
            self.trouble = (
                f"The {self.name} process has ended five times within a minute"
                f" ({child.last_words()})."
            )
        return self.trouble

    def renew(self) -> Running | None:
        """Empty the slot for a start with a boot id of its own; return what ran in it."""
        old, self.running = self.running, None
        self.boot_id, self.due_at = uuid.uuid4().hex, 0.0
        return old

    def describe(self) -> dict[str, Any]:
        """Return the slot as `supervisor.json` shows it."""
        pid = self.running.child.pid if self.running is not None else None
        return {"name": self.name, "pid": pid, "restarts": self.restarts}


def _command(*arguments: str) -> list[str]:
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]


def _environment(boot_id: str, **extra: str) -> dict[str, str]:
    return {
        **os.environ,
        "MOBILESD_BOOT_ID": boot_id,
        lifeline.ENVIRONMENT: str(os.getpid()),
        "PYTHONUNBUFFERED": "1",
        # glibc keeps an arena a thread, each with unused megabytes of its own.
        "MALLOC_ARENA_MAX": "2",
        **extra,
    }


def prepare_child(
    options: Options, boot_id: str, say: Callable[[str], None], on_end: OnEnd
) -> Child:
    """Start what must be done before the rest: in a process that goes away, to stay small."""
    return Child(
        "prepare",
        _command("prepare", "--demo", "on" if options.demo else "off"),
        _environment(boot_id),
        on_line=lambda _, line: say(line),
        on_end=on_end,
    )


def make_slots(
    options: Options, boot_id: str, prepared: Prepared, show: Show, on_end: OnEnd
) -> dict[str, Slot]:
    """Return the empty slots of the roles that this supervisor has."""

    def starter(*arguments: str, **extra: str) -> Callable[[Slot], Child]:
        def start(slot: Slot) -> Child:
            own = {"MOBILESD_LANES": str(slot.lanes)} if slot.lanes else {}
            env = _environment(slot.boot_id, **extra, **own)
            return Child(slot.name, _command(*arguments), env, on_line=show, on_end=on_end)

        return start

    slots = {}
    if "web" in options.roles:
        web = starter(
            *("run_web", "--host", options.host, "--port", str(options.port)),
            MOBILESD_ALLOWED_HOSTS=",".join(options.allowed_hosts),
        )
        slots["web"] = Slot("web", web, boot_id)
    for name in CLUSTERS:
        if name in options.roles:
            # Checks would load every view into processes that serve none.
            start = starter("qcluster", "--name", name, "--skip-checks", Q_CLUSTER_NAME=name)
            slots[name] = Slot(name, start, boot_id)
    if "dispatch" in slots:
        slots["dispatch"].lanes = max(settings.LANES, prepared.enabled_servers)
    if prepared.demo_port is not None:
        start = starter("fake_forge", "--port", str(prepared.demo_port))
        slots["demo"] = Slot("demo", start, boot_id)
    return slots
