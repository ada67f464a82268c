"""What the jobs app may ask of this one (jobs/ports.py)."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from dispatch import candidates
from dispatch.inventory import ServerInventory
from dispatch.models import Inventory, Server
from jobs.choices import Status
from jobs.models import Job, JobProgress
from jobs.ports import Forecast, Reason
from models_catalog.resolve import loras_in_prompt, resolve

__all__ = ["DispatchServers", "forecast"]


class DispatchServers:
    """Fills the port `servers`."""

    def app_types(self) -> Sequence[str]:
        return list(settings.DISPATCHERS)

    def app_type_of(self, alias: str) -> str | None:
        return Server.objects.filter(alias=alias).values_list("app_type", flat=True).first()

    def aliases(self) -> Sequence[str]:
        return list(Server.objects.order_by("alias").values_list("alias", flat=True))

    def submission_warnings(
        self, params: Mapping[str, Any], app_type: str, alias: str
    ) -> Sequence[str]:
        """Say what no suitable server is known to have; the job is taken all the same.

        A file may have been copied to a server a moment ago, so this refuses nothing.
        """
        checkpoint = str(params.get("checkpoint_name", ""))
        wanted = loras_in_prompt(str(params.get("positive_prompt", "")))
        known = _known(app_type, alias) if checkpoint or wanted else []
        if not known:
            return []
        where = alias or "any server"
        warnings = []
        if checkpoint and all(resolve(checkpoint, i.checkpoints) is None for i in known):
            warnings.append(f"The checkpoint {checkpoint} is not on {where} yet. The job waits.")
        loras = {name.lower() for inventory in known for name in inventory.loras}
        warnings += [
            f"The LoRA {name} is not on {where}. The picture would be made without it."
            for name in wanted
            if name.lower() not in loras
        ]
        return warnings

    def waiting_reasons(self, jobs: Sequence[Job]) -> Mapping[UUID, Reason]:
        return candidates.reasons(jobs)


def _known(app_type: str, alias: str) -> list[ServerInventory]:
    """Return what the suitable servers have; a large list is read again only when it changed."""
    rows = Inventory.objects.filter(server__enabled=True, server__app_type=app_type)
    if alias:
        rows = rows.filter(server__alias=alias)
    stamps = dict(rows.values_list("pk", "updated_at"))
    changed = [pk for pk, at in stamps.items() if _read.get(pk, (None, None))[0] != at]
    for row in Inventory.objects.filter(pk__in=changed) if changed else ():
        _read[row.pk] = (row.updated_at, ServerInventory.from_json(row.data))
    return [_read[pk][1] for pk in stamps if pk in _read]


_read: dict[int, tuple[datetime, ServerInventory]] = {}


def forecast(jobs: Sequence[Job]) -> Mapping[UUID, Forecast]:
    """Return the remaining time of running jobs from their last progress (port `forecast`)."""
    now = timezone.now()
    running = [job.pk for job in jobs if job.status == Status.PROCESSING]
    if not running:
        return {}
    found: dict[UUID, Forecast] = {}
    for row in JobProgress.objects.filter(job__in=running, eta_seconds__isnull=False):
        end = row.updated_at + timedelta(seconds=row.eta_seconds or 0)
        found[row.job_id] = Forecast(remaining_seconds=max(0.0, (end - now).total_seconds()))
    return found
