"""Events go one way: `jobs.events` writes rows, `jobs.live.relay` hands them out (design §9)."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
APPS = ("apikeys", "dispatch", "gallery", "jobs", "mobilesd", "models_catalog")


def _files_with(pattern: str) -> set[str]:
    return {
        str(file.relative_to(ROOT))
        for app in APPS
        for file in (ROOT / app).rglob("*.py")
        if re.search(pattern, file.read_text(encoding="utf-8"))
    }


@pytest.mark.parametrize(
    ("pattern", "owner"),
    [
        (r"\.take\(message\)", "jobs/live/relay.py"),
        (r"\b(Live)?Event\.objects\.(bulk_)?(a?create|get_or_create)\(", "jobs/events.py"),
    ],
)
def test_only_its_owner_does_it(pattern: str, owner: str) -> None:
    assert _files_with(pattern) == {owner}


def test_nobody_else_builds_an_event_row_by_hand() -> None:
    assert _files_with(r"\b(Live)?Event\(\s*kind") <= {"jobs/events.py"}
