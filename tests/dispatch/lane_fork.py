"""The parent of lane processes: it forks one for each line that it reads, and prints its pid.

Started by `lane_processes.Cluster`. It has Django loaded, and no thread and no database
connection, so that a fork is a whole new process in a few milliseconds.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any


def main() -> None:
    """Serve until the end of the input; then no child is left."""
    settings = json.loads(sys.stdin.readline())
    _prepare(settings)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # a killed child is gone at once, no zombie
    print(os.getpid(), flush=True)  # noqa: T201
    children = []
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _child(json.loads(line))
        children.append(pid)
        print(pid, flush=True)  # noqa: T201
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _prepare(settings: dict[str, Any]) -> None:
    import django

    django.setup()
    from django.db import connections

    connections["default"].settings_dict.update(settings["database"])
    for module in ("dispatch.tasks", "dispatch.dispatchers.forge", "django_q.tasks"):
        importlib.import_module(module)
    if settings["clock"]:
        from tests.dispatch.shifted_clock import ShiftedClock

        ShiftedClock(Path(settings["clock"])).install(_patch)


def _child(order: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        os.close(0)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        _set(order)
        from dispatch import tasks

        tasks.run_lane(order["server"], *order["sighting"])
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0)


def _set(order: dict[str, Any]) -> None:
    from django.conf import settings

    from dispatch import standing, tasks
    from dispatch.lanes import outcomes
    from dispatch.lanes.pace import Pace

    settings.DATA_DIR = Path(order["data"])
    settings.RUN_DIR = settings.DATA_DIR / "run"
    tasks.default_pace = lambda: Pace(**order["pace"])
    if order["impatient"]:
        from django.utils import timezone

        outcomes._WAKING_SECONDS = 0.3
        outcomes._retry_at = lambda made: timezone.now() + timedelta(seconds=0.2)
        standing._ASIDE_FIRST_SECONDS = standing._OFFLINE_FIRST_SECONDS = 0.3
    if order["unguarded"]:
        from tests.dispatch import unguarded

        unguarded.install(_patch)
    if order["unfenced"]:
        from tests.dispatch import unguarded

        _patch("dispatch.lease.Lease.fenced", unguarded.unfenced)
    if order["halt"]:
        _halt(**order["halt"])


def _patch(dotted: str, replacement: Any) -> Any:
    """Put something in the place of a function of a module or class; return what was there."""
    parts = dotted.split(".")
    for split in range(len(parts) - 1, 0, -1):
        try:
            owner: Any = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for part in parts[split:-1]:
            owner = getattr(owner, part)
        original = getattr(owner, parts[-1])
        setattr(owner, parts[-1], replacement)
        return original
    raise LookupError(dotted)


def _halt(at: str, how: int, skip: int = 0) -> None:
    """Let this process be killed or frozen just before it calls a function."""
    left = [skip]

    def halted(*args: Any, **kwargs: Any) -> Any:
        if left[0] == 0:
            os.kill(os.getpid(), how)
            time.sleep(0.01)  # the signal comes at the next bytecode at the latest
        left[0] -= 1
        return original(*args, **kwargs)

    original: Callable[..., Any] = _patch(at, halted)


if __name__ == "__main__":
    main()
