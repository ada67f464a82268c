"""What the servers have, over REST: v1's checkpoints, loras, samplers and so on."""

from collections.abc import Sequence

from rest_framework.request import Request
from rest_framework.response import Response

from dispatch import services
from dispatch.api.entries import Entry, merge_models, merge_names
from dispatch.inventory import ServerInventory
from dispatch.known import inventories
from dispatch.models import Server
from mobilesd.http.views import ApiView

__all__ = [
    "Checkpoints",
    "Embeddings",
    "Loras",
    "Samplers",
    "Schedulers",
    "Upscalers",
    "Vaes",
]

# Files on the servers need the scope of models; what the servers can do needs that of servers.
_FILES = "models:read"
_ABILITIES = "servers:read"

_Lists = Sequence[tuple[str, ServerInventory]]  # by alias


def _vaes(inventory: ServerInventory) -> list[str]:
    others = set(inventory.text_encoders)
    return [name for name in inventory.modules if name not in others]


class _List(ApiView):
    """What the enabled servers have, or the one that `server` names, enabled or not."""

    name: str  # in the answer, and of the inventory's list

    def merge(self, lists: _Lists) -> Sequence[Entry]:
        """Return one list out of those of the servers."""
        return merge_names((alias, getattr(found, self.name)) for alias, found in lists)

    def get(self, request: Request) -> Response:
        servers = _servers(request.query_params.get("server", "").replace("\x00", ""))
        lists = [(servers[pk], found) for pk, found in inventories(servers).items()]
        entries = [entry.emit() for entry in self.merge(lists)]
        return Response({"success": True, "count": len(entries), self.name: entries})


def _servers(alias: str) -> dict[int, str]:
    if alias:
        server = services.find_server(alias)
        return {server.pk: server.alias}
    return dict(Server.objects.filter(enabled=True).values_list("pk", "alias"))


class Checkpoints(_List):
    """List the checkpoints of the servers, each with the servers that have it."""

    required_scopes = {"GET": _FILES}
    name = "checkpoints"

    def merge(self, lists: _Lists) -> Sequence[Entry]:
        return merge_models((alias, found.checkpoints) for alias, found in lists)


class Loras(_List):
    """List the LoRAs of the servers, each with the servers that have it."""

    required_scopes = {"GET": _FILES}
    name = "loras"


class Upscalers(_List):
    """List the upscalers of the servers, each with the servers that have it."""

    required_scopes = {"GET": _FILES}
    name = "upscalers"


class Vaes(_List):
    """List the VAEs of the servers, each with the servers that have it."""

    required_scopes = {"GET": _FILES}
    name = "vaes"

    def merge(self, lists: _Lists) -> Sequence[Entry]:
        return merge_names((alias, _vaes(found)) for alias, found in lists)


class Embeddings(_List):
    """List the embeddings of the servers, each with the servers that have it."""

    required_scopes = {"GET": _FILES}
    name = "embeddings"


class Samplers(_List):
    """List the samplers of the servers, each with the servers that have it."""

    required_scopes = {"GET": _ABILITIES}
    name = "samplers"


class Schedulers(_List):
    """List the schedulers of the servers, each with the servers that have it."""

    required_scopes = {"GET": _ABILITIES}
    name = "schedulers"
