"""The engine companion: what a server that executes lacks, added from inside of it.

A job is taken and answered at once, its state and pictures are kept on disk under its token, and
a cancel hits it and nothing else.
"""

import logging
import secrets
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilesd_forge.companion.asgi import asgi_app
from mobilesd_forge.companion.engine import Engine
from mobilesd_forge.companion.jobs import Jobs, Limits
from mobilesd_forge.companion.records import Records
from mobilesd_forge.companion.routes import PREFIX, Routes
from mobilesd_forge.companion.token import CompanionToken
from mobilesd_forge.disk import Busy, FileLock

__all__ = ["Companion", "install", "open_companion"]

log = logging.getLogger(__name__)

_at_work: dict[Path, "Companion"] = {}


@dataclass(frozen=True)
class Companion:
    """A companion at work. `token` is for whoever may show it to a person."""

    routes: Routes
    jobs: Jobs
    token: CompanionToken
    engine: Engine
    _lock: ExitStack

    def stop(self) -> None:
        """Begin and write nothing more, and leave the folder to another program.

        What runs is lost then: not for "Reload UI", where `install` goes on with it.
        """
        self.jobs.stop()
        self._lock.close()
        for folder in [folder for folder, known in _at_work.items() if known is self]:
            del _at_work[folder]


def install(
    app: Any, engine: Engine, data_folder: Path, limits: Limits | None = None
) -> Companion | None:
    """Add the companion's routes to a FastAPI or Starlette app; None if that is not possible.

    Whatever is wrong is one sentence in the log: the program itself goes on without it. For a
    second app of the same process ("Reload UI") the companion that works already gets more routes.
    """
    try:
        companion = _at_work.get(data_folder) or open_companion(engine, data_folder, limits)
        _at_work[data_folder] = companion
        companion.engine.attach(app)
        app.mount(PREFIX, asgi_app(companion.routes))
    except Exception as error:
        log.warning("MobileSD's companion can't start: %s", error)
        return None
    for problem in companion.engine.facts().problems:
        log.warning("MobileSD's companion: %s", problem)
    return companion


def open_companion(engine: Engine, data_folder: Path, limits: Limits | None = None) -> Companion:
    """Begin to work on a data folder; raises OSError."""
    data_folder.mkdir(parents=True, exist_ok=True)
    token = CompanionToken(data_folder)
    token.value()
    folder, lock = _own_folder(data_folder)
    jobs = Jobs(engine, Records(folder), limits)
    jobs.start()
    return Companion(Routes(jobs, engine, token), jobs, token, engine, lock)


def _own_folder(data_folder: Path) -> tuple[Path, ExitStack]:
    """Return a folder that no other living program works on: several may share an extension.

    What one of them runs must not be taken by another for what a crash left. The names can't be
    guessed, for the same reason as the token's (token.py).
    """
    known = sorted(data_folder.glob("companion-*"))
    for folder in [*known, data_folder / f"companion-{secrets.token_hex(16)}"]:
        folder.mkdir(exist_ok=True)
        lock = ExitStack()
        try:
            lock.enter_context(FileLock(folder / "lock").held(wait=False))
        except Busy:
            continue
        return folder, lock
    raise OSError("the new folder is taken")
