"""The servers that make the pictures, and the GPUs of this machine."""

from collections.abc import Iterator

from dispatch import health
from dispatch.models import Health, Server
from mobilesd.doctor.database import has_tables
from mobilesd.doctor.findings import Finding, ok, warn

__all__ = ["look_at_gpus", "look_at_servers"]


def look_at_servers() -> Iterator[Finding]:
    """Ask each enabled server how it is."""
    if not has_tables():
        return
    servers = list(Server.objects.filter(enabled=True).order_by("alias"))
    if not servers:
        yield warn(
            "There is no enabled server.", "Add one: `manage.py add_server ALIAS URL`, or the page."
        )
    for server in servers:
        report = health.check(server)
        name = f"Server {server.alias} at {server.url}"
        if report.health == Health.HEALTHY:
            yield ok(f"{name} answers ({report.latency_ms:.0f} ms).")
        else:
            yield warn(f"{name}: {report.text}", "Start it, or correct its address and sign-in.")


def look_at_gpus() -> Iterator[Finding]:
    """Name the NVIDIA GPUs of this machine; none is fine, servers may be elsewhere."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception as error:  # no module, no library, no driver, no permission: all the same
        yield ok(f"No NVIDIA GPU is seen on this machine ({error}); servers elsewhere need none.")
        return
    try:
        for index in range(pynvml.nvmlDeviceGetCount()):
            device = pynvml.nvmlDeviceGetHandleByIndex(index)
            name, memory = pynvml.nvmlDeviceGetName(device), pynvml.nvmlDeviceGetMemoryInfo(device)
            free, total = memory.free / 1024**3, memory.total / 1024**3
            yield ok(f"GPU {index}: {name}, {free:.1f} of {total:.1f} GiB free.")
    except pynvml.NVMLError as error:
        yield warn(f"The GPU driver answers with an error: {error}", "Run nvidia-smi to see more.")
    finally:
        pynvml.nvmlShutdown()
