"""Who imports whom, who knows which backend, and who alone may do what (design §3, §6, §9)."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).resolve().parents[1]
APPS = ("apikeys", "jobs", "gallery", "models_catalog", "dispatch")
LEAVES = {
    "env",
    "errors",
    "http",
    "logs",
    "commits",
    "rows",
    "schema",
    "sqlite",
    "search",
    "sealed",
    "storage",
}
BACKENDS = re.compile(r"(?<![a-z])(forge(?!t)|comfyui)", re.IGNORECASE)
# Where a backend's name is the point: its dispatcher, its fake, and the setting that lists them.
ABOUT_A_BACKEND = ("dispatch/dispatchers/", "dispatch/fakes/", "mobilesd/settings.py")
# Names of management commands, and a field that old clients expect.
ALLOWED_WORDS = {"fake_forge", "fake_comfyui", "forge_session_hash"}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for package in ("mobilesd", *APPS):
        for file in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in file.parts:
                yield str(file.relative_to(ROOT)), ast.parse(file.read_text(encoding="utf-8"))


SOURCES = dict(sources())


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def words(tree: ast.Module) -> Iterator[str]:
    """Yield the names and the texts of a module, without its docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in docstrings:
                yield node.value
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
    yield from imported(tree)


def test_the_contracts_of_pyproject_are_kept(capsys):
    kept = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert kept == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_every_module_of_the_project_is_a_leaf_or_closed_to_the_apps():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (closed,) = [
        set(contract["forbidden_modules"])
        for contract in contracts["contracts"]
        if contract["name"].startswith("Apps use only the leaf")
    ]
    modules = {
        path.stem
        for path in (ROOT / "mobilesd").iterdir()
        if path.stem not in {"__init__", "__pycache__"}
        and (path.suffix == ".py" or any(path.rglob("*.py")))
    }
    assert {f"mobilesd.{name}" for name in modules - LEAVES} <= closed


def test_no_app_reaches_up_by_name():
    assert not [
        path
        for path, tree in SOURCES.items()
        if path.split("/")[0] in APPS and "get_model" in set(words(tree))
    ]


def test_only_dispatchers_and_fakes_know_the_backends():
    found = {
        path: {word for word in words(tree) if BACKENDS.search(word)} - ALLOWED_WORDS
        for path, tree in SOURCES.items()
        if not path.startswith(ABOUT_A_BACKEND) and "/fake_" not in path
    }
    assert {path: known for path, known in found.items() if known} == {}


def test_no_page_knows_a_backend():
    pages = [path for folder in ("templates", "static") for path in (ROOT / folder).rglob("*")]
    assert not [
        path
        for path in pages
        if path.suffix in {".html", ".txt", ".js", ".css"}
        and BACKENDS.search(path.read_text(encoding="utf-8"))
    ]


def test_sqlite_is_loaded_in_one_place_only():
    libraries = {"sqlite3", "pysqlite3", "_sqlite3"}
    assert not [
        path
        for path, tree in SOURCES.items()
        if libraries & {name.split(".")[0] for name in imported(tree)}
    ]


def test_events_have_no_second_way_around_the_relay():
    assert not [
        path
        for path, tree in SOURCES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".group_send")
    ]


def inserts_events(tree: ast.Module) -> bool:
    """Tell whether a module makes Event or LiveEvent rows, by any of Django's ways."""
    if not any(name.startswith("jobs.models") for name in imported(tree)):
        return False
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if re.fullmatch(r"(models\.)?(Live)?Event", called):
            return True
        if re.search(r"(Live)?Event\.objects\b.*create", called):
            return True
    return False


def test_event_rows_are_inserted_in_one_place_only():
    assert {path for path, tree in SOURCES.items() if inserts_events(tree)} == {"jobs/events.py"}
