"""No answer can carry a code that is not in the catalogue, and no code of it is unused."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from mobilesd.errors import CATALOGUE
from tests.processes.installation import ROOT

PACKAGES = ("mobilesd", "apikeys", "jobs", "models_catalog", "gallery", "dispatch")
# What takes a code, and how: by this keyword, or at this place.
RAISERS = {
    "Problem": "error",
    "InvalidInput": "error",
    "NotFound": "error",
    "Conflict": "error",
    "Unavailable": "error",
    "bad_field": "error",
    "AuthenticationFailed": "code",
    "PermissionDenied": "code",
}
# Not built yet; the contract names it.
LATER = {"model_not_found"}
# A job that lacks a model is taken with a warning, and waits until a server has it: refusing it
# would lose work. Programs may know the code; nothing here may answer it.
RESERVED = {"preflight_failed"}
# DRF's own, and what Conflict is unless told.
IMPLIED = {"not_acceptable", "method_not_allowed", "job_operation_conflict"}


def modules() -> list[Path]:
    found = [file for name in PACKAGES for file in sorted((ROOT / name).rglob("*.py"))]
    return [file for file in found if "fakes" not in file.parts and "migrations" not in file.parts]


def name_of(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def constants(node: ast.expr) -> Iterator[str]:
    """Give the texts that an expression can be: of both sides of an `if … else`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from constants(node.body)
        yield from constants(node.orelse)


def raised(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Give each code that a module raises, with its line."""
    subclasses = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and {name_of(base) for base in node.bases} & set(RAISERS)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            keyword = {**dict.fromkeys(subclasses, "error"), **RAISERS}.get(
                name_of(node.func), "no keyword"
            )
            found = [given.value for given in node.keywords if given.arg == keyword]
            if name_of(node.func) == "_refuse":  # apikeys.authentication: the code comes first
                found += node.args[:1]
            for value in found:
                yield from ((node.lineno, code) for code in constants(value))
        elif isinstance(node, ast.ClassDef) and node.name in {*subclasses, *RAISERS}:
            for line in node.body:
                if isinstance(line, ast.Assign) and name_of(line.targets[0]) == "error":
                    yield from ((line.lineno, code) for code in constants(line.value))


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(ROOT)))
def test_every_code_that_is_raised_is_in_the_catalogue(file):
    unknown = [
        f"line {line}: {code}"
        for line, code in raised(ast.parse(file.read_text(encoding="utf-8")))
        if code and code not in CATALOGUE
    ]
    assert not unknown


def test_the_search_finds_what_it_should():
    code = """
class Mine(Problem):
    error = "one"
def view():
    raise Problem("x", error="two" if x else "three")
    raise exceptions.AuthenticationFailed("x", code="four")
    raise bad_field("a", "b", error="five")
    raise Mine("x", error="six")
    raise _refuse("seven", "x")
    greet(error="not a code")
"""
    words = ["one", "two", "three", "four", "five", "six", "seven"]
    assert sorted(code for _, code in raised(ast.parse(code))) == sorted(words)


def test_every_code_of_the_catalogue_is_used():
    source = "".join(
        file.read_text(encoding="utf-8")
        for file in modules()
        if file.name != "errors.py" and "schema" not in str(file)
    )
    unused = {code for code in CATALOGUE if f'"{code}"' not in source}
    assert unused <= LATER | RESERVED | IMPLIED
    assert unused >= RESERVED


def test_every_code_is_documented_somewhere(schema):
    documented = {
        code
        for _, _, operation in schema.operations()
        for status, answer in operation["responses"].items()
        if status >= "400"
        for media in answer.get("content", {}).values()
        for code in media.get("examples", {})
    }
    # Answers to requests that reach no operation, and a refusal of the Servers page.
    nowhere = {"method_not_allowed", "request_timeout", "server_not_ready"}
    assert set(CATALOGUE) - documented <= LATER | RESERVED | nowhere


@pytest.mark.parametrize("code", sorted(RESERVED))
def test_a_code_that_is_never_answered_is_said_to_be_reserved(code):
    assert "Reserved: this version" in CATALOGUE[code].meaning


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_code_says_what_it_means_and_what_to_do(code):
    kind = CATALOGUE[code]
    assert 400 <= kind.status < 600
    for text in (kind.meaning, kind.hint):
        assert text[0].isupper() or text[0] == "`" or text.startswith("GET ")
        assert text.endswith(".")
        assert "|" not in text  # it stands in a table
