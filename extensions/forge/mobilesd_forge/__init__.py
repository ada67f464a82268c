"""The Forge extension of MobileSD: plain Python; only the files named host* know Forge."""
