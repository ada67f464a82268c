"""The queue as a whole: how it stands, pausing and emptying it, and whether jobs are taken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from apikeys.actors import Actor
from jobs import events
from jobs.choices import Status
from jobs.hours import opening_of
from jobs.models import Job, QueueSettings, hold_queue
from jobs.ports import QueueForecast, ports
from jobs.services.cancelling import Taken, cancel_all
from jobs.signals import queue_resumed
from mobilesd.errors import bad_field
from mobilesd.http.paging import EXACT_TOTAL
from mobilesd.sqlite import write_turn

__all__ = ["QueueStanding", "change_settings", "clear", "pause", "resume", "standing"]


@dataclass(frozen=True)
class QueueStanding:
    """How the queue stands, as far as an actor may see it.

    `counts`: the actor's jobs by status, each exact up to EXACT_TOTAL. `forecast`: of the jobs of
    all.
    """

    settings: QueueSettings
    paused_servers: Sequence[str]
    counts: Mapping[str, int]
    forecast: QueueForecast

    @property
    def counts_are_exact(self) -> bool:
        return all(count < EXACT_TOTAL for count in self.counts.values())


def standing(actor: Actor) -> QueueStanding:
    """Return how the queue stands, in a fixed number of queries."""
    jobs = Job.objects.visible_to(actor).listed().order_by()
    counts = {
        str(status): jobs.filter(status=status).values("pk")[:EXACT_TOTAL].count()
        for status in Status.values
    }
    settings = QueueSettings.current()
    return QueueStanding(
        settings=settings,
        paused_servers=ports.servers.paused(),
        counts=counts,
        # What is known may be from before the pause.
        forecast=QueueForecast(timezone.now())
        if settings.paused
        else ports.servers.queue_forecast(),
    )


def pause(*, server: str = "", app_type: str = "") -> None:
    """Let nothing new start: on a server, of an app type, or at all. What runs is finished.

    From the commit on no claim succeeds. Pausing twice is no error. Raises NotFound or
    InvalidInput for a server or an app type that there is none of.
    """
    _switch(True, server=server, app_type=app_type)


def resume(*, server: str = "", app_type: str = "") -> None:
    """Undo `pause` of the same extent; other pauses stay."""
    _switch(False, server=server, app_type=app_type)


def _switch(paused: bool, *, server: str, app_type: str) -> None:
    if server and app_type:
        raise bad_field("app_type", "can't be combined with server.", "Send one request for each.")
    if app_type:
        _check_app_type(app_type)
    with write_turn(), transaction.atomic():
        if server:
            ports.servers.set_paused(server, paused)
            _tell(QueueSettings.current(), server=server, paused=paused)
            return
        settings = _locked()
        if app_type:
            others = [name for name in settings.paused_app_types if name != app_type]
            _save(settings, paused_app_types=sorted([*others, app_type] if paused else others))
            _tell(settings, app_type=app_type, paused=paused)
        else:
            over = opening_of(settings).opens(timezone.now()) is None
            if not paused and over:  # "until 06:30" has come, and it goes on
                _save(settings, run_until=None)
            _save(settings, paused=paused)
            _tell(settings, paused=paused)
        if not paused:
            queue_resumed.send(sender=QueueSettings, app_type=app_type)


def change_settings(
    *, accept_submissions: bool | None = None, queue_processing: bool | None = None
) -> QueueSettings:
    """Change the switches that are named, and return all."""
    with write_turn(), transaction.atomic():
        settings = _locked()
        if accept_submissions is not None:
            _save(settings, accept_submissions=accept_submissions)
        if queue_processing is not None and queue_processing == settings.paused:
            _save(settings, paused=not queue_processing)
            _tell(settings, paused=settings.paused)
            if queue_processing:
                queue_resumed.send(sender=QueueSettings, app_type="")
    return settings


def clear(actor: Actor, *, server: str = "", app_type: str = "", dry_run: bool = False) -> Taken:
    """Cancel the jobs of this actor that wait now (see `cancelling.cancel_all`)."""
    return cancel_all(actor, server=server, app_type=app_type, dry_run=dry_run)


def _check_app_type(app_type: str) -> None:
    known = ports.servers.app_types()
    if app_type not in known:
        raise bad_field("app_type", f"must be one of {', '.join(known)}, not {app_type[:60]!r}.")


def _locked() -> QueueSettings:
    """Return the switches, with no claim and no other change under way (a claim reads them)."""
    hold_queue()
    return QueueSettings.objects.get_or_create(pk=1)[0]


def _save(settings: QueueSettings, **values: Any) -> None:
    for name, value in values.items():
        setattr(settings, name, value)
    settings.save(update_fields=list(values))


def _tell(settings: QueueSettings, *, paused: bool, server: str = "", app_type: str = "") -> None:
    events.emit(
        "queue.paused",
        events.QueuePaused(
            paused=paused,
            paused_app_types=settings.paused_app_types,
            server=server or None,
            app_type=app_type or None,
        ),
        public=True,
    )
