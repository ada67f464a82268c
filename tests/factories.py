"""Rows for tests, as plain functions: sensible defaults, any field by keyword."""

import io
import itertools
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.utils import timezone
from PIL import Image as PillowImage

from apikeys.models import DEFAULT_SCOPES, ApiKey
from dispatch.models import Health, Server
from gallery.files import image_store
from gallery.models import Image
from jobs.choices import FINAL, Status
from jobs.models import Attempt, Job

__all__ = ["PASSWORD", "attempt", "image", "job", "key", "png", "server", "staff", "user"]

PASSWORD = "correct horse"
_numbers = itertools.count(1)


def user(username: str = "", **fields: Any) -> Any:
    """Make a member who signs in with PASSWORD."""
    name = username or f"member{next(_numbers)}"
    return get_user_model().objects.create_user(name, password=PASSWORD, **fields)


def staff(username: str = "", **fields: Any) -> Any:
    """Make a superuser who signs in with PASSWORD."""
    name = username or f"staff{next(_numbers)}"
    return get_user_model().objects.create_superuser(name, password=PASSWORD, **fields)


def key(
    owner: Any = None, scopes: Sequence[str] = DEFAULT_SCOPES, **fields: Any
) -> tuple[ApiKey, str]:
    """Make an API key; return it with its `P.S`, which is stored nowhere."""
    fields.setdefault("name", f"key {next(_numbers)}")
    row, token = ApiKey.objects.create_key(owner=owner, scopes=list(scopes), **fields)
    assert isinstance(row, ApiKey)
    return row, token


def job(status: str = Status.PENDING, **fields: Any) -> Job:
    """Make a job in any state, without the attempts and events that led there."""
    now = timezone.now()
    fields.setdefault("app_type", "forge")
    fields.setdefault(
        "generation_params",
        {"positive_prompt": "a lighthouse", "width": 512, "height": 512, "steps": 4, "seed": 1},
    )
    fields.setdefault("created_at", now)
    fields.setdefault("updated_at", fields["created_at"])
    if status != Status.PENDING:
        fields.setdefault("started_at", now)
    if status in FINAL:
        fields.setdefault("finished_at", now)
    return Job.objects.create(status=status, **fields)


def attempt(of: Job | None = None, **fields: Any) -> Attempt:
    """Make an open attempt (of a processing job, unless told); `ended_at` closes it."""
    parent = of or job(Status.PROCESSING, server_alias=fields.get("server_alias", "a"))
    fields.setdefault("server_alias", parent.server_alias or "a")
    fields.setdefault("api_key_prefix", parent.api_key_id or "")
    fields.setdefault("number", parent.attempts.count() + 1)
    fields.setdefault("lane", uuid.uuid4())
    fields.setdefault("created_at", timezone.now() - timedelta(seconds=1))
    return Attempt.objects.create(job=parent, **fields)


def server(alias: str = "a", **fields: Any) -> Server:
    """Make a healthy server that nothing listens for: port 9 is "discard"."""
    fields.setdefault("url", "http://127.0.0.1:9")
    fields.setdefault("app_type", "forge")
    fields.setdefault("health", Health.HEALTHY)
    password = fields.pop("password", "")
    row = Server(alias=alias, **fields)
    row.password = password
    row.save()
    return row


def png(width: int = 8, height: int = 8, color: str = "red") -> bytes:
    """Return a real PNG."""
    stream = io.BytesIO()
    PillowImage.new("RGB", (width, height), color).save(stream, "PNG")
    return stream.getvalue()


def image(of: Job | None = None, content: bytes | None = None, **fields: Any) -> Image:
    """Make a picture with its file, belonging to whom its job belongs."""
    parent = of or job(Status.COMPLETED)
    stored = image_store().put(content or png())
    fields.setdefault("index", parent.images.count())
    fields.setdefault("attempt", uuid.uuid4())
    fields.setdefault("format", "png")
    fields.setdefault("width", 8)
    fields.setdefault("height", 8)
    fields.setdefault("server_alias", parent.server_alias or "a")
    fields.setdefault("app_type", parent.app_type)
    fields.setdefault("owner_id", parent.owner_id)
    fields.setdefault("api_key_prefix", parent.api_key_id or "")
    fields.setdefault("created_at", timezone.now())
    return Image.objects.create(sha256=stored.sha256, bytes=stored.bytes, job=parent, **fields)
