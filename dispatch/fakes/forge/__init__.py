"""A Forge server that draws placeholder pictures and otherwise answers as the recordings do."""

from dispatch.fakes.forge.inventory import Checkpoint, Lora
from dispatch.fakes.forge.server import FakeForge

__all__ = ["Checkpoint", "FakeForge", "Lora"]
