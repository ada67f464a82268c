"""The lane protocol as a state machine, with our companion at the backends."""

import tempfile
from pathlib import Path

from tests.dispatch.lane_faults import CRASH_AT, FREEZE_AT, Backend
from tests.dispatch.lane_machine import LaneProtocol

__all__ = ["WithCompanion"]


class WithCompanion(LaneProtocol):
    """The same faults, with our companion at both servers: hardly any of them costs a run.

    What is left: a server's own death, a stranger's interrupt, and a frozen lane that sends in the
    moment between the giving up of its attempt and the companion's learning of that.
    """

    waste = {"expire": 1, "backend": 1, "interrupt": 1}
    dropped_at = {"path": "/mobilesd/v1/jobs*"}
    freeze_at = (
        *FREEZE_AT,
        "dispatch.lanes.run.Run.resume",
        "dispatch.dispatchers.forge.ForgeDispatcher.cancel",
        "dispatch.dispatchers.forge.ForgeDispatcher.forget",
    )
    crash_at = (*CRASH_AT, *freeze_at[len(FREEZE_AT) :])

    def backend(self, alias: str) -> Backend:
        self.folders = getattr(self, "folders", [])
        self.folders.append(tempfile.TemporaryDirectory())
        return Backend(alias, Path(self.folders[-1].name))

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            for folder in self.folders:
                folder.cleanup()

    def _check_end(self) -> None:
        super()._check_end()
        theirs = [run for run in self._runs() if str(run.token).startswith("foreign")]
        if not self.spent["interrupt"]:
            assert not any(run.interrupted for run in theirs), self._describe()
