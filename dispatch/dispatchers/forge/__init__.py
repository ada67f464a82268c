"""Forge (Stable Diffusion WebUI Forge), driven by what a real one answered (contracts/forge.md)."""

from dispatch.dispatchers.forge.dispatcher import ForgeDispatcher

__all__ = ["ForgeDispatcher"]
