"""The pretended server of `up --demo`, for newcomers without a GPU (design §10)."""

from django.conf import settings
from django.db import transaction

from dispatch import services
from dispatch.models import Health, Server
from jobs.models import Attempt
from mobilesd.supervisor.network import free_port

__all__ = ["ALIAS", "port_to_serve", "register", "retire"]

ALIAS = "demo"


def register() -> bool:
    """Make or refresh the demo's row if there is no other server; return whether it is wanted."""
    with transaction.atomic():
        if Server.objects.filter(demo=False).exists():
            retire()
            return False
        Server.objects.update_or_create(
            alias=ALIAS,
            defaults={
                "demo": True,
                "enabled": True,
                "url": f"http://127.0.0.1:{free_port()}",
                "app_type": settings.DEFAULT_APP_TYPE,
                "description": "Draws placeholder pictures, so that you can try everything.",
                # A fresh one, at another port: what was known of the last one is not true of it.
                "health": Health.UNKNOWN,
                "health_text": "",
                "failures_in_row": 0,
                "checked_at": None,
                "probe_at": None,
                "loaded_checkpoint": "",
                "poisoned_by": "",
            },
        )
    return True


def retire() -> None:
    """Disable the demo's row: nothing serves it in this start."""
    with transaction.atomic():
        if Server.objects.filter(demo=True, enabled=True).exists():
            services.retire_demo()


def port_to_serve() -> int | None:
    """Return the port at which the demo is to answer, or None when it is not wanted.

    A disabled demo still ends what it has begun: its lane must see how each attempt ends.
    """
    row = Server.objects.filter(demo=True).first()
    if row is None:
        return None
    if not row.enabled:
        left = Attempt.objects.filter(server_alias=row.alias, cleared_at__isnull=True)
        if not left.exists():
            return None
    return int(row.url.rsplit(":", 1)[1])
