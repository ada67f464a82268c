"""The key: where it lies, and what is told of it."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from mobilesd_forge.faults import Fault
from mobilesd_forge.secret import BadKey, KeyFile, installation_id
from mobilesd_forge.service import Service
from mobilesd_forge.settings import Settings

from tests.extension_forge.core.conftest import KEY
from tests.extension_forge.core.scripted import Reply, Scripted


def test_the_key_is_readable_by_its_owner_only(folder: Path) -> None:
    KeyFile(folder).store(f" {KEY}\n", "http://box")
    [file] = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    found = KeyFile(folder).read()
    assert found is not None
    assert (found.key, found.address, found.prefix) == (KEY, "http://box", "abcdefgh")


def test_the_name_of_the_keys_file_can_not_be_guessed_and_changes_with_the_key(
    folder: Path,
) -> None:
    # Gradio's /file= gives out what lies below Forge's folder, by its name.
    names = set()
    for _ in range(2):
        KeyFile(folder).store(KEY, "http://box")
        [file] = folder.iterdir()
        names.add(file.name)
        assert len(file.name.removeprefix("api_key-").removesuffix(".json")) == 32
    assert len(names) == 2


def test_a_key_that_a_crash_left_beside_the_new_one_is_not_used(folder: Path) -> None:
    KeyFile(folder).store(KEY, "http://old")
    [old] = folder.iterdir()
    content = old.read_bytes()
    KeyFile(folder).store(KEY, "http://new")
    old.write_bytes(content)
    os.utime(old, (1, 1))
    found = KeyFile(folder).read()
    assert found is not None
    assert found.address == "http://new"
    KeyFile(folder).forget()
    assert KeyFile(folder).read() is None


def test_the_key_is_not_in_what_is_printed_of_it(folder: Path) -> None:
    assert KEY.partition(".")[2] not in repr(KeyFile(folder).store(KEY, "http://box"))


@pytest.mark.parametrize(
    "text", ["", "nodot", "two words.aaaaaaaaaa", ".aaaaaaaaaaaa", "ä.aaaaaaaa"]
)
def test_what_can_be_no_key_is_refused_without_repeating_it(folder: Path, text: str) -> None:
    with pytest.raises(BadKey) as refused:
        KeyFile(folder).store(text, "http://box")
    assert not text or text not in str(refused.value)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"key": 1, "address": ""}', "\x00"])
def test_a_key_file_that_is_broken_counts_as_none(folder: Path, content: str) -> None:
    (folder / "api_key-0.json").write_text(content)
    assert KeyFile(folder).read() is None


def test_the_key_is_not_sent_to_another_address_than_the_one_it_was_entered_for(
    folder: Path, server: Scripted
) -> None:
    # Forge's `POST /sdapi/v1/options` lets anybody set the address.
    url = ["http://box:8000"]
    service = Service(folder, lambda: Settings(url=url[0]))
    service.store_key(KEY)
    url[0] = server.url
    with pytest.raises(Fault) as refused:
        service.connect()
    assert "entered for http://box:8000" in refused.value.text
    assert service.test_connection() == refused.value.text
    assert not server.asked


def test_a_redirect_does_not_take_the_key_elsewhere(
    service_for: Callable[..., Service], server: Scripted
) -> None:
    other = "http://127.0.0.2:9"
    server.answer = lambda asked: Reply(307, headers={"Location": f"{other}/api/v2/whoami"})
    said = service_for(server.url, KEY).test_connection()
    assert said.startswith(f"{server.url} leads on to {other}.")
    assert len(server.asked) == 1


def test_the_key_is_in_no_address_and_in_no_line_of_the_log(
    service_for: Callable[..., Service], server: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    service = service_for(server.url, KEY)
    service.test_connection()
    service.submit({"positive_prompt": "a boat"}, click_id="1")
    service.sender.send_all()
    service.watcher.read_list()
    secret = KEY.partition(".")[2]
    assert server.asked
    for asked in server.asked:
        assert secret in asked.headers["authorization"]
        assert secret not in asked.path
    assert secret not in caplog.text


def test_a_netrc_does_not_replace_the_key(
    service_for: Callable[..., Service],
    server: Scripted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login anna password hers\n")
    monkeypatch.setenv("NETRC", str(netrc))
    service_for(server.url, KEY).test_connection()
    assert server.asked[0].headers["authorization"] == f"Api-Key {KEY}"


def test_forgetting_the_key_removes_its_file(
    service_for: Callable[..., Service], folder: Path
) -> None:
    service = service_for("http://box", KEY)
    service.forget_key()
    assert not list(folder.glob("*key*"))
    assert service.key_shown() == {"stored": False, "prefix": "", "address": ""}
    assert "Enter an API key" in service.test_connection()


def test_the_installation_keeps_its_id(folder: Path) -> None:
    made = installation_id(folder)
    assert installation_id(folder) == made
    assert len(made) == 12
    (folder / "installation_id").write_text("broken")
    assert installation_id(folder) not in {made, "broken"}


def test_what_the_page_is_told_of_the_key_has_no_secret(
    service_for: Callable[..., Service],
) -> None:
    service = service_for("http://box", KEY)
    assert service.key_shown() == {"stored": True, "prefix": "abcdefgh", "address": "http://box"}
    assert KEY.partition(".")[2] not in json.dumps(service.state())
