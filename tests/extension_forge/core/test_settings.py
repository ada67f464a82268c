"""What Forge's options become, and which addresses are taken."""

import json
from pathlib import Path
from typing import Any

import pytest
from mobilesd_forge.settings import BadAddress, Settings, checked_url, default_url, read


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("http://192.168.1.20:8000", "http://192.168.1.20:8000"),
        (" https://sd.example/ ", "https://sd.example"),
        ("box.lan:8000", "http://box.lan:8000"),
        ("http://[fe80::1]:8000", "http://[fe80::1]:8000"),
        ("HTTP://Box:8000", "http://box:8000"),
    ],
)
def test_an_address_is_taken_as_people_type_it(typed: str, meant: str) -> None:
    assert checked_url(typed) == meant


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("", "Enter the address"),
        ("ftp://box", "http:// or https://"),
        ("http://anna:secret@box", "no user and no password"),
        ("http://box:8000/jobs", "ends with its port"),
        ("http://box?x=1", "ends with its port"),
        ("http://", "can't be read"),
        ("http://box:notaport", "can't be read"),
        ("http://bo x", "can't be read"),
        ("http://[::1", "can't be read"),
    ],
)
def test_what_can_be_no_address_is_refused_with_a_reason(typed: str, says: str) -> None:
    with pytest.raises(BadAddress) as refused:
        checked_url(typed)
    assert says in str(refused.value)
    assert "secret" not in str(refused.value)


def test_options_are_read() -> None:
    options = {
        "mobilesd_url": " http://box ",
        "mobilesd_target": "gpu",
        "mobilesd_priority": 2,
        "mobilesd_lane": "background",
    }
    assert read(options.get) == Settings("http://box", "gpu", 2, "background")


@pytest.mark.parametrize("broken", [None, [], {}, float("nan"), True, "x" * 9])
def test_a_broken_option_becomes_the_default(broken: Any) -> None:
    found = read(lambda name: broken if name != "mobilesd_url" else None, default="http://box")
    assert (found.url, found.priority, found.lane) == ("http://box", 5, "interactive")


def test_any_server_is_no_target() -> None:
    assert read({"mobilesd_target": "any"}.get).target == ""


@pytest.mark.parametrize(("set_to", "counts"), [(0, 1), (11, 10), (7.0, 7), (float("inf"), 10)])
def test_a_priority_is_kept_within_its_bounds(set_to: float, counts: int) -> None:
    assert read({"mobilesd_priority": set_to}.get).priority == counts


def test_the_address_that_came_with_the_zip_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "mobilesd_server.json").write_text(json.dumps({"url": "http://box:8000"}))
    assert default_url(tmp_path) == "http://box:8000"


@pytest.mark.parametrize("content", ["", "[]", '{"url": 5}', '{"url": "ftp://x"}', "\udcff"])
def test_an_address_file_that_is_broken_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "mobilesd_server.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert default_url(tmp_path) == ""
