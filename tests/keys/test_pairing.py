"""The QR code of a key holds what docs/api/extensions.md says, and pairing works by it."""

import json
import re

import pytest
import segno

from tests import factories
from tests.api.conftest import Api
from tests.processes.installation import ROOT

pytestmark = pytest.mark.django_db

PAGE = (ROOT / "docs/api/extensions.md").read_text(encoding="utf-8")
SECTION = PAGE.split("\n## Pairing by QR code\n")[1].split("\n## ")[0]
(EXAMPLE,) = re.findall(r"^```json\n(.*?)^```$", SECTION, re.M | re.S)


@pytest.fixture
def codes(monkeypatch) -> list[str]:
    """The texts of all codes that were shown."""
    held: list[str] = []
    make = segno.make
    monkeypatch.setattr("segno.make", lambda text, **o: held.append(text) or make(text, **o))
    return held


def _made(browser) -> None:
    form = {"name": "phone", "scopes": ["jobs:read"], "rate_limit": "120", "expires": ""}
    assert browser.post("/keys/new", form).status_code == 201


def _rotated(browser) -> None:
    row, _ = factories.key(browser.user)
    assert browser.post(f"/keys/{row.prefix}/rotate", {"grace": "0"}).status_code == 200


@pytest.mark.parametrize("show", [_made, _rotated])
def test_the_code_has_the_documented_fields(browser, member, codes, show):
    browser.user = member
    show(browser)
    (text,) = codes
    held = json.loads(text)
    assert "\n" not in text
    assert list(held) == list(json.loads(EXAMPLE))
    assert all(isinstance(value, str) for value in held.values())
    assert {f"`{name}`" for name in held} == set(re.findall(r"^\| (`\w+`) \|", SECTION, re.M))


@pytest.mark.parametrize("public", ["", "https://sd.example.com"])
def test_who_does_as_documented_is_paired(browser, settings, codes, public):
    settings.PUBLIC_URL = public
    _made(browser)
    held = json.loads(codes[0])
    assert re.fullmatch(r"https?://[^/]+", held["url"])
    assert held["url"] == (public or "http://testserver")
    prefix, dot, secret = held["token"].partition(".")
    assert prefix and dot and secret
    answer = Api(held["token"]).get("/api/v2/whoami")
    assert (answer.status_code, answer.json()["name"]) == (200, "phone")
