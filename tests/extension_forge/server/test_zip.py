"""GET /extensions/forge.zip: the extension with this MobileSD's address in it."""

import io
import json
import os
import re
import zipfile
from ipaddress import ip_network
from pathlib import Path

import pytest
from django.conf import settings as project
from django.test import Client

from dispatch.extension import SERVER_FILE, pack, version_of
from mobilesd.http.addresses import is_own
from tests import factories
from tests.api.conftest import Api
from tests.extension_forge.server.conftest import FILES

pytestmark = pytest.mark.django_db
ZIP = "/extensions/forge.zip"


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def told_address(answer) -> str:
    return json.loads(unzipped(answer.content)[f"mobilesd-forge/{SERVER_FILE}"])["url"]


def test_it_holds_the_extension_and_nothing_that_running_it_left_behind(folder, api):
    answer = api.get(ZIP)
    assert answer.status_code == 200
    files = unzipped(answer.content)
    assert set(files) == {f"mobilesd-forge/{name}" for name in (*FILES, SERVER_FILE)}
    assert files["mobilesd-forge/README.md"] == b"Read me."
    assert json.loads(files[f"mobilesd-forge/{SERVER_FILE}"]) == {"url": "http://testserver"}
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"] == (
        'attachment; filename="mobilesd-forge-1.2.3.zip"'
    )
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_no_key_is_in_it(folder, member):
    row, token = factories.key(member)
    content = b"".join(unzipped(Api(token).get(ZIP).content).values())
    assert row.prefix.encode() not in content
    assert token.partition(".")[2].encode() not in content


def test_the_same_files_and_address_are_the_same_bytes(folder):
    first = pack("forge", "http://sd:8000")
    with zipfile.ZipFile(io.BytesIO(first.content)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    for file in folder.rglob("*.py"):
        os.utime(file, (1, 1), follow_symlinks=False)
    assert pack("forge", "http://sd:8000") == first
    assert pack("forge", "http://sd:8001").etag != first.etag
    (folder / "README.md").write_text("Read me again.")
    assert pack("forge", "http://sd:8000").etag != first.etag


def test_who_has_it_already_is_told_so(folder, api):
    first = api.get(ZIP)
    etag = first.headers["ETag"]
    again = api.get(ZIP, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == etag
    assert "no-cache" in again.headers["Cache-Control"]
    assert "private" in again.headers["Cache-Control"]
    head = api.head(ZIP)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(first.content))
    assert head.headers["ETag"] == etag


def test_signed_in_people_and_keys_without_scopes_get_it_and_nobody_else(folder, browser, member):
    assert browser.get(ZIP).status_code == 200
    assert Api(factories.key(member, ["models:read"])[1]).get(ZIP).status_code == 200
    refused = Client().get(ZIP)
    assert (refused.status_code, refused.json()["error"]) == (401, "authentication_required")
    assert Api(factories.key(member)[1]).post(ZIP).status_code == 405


@pytest.mark.parametrize("accept", ["application/zip", "text/html,*/*;q=0.8", "image/png"])
def test_it_is_a_zip_whatever_accept_says(folder, browser, accept):
    answer = browser.get(ZIP, headers={"Accept": accept})
    assert answer.headers["Content-Type"] == "application/zip"


@pytest.mark.parametrize("name", ["comfyui", "..", "forge2", "data"])
def test_what_there_is_no_extension_for_is_not_there(folder, api, name):
    answer = api.get(f"/extensions/{name}.zip")
    assert answer.status_code == 404


def test_a_folder_that_is_no_app_types_is_never_packed(folder, api):
    (folder.parent / "private").mkdir()
    (folder.parent / "private" / "file").write_text("x")
    assert api.get("/extensions/private.zip").status_code == 404


def test_an_installation_without_it_says_so(api, settings, tmp_path):
    settings.EXTENSIONS_DIR = tmp_path
    answer = api.get(ZIP)
    assert answer.status_code == 404
    assert answer.json()["message"] == "This MobileSD has no extension for forge."


def test_the_address_is_the_public_one_where_that_is_set(folder, api, settings):
    settings.PUBLIC_URL = "https://sd.example.com"
    assert told_address(api.get(ZIP)) == "https://sd.example.com"


def test_the_address_is_that_of_the_request(folder, api, settings):
    settings.ALLOWED_HOSTS = ["192.168.1.20", "[fd00::5]"]
    assert told_address(api.get(ZIP, headers={"Host": "192.168.1.20:8000"})) == (
        "http://192.168.1.20:8000"
    )
    assert told_address(api.get(ZIP, headers={"Host": "[fd00::5]:8000"})) == "http://[fd00::5]:8000"
    assert api.get(ZIP, headers={"Host": "evil.example.com"}).status_code == 400


@pytest.mark.parametrize(
    ("peer", "proto", "host", "address"),
    [
        ("10.0.0.1", "https", "sd.example.com", "https://sd.example.com"),
        ("10.0.0.1", "https", "sd.example.com:8443", "https://sd.example.com:8443"),
        ("10.0.0.1", "HTTPS, http", "sd.example.com, inner", "https://sd.example.com"),
        ("10.0.0.1", "https", "", "https://testserver"),
        # Not one of our names, or more than a name.
        ("10.0.0.1", "https", "evil.example.com", "https://testserver"),
        ("10.0.0.1", "https", "x@sd.example.com", "https://testserver"),
        ("10.0.0.1", "https", "sd.example.com/evil", "https://testserver"),
        ("10.0.0.1", "https", "sd.example.com:x", "https://testserver"),
        ("10.0.0.1", "javascript", "sd.example.com", "http://sd.example.com"),
        # Not one of our proxies.
        ("192.168.1.7", "https", "sd.example.com", "http://testserver"),
    ],
)
def test_a_trusted_proxy_says_what_it_was_asked_for(
    folder, member, settings, peer, proto, host, address
):
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/8")]
    settings.ALLOWED_HOSTS = ["testserver", "sd.example.com"]
    headers = {"X-Forwarded-Proto": proto, "X-Forwarded-Host": host}
    client = Api(factories.key(member)[1], REMOTE_ADDR=peer)
    assert told_address(client.get(ZIP, headers=headers)) == address


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("http://localhost:8000", True),
        ("http://127.0.0.1", True),
        ("http://127.1.2.3:8000", True),
        ("http://[::1]:8000", True),
        ("http://192.168.1.20:8000", False),
        ("https://localhost.example.com", False),
        ("http://[", False),
    ],
)
def test_an_address_of_this_computer_alone_is_known(address, own):
    assert is_own(address) is own


def test_the_projects_own_extension_is_whole_and_new_enough():
    folder: Path = project.EXTENSIONS_DIR / "forge"
    files = unzipped(pack("forge", "http://sd:8000").content)
    assert "mobilesd-forge/scripts/mobilesd_extension.py" in files
    assert not [name for name in files if re.search(r"__pycache__|\.pyc$|/tests/|/data/", name)]
    numbers = [tuple(map(int, v.split("."))) for v in (version_of(folder), _minimum())]
    assert numbers[0] >= numbers[1]


def _minimum() -> str:
    return str(project.MINIMUM_EXTENSION_VERSION)
