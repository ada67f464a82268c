"""Stands in for Forge's package of this name."""
