"""Everything that can belong to somebody, of each kind of owner, for tests of who sees what."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Model
from django.utils import timezone

from apikeys.actors import Actor
from apikeys.models import ApiKey
from gallery.models import Image
from jobs import wording
from jobs.choices import Status
from jobs.models import Batch, Delivery, Event, Job, Notifier, Preset, Undo, Webhook
from mobilesd.sealed import seal
from tests import factories

__all__ = ["MARK", "Theirs", "stored", "theirs"]

# Stands in every text of these rows that an answer could show.
MARK = "zzyzx"
_MODELS: tuple[type[Model], ...] = (
    Job,
    Image,
    Batch,
    Webhook,
    Delivery,
    Notifier,
    Preset,
    Undo,
)


@dataclass
class Theirs:
    """The rows of one owner; `ids` are named as the routes name them."""

    whose: str
    ids: dict[str, Any]
    jobs: list[Job] = field(default_factory=list)

    def each(self) -> Iterator[Mapping[str, Any]]:
        """Give the ids once for each job, with its picture."""
        for job in self.jobs:
            yield {**self.ids, "job_id": job.pk, "image_id": job.images.get().pk}

    @property
    def secrets(self) -> list[str]:
        """What must be in no answer to anybody else."""
        ids = [str(value) for name, value in self.ids.items() if value is not None]
        return [*ids, *(str(job.pk) for job in self.jobs), MARK]


def theirs() -> list[Theirs]:
    """Make rows of a member, of a key of the installation, and of nobody."""
    owner = factories.user(f"{MARK}-owner")
    other_key, _ = factories.key(name=f"{MARK} other")
    return [
        _of("a member", owner=owner),
        _of("a key of the installation", api_key=other_key),
        _of("nobody"),
    ]


def _of(whose: str, owner: Any = None, api_key: ApiKey | None = None) -> Theirs:
    now = timezone.now()
    by: dict[str, Any] = {"owner": owner, "api_key": api_key}
    batch = Batch.objects.create(total=3, created_at=now, name=MARK, run_first=1, **by)
    made = Theirs(whose, {"batch_id": batch.pk})
    (settings.DATA_DIR / "previews").mkdir(exist_ok=True)
    for status in (Status.COMPLETED, Status.PENDING, Status.PROCESSING):
        params = {"positive_prompt": f"{MARK} lighthouse", "seed": 1, "width": 64, "height": 64}
        job = factories.job(
            status, **by, batch=batch, generation_params=params, source_info=f"{MARK} panel"
        )
        factories.image(job, index=0)
        preview = settings.DATA_DIR / "previews" / f"{job.pk}.jpg"
        preview.write_bytes(b"\xff\xd8\xff" + MARK.encode())
        made.jobs.append(job)
    wording.add(made.jobs)
    webhook = Webhook.objects.create(
        url=f"https://{MARK}.example.com",
        events=["job.completed"],
        sealed_secret=seal("secret", purpose="webhook"),
        last_event_id=Event.objects.last_id(),
        created_at=now,
        **by,
    )
    delivery = Delivery.objects.create(
        webhook=webhook, kind="job.completed", body=f'"{MARK}"', due_at=now, created_at=now
    )
    made.ids |= {"webhook_id": webhook.pk, "delivery_id": delivery.pk}
    if owner is not None:
        scope = Actor.of_user(owner).scope
    else:
        scope = Actor.of_key(api_key).scope if api_key is not None else "key:"
    undo = Undo.objects.create(
        scope=scope,
        action="cancel",
        state={},
        expires_at=now + timedelta(minutes=10),
    )
    made.ids |= {"undo_id": undo.pk}
    if owner is not None:  # without one they are the installation's, and for all
        notifier = Notifier.objects.create(
            owner=owner,
            name=MARK,
            sealed_url=seal(f"json://{MARK}", purpose="notifier"),
            kinds=["queue_empty"],
            created_at=now,
        )
        preset = Preset.objects.create(
            owner=owner, name=MARK, app_type="forge", created_at=now, updated_at=now
        )
        made.ids |= {"notifier_id": notifier.pk, "preset_id": preset.pk}
        made.ids |= {"prefix": factories.key(owner, name=f"{MARK} phone")[0].prefix}
    elif api_key is not None:
        made.ids |= {"prefix": api_key.prefix}
    return made


def stored(rows: list[Theirs]) -> dict[str, list[Any]]:
    """Return all that is stored of them, to be compared."""
    found: dict[str, list[Any]] = {
        model.__name__: list(model._default_manager.order_by("pk").values()) for model in _MODELS
    }
    prefixes = [row.ids["prefix"] for row in rows if "prefix" in row.ids]
    found["ApiKey"] = list(ApiKey.objects.filter(prefix__in=prefixes).order_by("pk").values())
    return found
