"""Where Forge finds the extension. Forge looks for its class among this file's names."""

import logging
import sys
from pathlib import Path

# Forge takes the folder off the path again when it has loaded this file.
_FOLDER = str(Path(__file__).resolve().parents[1])
if _FOLDER not in sys.path:
    sys.path.insert(0, _FOLDER)

from mobilesd_forge import host  # noqa: E402

# A second copy is given the module of the first, and would put all of it on the page once more.
if Path(host.__file__).resolve().parents[1] == Path(_FOLDER):
    Script = host.Script
    host.register(Path(__file__).absolute().parents[1])
else:
    logging.getLogger(__name__).warning(
        "MobileSD: a second copy of the extension in %s is ignored; remove one of the two.", _FOLDER
    )
