"""A wall clock that tests can shift under a whole installation (clock.c)."""

import shutil
import struct
import subprocess
from pathlib import Path

__all__ = ["ShiftedClock"]

_SOURCE = Path(__file__).with_name("clock.c")


class ShiftedClock:
    """Shifts the wall clock of every process that is started with its `env`."""

    def __init__(self, folder: Path) -> None:
        self.seconds = 0
        self._file = folder / "clock"
        self._library = folder / "clock.so"
        self._file.write_bytes(struct.pack("=q", 0))
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-o", self._library, _SOURCE, "-ldl"], check=True
        )

    @staticmethod
    def possible() -> bool:
        """Tell whether there is a C compiler."""
        return shutil.which("cc") is not None

    @property
    def env(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "SHIFTED_CLOCK": str(self._file)}

    def jump(self, seconds: int) -> None:
        """Let the clock be so much later than now, or earlier."""
        self.seconds += seconds
        with self._file.open("r+b") as file:  # in place: it is mapped
            file.write(struct.pack("=q", self.seconds))
