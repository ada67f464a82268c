"""Where Forge finds the extension. Forge looks for its class among this file's names."""

import sys
from pathlib import Path

# Forge takes the folder off the path again when it has loaded this file.
_FOLDER = str(Path(__file__).resolve().parents[1])
if _FOLDER not in sys.path:
    sys.path.insert(0, _FOLDER)

from mobilesd_forge import host  # noqa: E402

Script = host.Script
host.register()
