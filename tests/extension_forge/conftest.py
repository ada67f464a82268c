"""The extension's folder on the path, as Forge puts it there."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "extensions" / "forge"))
