"""What the servers have: stored by health checks, merged for the pickers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from django.utils import timezone

from dispatch.models import Inventory, Server
from models_catalog.resolve import KnownModel, ModelIndex

__all__ = ["Listed", "MergedInventory", "ServerInventory", "load", "merged", "save"]


@dataclass(frozen=True)
class ServerInventory:
    """What one server lists; `selected` is the checkpoint that a job without one gets.

    `lora_aliases` are other names that prompts may call LoRAs by. `modules` are VAEs and text
    encoders; `text_encoders` names those that are no VAEs. `latent_upscalers` of the upscalers
    work within a generation only, not on a finished picture. `styles` and `control_models` are
    None where the server did not say.
    """

    checkpoints: tuple[KnownModel, ...] = ()
    loras: tuple[str, ...] = ()
    lora_aliases: tuple[str, ...] = ()
    samplers: tuple[str, ...] = ()
    schedulers: tuple[str, ...] = ()
    upscalers: tuple[str, ...] = ()
    latent_upscalers: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    text_encoders: tuple[str, ...] = ()
    embeddings: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    styles: tuple[str, ...] | None = None
    control_models: tuple[str, ...] | None = None
    selected: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def index(self) -> ModelIndex:
        """Return the checkpoints by name: building it costs more than a look-up."""
        return ModelIndex(self.checkpoints)

    @cached_property
    def lora_keys(self) -> frozenset[str]:
        """Return the LoRAs as prompts may write them: without regard to case."""
        return frozenset(name.lower() for name in (*self.loras, *self.lora_aliases))

    @cached_property
    def script_keys(self) -> frozenset[str]:
        """Return the scripts as requests may write them: without regard to case."""
        return frozenset(name.lower() for name in self.scripts)

    def lacks_script(self, name: str) -> bool:
        """Tell whether the server is known not to have a script; one that lists none is not."""
        return bool(self.script_keys) and name.lower() not in self.script_keys

    @property
    def image_upscalers(self) -> tuple[str, ...]:
        """Return the upscalers that work on a finished picture."""
        return tuple(name for name in self.upscalers if name not in self.latent_upscalers)

    def image_upscaler(self, name: str) -> str:
        """Return an upscaler of finished pictures in the server's own spelling, "" if unknown."""
        wanted = name.strip().lower()
        return next((known for known in self.image_upscalers if known.lower() == wanted), "")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ServerInventory":
        """Read what `save` wrote."""
        return cls(
            checkpoints=tuple(
                KnownModel(
                    name=row["name"],
                    short_hash=row.get("short_hash", ""),
                    sha256=row.get("sha256", ""),
                    other_names=tuple(row.get("other_names", ())),
                )
                for row in data.get("checkpoints", ())
            ),
            selected=data.get("selected", ""),
            aliases=dict(data.get("aliases", {})),
            **{name: tuple(data.get(name, ())) for name in _LISTS},
            styles=_known(data, "styles"),
            control_models=_known(data, "control_models"),
        )


_LISTS = (
    *("loras", "lora_aliases", "samplers", "schedulers", "upscalers", "latent_upscalers"),
    *("modules", "text_encoders", "embeddings", "scripts"),
)


def _known(data: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    return None if data.get(name) is None else tuple(data[name])


@dataclass(frozen=True)
class Listed:
    """A name and the aliases of the servers that have it."""

    name: str
    servers: tuple[str, ...]


@dataclass(frozen=True)
class MergedInventory:
    """The union over servers, in the order in which the servers list things."""

    checkpoints: Sequence[Listed] = ()
    loras: Sequence[Listed] = ()
    samplers: Sequence[Listed] = ()
    schedulers: Sequence[Listed] = ()
    upscalers: Sequence[Listed] = ()
    image_upscalers: Sequence[Listed] = ()


def save(server: Server, inventory: ServerInventory) -> bool:
    """Store a server's inventory; return whether it changed."""
    data = asdict(inventory)
    old = Inventory.objects.filter(server=server).values_list("data", flat=True).first()
    new = ServerInventory.from_json(data)
    if old is not None and ServerInventory.from_json(old) == new:
        return False
    Inventory.objects.update_or_create(
        server=server, defaults={"data": data, "updated_at": timezone.now()}
    )
    return True


def load(server: Server) -> ServerInventory | None:
    """Return what the server listed last, or None if it never did."""
    data = Inventory.objects.filter(server=server).values_list("data", flat=True).first()
    return None if data is None else ServerInventory.from_json(data)


def _union(pairs: Iterable[tuple[str, Sequence[str]]]) -> list[Listed]:
    servers: dict[str, list[str]] = {}
    for alias, names in pairs:
        for name in names:
            servers.setdefault(name, []).append(alias)
    return [Listed(name, tuple(aliases)) for name, aliases in servers.items()]


def merged(app_type: str | None = None) -> MergedInventory:
    """Return what the enabled servers (of one app type) have, each entry with its servers."""
    rows = Inventory.objects.filter(server__enabled=True).select_related("server")
    if app_type:
        rows = rows.filter(server__app_type=app_type)
    known = [
        (r.server.alias, ServerInventory.from_json(r.data)) for r in rows.order_by("server_id")
    ]
    return MergedInventory(
        checkpoints=_union((a, [c.name for c in i.checkpoints]) for a, i in known),
        loras=_union((a, i.loras) for a, i in known),
        samplers=_union((a, i.samplers) for a, i in known),
        schedulers=_union((a, i.schedulers) for a, i in known),
        upscalers=_union((a, i.upscalers) for a, i in known),
        image_upscalers=_union((a, i.image_upscalers) for a, i in known),
    )
