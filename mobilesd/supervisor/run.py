"""The main thread of `up`: starts, restarts and stops the processes (design §2).

Everything that happens arrives as a message in one queue, so that nothing here needs a lock and
an idle `up` sleeps. Children are started from this thread only (lifeline.py says why).
"""

import contextlib
import logging
import queue
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dispatch.stopping import drain_file, stop_file
from mobilesd import first_run, lifeline
from mobilesd.backups import damage
from mobilesd.supervisor.children import Child
from mobilesd.supervisor.chores import Chores
from mobilesd.supervisor.greeting import Greeting
from mobilesd.supervisor.preparation import Prepared
from mobilesd.supervisor.probe import busy_workers, work_dir
from mobilesd.supervisor.restarts import WITHIN_SECONDS
from mobilesd.supervisor.slots import CLUSTERS, Options, Running, Slot, make_slots, prepare_child
from mobilesd.supervisor.state import State, leftovers, remove, state_file

__all__ = ["Supervisor"]

log = logging.getLogger(__name__)

STOP_SECONDS = 4.0
KILLED_SECONDS = 0.8
# A cluster that drains gets this long to end by itself once nothing in it works any more.
DRAINED_SECONDS = 10.0
# Longer than any run: a lane that still drains after this is stuck.
DRAIN_SECONDS = 24 * 3600.0
LONGEST_WAIT = 1.0  # Windows does not wake a waiting main thread for Ctrl-C


@dataclass
class Draining:
    """A cluster that takes no new work; `idle_since` tells since when it has none at all."""

    name: str
    running: Running
    since: float
    idle_since: float


class Supervisor:
    """One run of `up`. `say` shows a line to the person at the console."""

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self.options = options
        self.boot_id = uuid.uuid4().hex
        self._say = say
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._slots: dict[str, Slot] = {}
        self._draining: list[Draining] = []
        self._ended: list[Child] = []
        self._preparing: Child | None = None
        self._chores: Chores | None = None
        self._stop_by: float | None = None
        self._written: State | None = None
        self._database = damage.FileWatch()

    # --- Messages from other threads -------------------------------------------------------
    def clusters(self) -> Mapping[str, Running]:
        """Return the clusters that take tasks now."""
        found = {name: self._slots[name].running for name in CLUSTERS if name in self._slots}
        return {name: running for name, running in found.items() if running is not None}

    def cluster_hangs(self, name: str, boot_id: str, *, working: bool) -> None:
        """Replace a cluster that takes no tasks any more."""
        self._inbox.put(lambda: self._replace_hung(name, boot_id, working))

    def want_lanes(self, lanes: int) -> None:
        """Run the dispatch cluster with at least so many lanes."""
        self._inbox.put(lambda: self._grow(lanes))

    def want_demo(self, port: int | None) -> None:
        """Run the demo server at this port, or not at all."""
        self._inbox.put(lambda: self._serve_demo(port))

    def _child_ended(self, child: Child) -> None:
        self._inbox.put(lambda: self._bury(child))

    def _on_signal(self, *_: object) -> None:
        self._inbox.put(self._stop)

    # --- The loop --------------------------------------------------------------------------
    def run(self) -> int:
        """Work until told to stop; return the exit code. No process is left in any case.

        `damage.EXIT_CODE` asks for a start from the beginning: somebody met a damaged database, or
        a restore that was cut off was finished.
        """
        lifeline.adopt_orphans()
        self._listen_to_signals()
        try:
            prepared = self._prepare()
            if isinstance(prepared, int):
                return prepared
            self._begin(prepared)
            while self._stop_by is None:
                self._take_messages()
                self._tend()
                self._database.look()
                if damage.noted():
                    self._say("The database is damaged or gone. All processes end, to recover it.")
                    return damage.EXIT_CODE
        finally:
            self._end_all()
        self._say("Stopped.")
        return 0

    def _listen_to_signals(self) -> None:
        for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self._on_signal)
        # Ignored under nohup, whose user wants to close the terminal.
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._on_signal)

    def _take_messages(self) -> None:
        now = time.monotonic()
        due = [
            slot.due_at - now
            for slot in self._slots.values()
            if slot.wanted and slot.running is None
        ]
        with contextlib.suppress(queue.Empty):
            self._inbox.get(timeout=max(0.0, min([LONGEST_WAIT, *due])))()
            while True:
                self._inbox.get_nowait()()

    def _prepare(self) -> Prepared | int:
        """Return what was prepared, or the code to end with."""
        child = prepare_child(self.options, self.boot_id, self._say, self._child_ended)
        self._preparing = child
        while self._is_preparing:
            self._take_messages()
            if self._stop_by is not None:
                return 0
        if child.code == 0:
            return Prepared.read(self.boot_id)
        return damage.EXIT_CODE if child.code == damage.EXIT_CODE else 1

    @property
    def _is_preparing(self) -> bool:
        return self._preparing is not None

    def _begin(self, prepared: Prepared) -> None:
        self._slots = make_slots(
            self.options, self.boot_id, prepared, self._show, self._child_ended
        )
        self._chores = Chores(self, self.options.only, demo="demo" in self._slots)
        self._tend()
        self._chores.start()
        if "web" in self._slots:
            Greeting(self.options, prepared, self._say).start()

    def _show(self, name: str, line: str) -> None:
        self._say(f"{name:<10} | {line}")

    def _tend(self) -> None:
        now = time.monotonic()
        for slot in self._slots.values():
            if slot.running is None and slot.wanted and now >= slot.due_at:
                self._fill(slot)
            elif slot.running is not None and now - slot.running.started_at > WITHIN_SECONDS:
                slot.trouble = None
        for draining in list(self._draining):
            self._look_after(draining, now)
        self._ended = [child for child in self._ended if not child.is_gone]
        self._write_state()

    def _fill(self, slot: Slot) -> None:
        try:
            slot.fill()
        except OSError as error:  # no memory, no processes left: later perhaps
            slot.due_at = time.monotonic() + 5
            slot.trouble = f"The {slot.name} process can't be started: {error.strerror}."

    def _write_state(self) -> None:
        troubles = [slot.trouble for slot in self._slots.values() if slot.trouble]
        state = State(
            pid=self.options.pid,
            boot_id=self.boot_id,
            host=self.options.host,
            port=self.options.port,
            children=[slot.describe() for slot in self._slots.values() if slot.wanted],
            trouble=" ".join(troubles) or None,
        )
        if state == self._written:
            return
        try:
            state.write(state_file(self.options.only))
            self._written = replace(state)
        except OSError as error:
            log.warning("the supervisor's state can't be written: %s", error)

    # --- Children that end, hang, or become too few -----------------------------------------
    def _bury(self, child: Child) -> None:
        child.kill()  # what is left of its group
        self._ended.append(child)
        if child is self._preparing:
            self._preparing = None
        for draining in list(self._draining):
            if draining.running.child is child:
                self._draining.remove(draining)
                self._forget(draining.name, draining.running)
        for slot in self._slots.values():
            if slot.running is not None and slot.running.child is child:
                self._forget(slot.name, slot.running)
                self._lament(slot, child)

    def _lament(self, slot: Slot, child: Child) -> None:
        if self._stop_by is not None:
            slot.running = None
            return
        trouble = slot.lost()
        wait = slot.due_at - time.monotonic()
        self._say(trouble or f"The {slot.name} process has ended ({child.last_words()}).")
        self._say(f"It is started again in {max(1, round(wait))} s.")

    def _forget(self, name: str, running: Running) -> None:
        if name in CLUSTERS:
            remove(work_dir(name, running.boot_id))
            remove(drain_file(running.boot_id))

    def _replace_hung(self, name: str, boot_id: str, working: bool) -> None:
        slot = self._slots[name]
        if slot.running is None or slot.boot_id != boot_id or self._stop_by is not None:
            return
        self._say(f"The {name} processes take no tasks any more; they are started anew.")
        old = slot.renew()
        self._fill(slot)
        if old is None:
            return
        if working and name == "dispatch":  # the running pictures need no queue: let them end
            self._drain(name, old)
        else:
            old.child.kill()
            self._forget(name, old)

    def _grow(self, lanes: int) -> None:
        slot = self._slots.get("dispatch")
        if slot is None or lanes <= slot.lanes or self._stop_by is not None:
            return
        slot.lanes = lanes
        self._say(f"More servers than lanes: running {lanes} lanes from now on.")
        old = slot.renew()
        self._fill(slot)
        if old is not None:
            self._drain("dispatch", old)

    def _drain(self, name: str, old: Running) -> None:
        now = time.monotonic()
        self._draining.append(Draining(name, old, since=now, idle_since=now))
        _raise_flag(drain_file(old.boot_id))
        old.child.ask_to_end()

    def _look_after(self, draining: Draining, now: float) -> None:
        if busy_workers(draining.name, draining.running.boot_id):
            draining.idle_since = now
        if now - draining.idle_since > DRAINED_SECONDS or now - draining.since > DRAIN_SECONDS:
            draining.running.child.kill()

    def _serve_demo(self, port: int | None) -> None:
        slot = self._slots.get("demo")
        if slot is None or self._stop_by is not None:
            return
        slot.wanted = port is not None
        if not slot.wanted and slot.running is not None:
            old, slot.running = slot.running, None
            old.child.kill()

    # --- The end ---------------------------------------------------------------------------
    def _stop(self) -> None:
        now = time.monotonic()
        if self._stop_by is not None:
            self._stop_by = now  # told twice: no more patience
            return
        self._stop_by = now + STOP_SECONDS
        if self._slots:
            self._say(
                "Stopping. A picture in progress is fetched at the next start where the server has"
                " MobileSD's companion; elsewhere it may have to be made again."
            )

    def _alive(self) -> Iterator[Child]:
        if self._preparing is not None:
            yield self._preparing
        for slot in self._slots.values():
            if slot.running is not None:
                yield slot.running.child
        for draining in self._draining:
            yield draining.running.child
        yield from self._ended

    def _end_all(self) -> None:
        """End every process: asked first, then killed; an error on the way kills at once."""
        if self._stop_by is None:
            self._stop_by = time.monotonic()
        if self._chores is not None:
            self._chores.stop()
        flags = {stop_file(self.boot_id)}
        flags |= {stop_file(running.boot_id) for running in self.clusters().values()}
        flags |= {stop_file(draining.running.boot_id) for draining in self._draining}
        for flag in flags:
            _raise_flag(flag)
        children = list(self._alive())
        for child in children:
            child.ask_to_end()
        self._await(children, lambda: self._stop_by or 0.0)
        for child in children:
            child.kill()
        killed_by = time.monotonic() + KILLED_SECONDS
        self._await(children, lambda: killed_by)
        for path in (*flags, *leftovers(self.options.only)):
            remove(path)
        if "web" in self.options.roles:
            first_run.revoke()

    def _await(self, children: list[Child], deadline: Callable[[], float]) -> None:
        while not all(child.is_gone for child in children) and time.monotonic() < deadline():
            with contextlib.suppress(queue.Empty):
                self._inbox.get(timeout=0.05)()


def _raise_flag(flag: Path) -> None:
    try:
        flag.touch()
    except OSError as error:  # a full disk: then the processes are killed, which is safe as well
        log.warning("%s can't be written: %s", flag.name, error)
