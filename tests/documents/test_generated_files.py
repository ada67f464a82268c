"""The files of docs/api that are made from the code: up to date, and whole."""

import json

import pytest
from django.core.management import CommandError, call_command

from mobilesd.errors import CATALOGUE
from mobilesd.schema.postman import collection
from mobilesd.schema.tour import STREAMS, TOUR
from tests.processes.installation import ROOT

FOLDER = ROOT / "docs/api"


def test_the_files_are_up_to_date():
    call_command("api_docs", "--check")


def test_one_that_is_out_of_date_is_noticed_and_written_again(settings, tmp_path, capsys):
    settings.BASE_DIR = tmp_path
    with pytest.raises(CommandError, match="out of date"):
        call_command("api_docs", "--check")
    assert not (tmp_path / "docs").exists()
    call_command("api_docs")
    call_command("api_docs", "--check")
    (tmp_path / "docs/api/errors.md").write_text("old")
    with pytest.raises(CommandError, match=r"errors\.md"):
        call_command("api_docs", "--check")


def test_the_page_of_errors_has_each_code_with_its_status_meaning_and_hint():
    page = (FOLDER / "errors.md").read_text(encoding="utf-8")
    for code, kind in CATALOGUE.items():
        section = page.split(f"\n## {kind.status}\n")[1].split("\n## ")[0]
        assert f"| `{code}` | {kind.meaning} | {kind.hint} |" in section


def test_every_operation_is_in_the_collection(schema):
    visited = [step.operation for steps in (*TOUR.values(), STREAMS) for step in steps]
    assert set(visited) == {operation["operationId"] for _, _, operation in schema.operations()}


def _requests(items):
    for item in items:
        if "item" in item:
            yield from _requests(item["item"])
        else:
            yield item


def test_each_request_of_the_collection_is_checked_and_holds_no_key():
    made = collection()
    known = {entry["key"]: entry["value"] for entry in made["variable"]}
    assert known["apiKey"] == ""
    for item in _requests(made["item"]):
        script = "\n".join(item["event"][0]["script"]["exec"])
        assert "pm.response.code" in script
        for name in json.dumps(item["request"]).split("{{")[1:]:
            assert name.partition("}}")[0] in known
