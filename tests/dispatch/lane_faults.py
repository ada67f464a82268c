"""What may go wrong with lanes, how often and where; and backends that can die."""

from pathlib import Path
from typing import Any

from dispatch.fakes.forge import FakeForge
from tests.dispatch.lane_harness import connected

__all__ = ["BUDGET", "CRASH_AT", "FREEZE_AT", "JUMPS", "WASTE", "Backend"]

# Runs that a fault may waste at most: Forge with hand-over (protocol §2). A foreign interrupt is
# one that has to be made again; a failed run is the job's own.
WASTE = {"crash": 2, "expire": 2, "backend": 1, "drop": 1, "cut": 2, "interrupt": 1}
BUDGET = {
    "crash": 2,
    "expire": 1,
    "backend": 1,
    "drop": 1,
    "cut": 1,
    "interrupt": 1,
    "fail": 1,
    "foreign": 2,
    "cancel": 2,
    "retry": 2,
    "clock": 2,
}
# What people and time servers do to clocks: an hour of daylight saving, a flat battery, a year.
JUMPS = (-7200.0, -40.0, 40.0, 3600.0, 31_536_000.0)

# Where a lane may freeze to the instruction; elsewhere it is a matter of chance. None of these is
# inside a transaction: a lane that is frozen there stops the whole database.
FREEZE_AT = (
    "dispatch.lanes.claims.Claimer.start",
    "dispatch.lanes.claims.Claimer._expect",
    "dispatch.lanes.claims.Claimer.send",
    "dispatch.lanes.run.Run.send",
    "dispatch.lanes.store.complete",
    "dispatch.lanes.outcomes.Settler.error",
    "dispatch.lanes.outcomes.Settler.gone",
    "dispatch.lanes.outcomes.Settler.clear",
    "dispatch.lanes.lane.adopt_all",
    "dispatch.dispatchers.forge.ForgeDispatcher.interrupt",
)
# And where it may die.
CRASH_AT = (
    *FREEZE_AT,
    "jobs.transitions.claim",
    "jobs.transitions.mark_submitted",
    "jobs.transitions.end_attempt",
    "jobs.transitions.clear",
    "jobs.transitions.take_round",
    "dispatch.lanes.claims.Claimer.next_round",
    "jobs.transitions.adopt",
    "dispatch.lanes.store._insert",
    "dispatch.lease.Lease.release",
)


class Backend:
    """A fake backend, through all its lives, and the server that stands for it."""

    def __init__(self, alias: str, companion: Path | None = None) -> None:
        self._companion = companion
        self.fake = FakeForge(seconds=0.3, companion=companion).start()
        self.server = connected(self.fake, alias)
        self._born = 0  # how many runs there were before this life

    def there(self) -> list[Any]:
        """Return the runs that have come in this life and not ended."""
        return [run for run in self.fake.log.runs()[self._born :] if run.ended_at is None]

    def restart(self) -> None:
        """Let it die and come back; it remembers nothing but what a companion has on disk."""
        port, log = self.fake.port, self.fake.log
        self.fake.stop()
        self._born = len(log.runs())
        self.fake = FakeForge(port=port, log=log, seconds=0.3, companion=self._companion).start()

    @property
    def samples(self) -> bool:
        return self.fake.engine.state.sampling_step >= 1
