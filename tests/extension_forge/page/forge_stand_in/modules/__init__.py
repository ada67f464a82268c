"""Stands in for Forge's package of this name: as much of it as an extension sees."""
