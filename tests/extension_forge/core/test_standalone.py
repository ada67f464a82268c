"""The extension needs nothing but Python 3.10, and what every Forge has."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "extensions" / "forge"
FILES = sorted(FOLDER.rglob("*.py"))
OF_EVERY_FORGE = {"requests", "urllib3", "PIL", "numpy"}
# Forge itself: its forks differ, so that only the files that look before they use may know it.
FORGE = {"gradio", "modules", "modules_forge", "backend", "ldm_patched", "torch"}
OF_ITS_WEB_SERVER = {"fastapi", "starlette"}


def imported(file: Path) -> Iterator[str]:
    """Yield the packages that a file imports, wherever in it."""
    tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 10))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "Forge loads scripts without a package"
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(FOLDER)))
def test_a_file_imports_only_what_is_there(file: Path) -> None:
    allowed = {*sys.stdlib_module_names, "mobilesd_forge", *OF_EVERY_FORGE, *OF_ITS_WEB_SERVER}
    if file.name.startswith("host") or file.parent.name == "scripts":
        allowed |= FORGE
    assert set(imported(file)) <= allowed
