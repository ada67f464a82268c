"""Every process below `up` ends when its parent dies, however that dies.

A cluster that outlives `up` would run beside the next one, for ever and unseen (stack.md §2.2).
`up` names itself in the environment; `tie()` then asks Linux for a SIGKILL at the parent's death
and asks again in each forked child, because a fork clears the request. Elsewhere a thread waits
for the parent. Linux watches the *thread* that forked: parents fork from their main thread.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable

__all__ = ["ENVIRONMENT", "adopt_orphans", "tie"]

# Holds the process id of the supervisor that a child belongs to.
ENVIRONMENT = "MOBILESD_CHILD"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_forking_pid = 0


def tie() -> None:
    """Tie this process and all that it forks to their parents; do nothing outside of `up`."""
    supervisor = os.environ.get(ENVIRONMENT, "")
    if not supervisor.isdigit():
        return
    # A spawned (not forked) child of a cluster runs this too: its parent is the cluster.
    parent = multiprocessing.parent_process()
    bind = _binder()
    bind(parent.pid if parent is not None and parent.pid is not None else int(supervisor))
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_remember_pid, after_in_child=lambda: bind(_forking_pid))


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent died, where that is possible.

    Then it can see that they are gone; process 1 of a container often never looks.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _remember_pid() -> None:
    global _forking_pid
    _forking_pid = os.getpid()


def _binder() -> Callable[[int], None]:
    return _linux_binder() if sys.platform == "linux" else _watch


def _linux_binder() -> Callable[[int], None]:
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def bind(parent_pid: int) -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # A parent that died before the request sends nothing any more.
        if os.getppid() != parent_pid:
            os.kill(os.getpid(), signal.SIGKILL)

    return bind


def _watch(parent_pid: int) -> None:
    import psutil

    def wait() -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(parent_pid).wait()
        os._exit(1)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
