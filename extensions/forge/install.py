"""Nothing to install: Forge runs this at its start, and has all that the extension needs."""
