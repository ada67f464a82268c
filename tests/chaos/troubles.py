"""What goes wrong, one at a time; each leaves everything as it was but for what it broke."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Sequence

import psutil

from tests.chaos.farm import LITTLE_MB, Farm
from tests.processes.installation import eventually

__all__ = ["Trouble", "impossible", "troubles"]

Trouble = Callable[[Farm, random.Random], None]

HOUR = 3600


def _kill(name: str) -> Trouble:
    def trouble(farm: Farm, _: random.Random) -> None:
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            os.kill(farm.inst.process(name).pid, signal.SIGKILL)

    trouble.__name__ = f"kill {name}"
    return trouble


def kill_one_process(farm: Farm, chance: random.Random) -> None:
    """A lane in its work, a worker that idles, a cluster's guard: whatever it hits."""
    with contextlib.suppress(psutil.Error):
        below = sorted(farm.inst.process("dispatch").children(recursive=True), key=lambda p: p.pid)
        if below:
            chance.choice(below).kill()


def kill_fake(farm: Farm, chance: random.Random) -> None:
    fake = chance.choice(farm.fakes)
    fake.kill()
    time.sleep(chance.uniform(0, 1))
    fake.start()


def _freeze(seconds: float) -> Trouble:
    def freeze(farm: Farm, chance: random.Random) -> None:
        """Stop processes for longer than a lease lasts, and let them go on as if nothing was."""
        name = chance.choice(["web", "dispatch", "background", "fake"])
        with contextlib.suppress(psutil.Error):
            if name == "fake":
                frozen = [chance.choice(farm.fakes).process]
            else:
                parent = farm.inst.process(name)
                frozen = [parent, *parent.children(recursive=True)]
            _signal(frozen, signal.SIGSTOP)
            time.sleep(seconds)
            _signal(frozen, signal.SIGCONT)

    return freeze


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def drop_connections(farm: Farm, chance: random.Random) -> None:
    chance.choice(farm.proxies).drop()


def cut_the_network(farm: Farm, chance: random.Random) -> None:
    proxy = chance.choice(farm.proxies)
    proxy.set(up=False)
    proxy.drop()
    time.sleep(chance.uniform(0.5, 3))
    proxy.set()


def slow_the_network(farm: Farm, chance: random.Random) -> None:
    proxy = chance.choice(farm.proxies)
    proxy.set(delay=chance.uniform(0.05, 0.5))
    time.sleep(chance.uniform(0.5, 3))
    proxy.set()


def fill_the_disk(farm: Farm, chance: random.Random) -> None:
    farm.disk.fill()
    time.sleep(chance.uniform(0.5, 3))
    farm.disk.make_room()


def leave_little_disk(farm: Farm, chance: random.Random) -> None:
    """Less than is kept free: no new work starts, what is there goes on."""
    farm.disk.fill(leave_mb=LITTLE_MB // 2)
    time.sleep(chance.uniform(2, 5))
    farm.disk.make_room()


def kill_up(farm: Farm, _: random.Random) -> None:
    """The supervisor itself dies, everything below it ends, and somebody starts it again."""
    farm.inst.kill()
    eventually(lambda: not farm.inst.left_behind(), 30, "all below `up` end with it")
    farm.inst.start(wait=False)


def shift_the_clock(farm: Farm, chance: random.Random) -> None:
    assert farm.clock is not None
    farm.clock.jump(chance.choice([-2 * HOUR, -600, -5, 5, 600, 2 * HOUR]))


def impossible(farm: Farm) -> list[str]:
    """Return in words what can't be tried on this machine."""
    found = [] if farm.disk.is_small else ["a full disk (it needs the right to mount one)"]
    return found if farm.clock is not None else [*found, "a clock that jumps (it needs cc)"]


def troubles(farm: Farm, freeze_seconds: float) -> list[Trouble]:
    """Return what can go wrong on this machine."""
    found = [
        *(_kill("web"), _kill("dispatch"), _kill("background")),
        *(kill_up, kill_one_process, kill_fake, _freeze(freeze_seconds)),
        *(drop_connections, cut_the_network, slow_the_network),
    ]
    if farm.disk.is_small:
        found += [fill_the_disk, leave_little_disk]
    if farm.clock is not None:
        found.append(shift_the_clock)
    return found
