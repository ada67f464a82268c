"""An extension's folder as a project has it, and who asks for it."""

from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import Api, api, member
from tests.signed_in import browser, staff_browser

__all__ = ["Api", "api", "browser", "folder", "member", "staff_browser"]

FILES = {
    "README.md": "Read me.",
    "install.py": "",
    "scripts/mobilesd_extension.py": "import mobilesd_forge.host",
    "javascript/mobilesd.js": "// fills the page",
    "mobilesd_forge/__init__.py": "",
    "mobilesd_forge/version.py": 'USER_AGENT = "x"\nVERSION = "1.2.3"\n',
}
# What running and testing it leaves there.
LEFTOVERS = [
    "data/secret",
    "mobilesd_forge/__pycache__/host.cpython-310.pyc",
    "mobilesd_forge/old.pyc",
    "mobilesd_forge/.host.py.swp",
    ".git/config",
    "tests/test_host.py",
    "node_modules/a/index.js",
]


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    """The extension's folder, with all that running it leaves behind."""
    root = tmp_path / "extensions" / "forge"
    for name, text in {**FILES, **dict.fromkeys(LEFTOVERS, "left over")}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (root / "mobilesd_forge" / "linked.py").symlink_to("/etc/hostname")
    settings.EXTENSIONS_DIR = root.parent
    return root
