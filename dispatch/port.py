"""What the jobs app may ask of this one (jobs/ports.py)."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from dispatch import candidates, plan, services
from dispatch import forecast as forecasts
from dispatch.address import host_and_port
from dispatch.dispatchers.registry import dispatcher_class
from dispatch.inventory import ServerInventory
from dispatch.known import inventories
from dispatch.lanes import memory
from dispatch.models import Server
from jobs.choices import Kind, Status
from jobs.models import Job, JobProgress
from jobs.params.loras import loras_of
from jobs.params.scripts import scripts_of
from jobs.ports import Button, Forecast, Plan, QueueForecast, Reason
from mobilesd.storage import has_room
from models_catalog.resolve import has_lora, model_key

__all__ = ["DispatchServers", "forecast"]


_WITHOUT = "The picture would be made without it."


class DispatchServers:
    """Fills the port `servers`."""

    def app_types(self) -> Sequence[str]:
        return list(settings.DISPATCHERS)

    def app_type_of(self, alias: str) -> str | None:
        return Server.objects.filter(alias=alias).values_list("app_type", flat=True).first()

    def aliases(self) -> Sequence[str]:
        return list(Server.objects.order_by("alias").values_list("alias", flat=True))

    def endpoints(self) -> Sequence[tuple[str, int]]:
        return [host_and_port(url) for url in Server.objects.values_list("url", flat=True)]

    def submission_warnings(
        self, params: Mapping[str, Any], app_type: str, alias: str
    ) -> Sequence[str]:
        """Say what no suitable server is known to have, or takes; the job is taken all the same.

        A file may have been copied to a server a moment ago, so this refuses nothing.
        """
        warnings = list(dispatcher_class(app_type).order_warnings(params))
        if params.get("kind") == Kind.UPSCALE:
            return [*warnings, *_upscaler_warnings(str(params["upscaler"]), app_type, alias)]
        checkpoint = str(params.get("checkpoint_name", ""))
        wanted, scripts = loras_of(params), scripts_of(params)
        known = _known(app_type, alias) if checkpoint or wanted or scripts else []
        if not known:
            return warnings
        where = alias or "any server"
        warnings += [
            f"The extension {name[:100]} is not on {where}: the job would fail."
            for name in scripts
            if all(inventory.lacks_script(name) for inventory in known)
        ]
        if checkpoint and all(i.index.find(checkpoint) is None for i in known):
            warnings.append(f"The checkpoint {checkpoint} is not on {where} yet. The job waits.")
        lacking = [n for n in wanted if not any(has_lora(i.lora_keys, n) for i in known)]
        elsewhere = _known(app_type, "") if alias and lacking else []
        for name in lacking:
            there = any(has_lora(inventory.lora_keys, name) for inventory in elsewhere)
            then = "Another server has it: the job waits." if there else _WITHOUT
            warnings.append(f"The LoRA {name} is not on {where}. {then}")
        return warnings

    def checkpoints(self, app_type: str, alias: str) -> Sequence[str]:
        """Return them by path alone: slashes and cases of two servers mean the same file."""
        found: dict[str, str] = {}
        for known in _known(app_type, alias):
            for model in known.checkpoints:
                found.setdefault(model_key(model.name), model.name)
        return list(found.values())

    def waiting_reasons(self, jobs: Sequence[Job]) -> Mapping[UUID, Reason]:
        if not has_room():
            full = Reason(
                "storage_low",
                "The disk of MobileSD is nearly full: nothing new is begun.",
                "Make room on that disk, or keep less.",
                (Button("Look at the storage", "show_storage"),),
            )
            return dict.fromkeys((job.pk for job in jobs), full)
        return candidates.reasons(jobs)

    def measures(self, jobs: Sequence[Job]) -> Mapping[UUID, Sequence[str]]:
        """Say what the next attempt does, as it would on the first server that may take it."""
        known: dict[tuple[str, str], list[ServerInventory]] = {}
        found: dict[UUID, Sequence[str]] = {}
        for job in jobs:
            where = job.app_type, job.target_server_alias
            if where not in known:
                known[where] = _known(*where)
            server = known[where][0] if known[where] else None
            found[job.pk] = memory.planned(job, server)
        return found

    def paused(self) -> Sequence[str]:
        rows = Server.objects.filter(paused=True, enabled=True).order_by("alias")
        return list(rows.values_list("alias", flat=True))

    def set_paused(self, alias: str, paused: bool) -> None:
        services.edit_server(alias, {"paused": paused})

    def put_back(self, kept: Sequence[Mapping[str, Any]]) -> None:
        services.put_back_server(kept)

    def plan(self) -> Plan | None:
        return plan.plan()

    def queue_forecast(self) -> QueueForecast:
        return forecasts.queue()


def _upscaler_warnings(name: str, app_type: str, alias: str) -> list[str]:
    known = _known(app_type, alias)
    if not known or any(inventory.image_upscaler(name) for inventory in known):
        return []
    return [f"The upscaler {name} is not on {alias or 'any server'}. The job would fail there."]


def _known(app_type: str, alias: str) -> list[ServerInventory]:
    """Return what the suitable servers have."""
    servers = Server.objects.filter(enabled=True, app_type=app_type)
    if alias:
        servers = servers.filter(alias=alias)
    return list(inventories(servers.values_list("pk", flat=True)).values())


def forecast(jobs: Sequence[Job]) -> Mapping[UUID, Forecast]:
    """Return when waiting jobs should start, and what running ones still take (port `forecast`).

    Of running ones from their last progress.
    """
    now = timezone.now()
    found: dict[UUID, Forecast] = {}
    if any(job.status == Status.PENDING for job in jobs):
        starts = forecasts.starts()
        found = {job.pk: Forecast(start=starts[job.pk]) for job in jobs if job.pk in starts}
    running = [job.pk for job in jobs if job.status == Status.PROCESSING]
    if not running:
        return found
    for row in JobProgress.objects.filter(job__in=running, eta_seconds__isnull=False):
        end = row.updated_at + timedelta(seconds=row.eta_seconds or 0)
        found[row.job_id] = Forecast(remaining_seconds=max(0.0, (end - now).total_seconds()))
    return found
