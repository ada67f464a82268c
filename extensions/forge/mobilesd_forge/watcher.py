"""The live state of this installation's jobs, for as long as somebody looks at the panel."""

import logging
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

from mobilesd_forge import board
from mobilesd_forge.client import Client
from mobilesd_forge.faults import Fault
from mobilesd_forge.sse import Event

__all__ = ["View", "Watcher"]

log = logging.getLogger(__name__)

LOOK_SECONDS = 20.0  # so long after the panel's last question somebody still looks
SHORTEST = 1.0  # between two lists
WITH_EVENTS = 15.0  # places and times change without an event of our own jobs
WITHOUT_EVENTS = 3.0
LONGEST_PAUSE = 30.0
MAX_PICTURES = 200  # small ones, about 20 kB each
KINDS = (
    *("job.created", "job.status", "job.changed", "job.deleted", "job.stalled"),
    *("job.progress", "image.created", "queue.paused", "server.status"),
)
_PROGRESS = "job.progress"


@dataclass(frozen=True)
class View:
    """What is known. `live`: events come in, so that nothing of it is older than a moment."""

    jobs: tuple[dict[str, Any], ...] = ()
    fault: Fault | None = None
    live: bool = False
    read: bool = False  # MobileSD has answered at least once
    waiting: int = 0  # more than `jobs` has, if there are very many


@dataclass
class _Mark:
    """How far the events are known, and of which MobileSD."""

    of: Hashable = None
    text: str = ""


class Watcher:
    """Two threads: one follows the events, one reads the list when they say that it changed.

    Nobody looks: the list is not read, and the stream is left at its next sign of life.
    """

    def __init__(
        self,
        connect: Callable[[], Client],
        settings: Callable[[], Hashable],
        on_contact: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._settings = settings
        self._on_contact = on_contact
        self._clock = clock
        self._changed = threading.Condition()
        self._stopped = False
        self._looked = float("-inf")
        self._dirty = True
        self._live = False
        self._raw: dict[str, dict[str, Any]] = {}
        self._view = View()
        self._progress_heard = float("-inf")
        self._of: Hashable = None  # the settings that the list was read with
        self._pictures: OrderedDict[tuple[str, int], tuple[str, bytes]] = OrderedDict()

    # --- For the panel -------------------------------------------------------------------------
    def look(self) -> View:
        """Return what is known, and note that somebody looks. Never waits."""
        with self._changed:
            if not self._is_looked_at():
                self._dirty = True
                self._changed.notify_all()
            self._looked = self._clock()
            return self._view

    def stir(self) -> None:
        """Read the list soon: something was just changed or sent."""
        with self._changed:
            self._dirty = True
            self._changed.notify_all()

    def infotext(self, job_id: str) -> str:
        """Return a job's infotext, or nothing."""
        with self._changed:
            job = self._raw.get(board.key_of(job_id))
        return board.infotext_of(job) if job is not None else ""

    def picture(self, job_id: str, number: int) -> tuple[str, bytes]:
        """Return a small picture of a job that is shown; raise Fault."""
        place = board.key_of(job_id), number
        with self._changed:
            if place in self._pictures:
                self._pictures.move_to_end(place)
                return self._pictures[place]
            job = self._raw.get(place[0])
        paths = board.thumbnails_of(job) if job is not None else []
        if not 0 <= number < len(paths):
            raise Fault("gone", "There is no such picture.")
        found = self._connect().picture(paths[number])
        with self._changed:
            self._pictures[place] = found
            while len(self._pictures) > MAX_PICTURES:
                self._pictures.popitem(last=False)
        return found

    def stop(self) -> None:
        """Let both threads end."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _is_looked_at(self) -> bool:
        return self._clock() - self._looked < LOOK_SECONDS

    def _goes_on(self) -> bool:
        with self._changed:
            return not self._stopped and self._is_looked_at()

    def _wait_for_looks(self) -> bool:
        """Wait until somebody looks; return False to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._is_looked_at())
            return not self._stopped

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, seconds)

    # --- The list --------------------------------------------------------------------------------
    def keep_list(self) -> None:
        """Read the list whenever it may have changed, until `stop`."""
        failures = 0
        while self._wait_for_looks():
            failures = 0 if self.read_list() else failures + 1
            self._rest(SHORTEST)
            with self._changed:
                patience = _pause(failures) if failures else self._patience()
                self._changed.wait_for(lambda: self._stopped or self._dirty, patience)

    def _patience(self) -> float:
        """Return how long the list may be left alone while no event says that it changed."""
        runs = any(job["status"] == "processing" for job in self._view.jobs)
        # Keys without an owner are told of states, but not of progress.
        silent = self._clock() - self._progress_heard > WITHOUT_EVENTS
        return WITHOUT_EVENTS if not self._live or (runs and silent) else WITH_EVENTS

    def read_list(self) -> bool:
        """Read the list once; return whether MobileSD answered."""
        settings = self._settings()
        with self._changed:
            self._dirty = False
            if settings != self._of:  # the jobs of another address or key are not ours
                self._of, self._raw, self._view = settings, {}, View()
                self._pictures.clear()
        try:
            found = self._connect().jobs()
        except Fault as fault:
            self._tell_fault(fault)
            return False
        except Exception as error:  # the thread must live: without it the panel stands still
            log.exception("MobileSD: the list of jobs could not be read")
            self._tell_fault(Fault("failed", f"The extension failed ({type(error).__name__})."))
            return False
        jobs = [job for row in found.rows if (job := board.shown(row)) is not None]
        with self._changed:
            self._raw = {board.key_of(row.get("mobilesd_job_id")): row for row in found.rows}
            self._view = View(tuple(jobs), None, self._live, True, found.waiting)
            if self._settings() != settings:  # changed while it was read
                self._dirty = True
        self._on_contact()
        return True

    def _tell_fault(self, fault: Fault) -> None:
        with self._changed:
            self._view = replace(self._view, fault=fault, live=self._live)

    # --- The events ------------------------------------------------------------------------------
    def follow_events(self) -> None:
        """Follow the events while somebody looks, until `stop`."""
        failures, mark = 0, _Mark()
        while self._wait_for_looks():
            began = self._clock()
            try:
                self._follow(mark)
            except Fault as fault:
                log.debug("MobileSD: no events: %s", fault.text)
            except Exception:
                log.exception("MobileSD: the events could not be followed")
            self._set_live(False)
            if not self._goes_on():
                continue
            failures = 1 if self._clock() - began > LONGEST_PAUSE else failures + 1
            self._rest(_pause(failures))

    def _follow(self, mark: "_Mark") -> None:
        settings = self._settings()
        if settings != mark.of:
            mark.of, mark.text = settings, ""
        with self._connect().events(mark.text, KINDS) as events:
            for event in events:
                if event is not None:
                    mark.text = event.mark
                    self.take(event)
                if not self._goes_on() or self._settings() != settings:
                    return

    def take(self, event: Event) -> None:
        """Take in what an event says."""
        if event.kind == "hello":
            self._set_live(True)
            self.stir()  # what happened before the stream began
        elif event.kind == _PROGRESS:
            self._move_bar(event.data)
        else:
            self.stir()

    def _set_live(self, live: bool) -> None:
        with self._changed:
            self._live = live
            self._view = replace(self._view, live=live)

    def _move_bar(self, told: dict[str, Any]) -> None:
        key = board.key_of(told.get("job"))
        with self._changed:
            if key not in self._raw:
                return  # somebody else's, or one that the list does not have yet
            self._progress_heard = self._clock()
            jobs = tuple(
                board.with_progress(job, told)
                if board.key_of(job["id"]) == key and job["status"] == "processing"
                else job
                for job in self._view.jobs
            )
            self._view = replace(self._view, jobs=jobs, live=self._live)


def _pause(failures: int) -> float:
    longest = min(LONGEST_PAUSE, 2.0 ** min(failures, 10))
    return random.uniform(0.75, 1.25) * longest
