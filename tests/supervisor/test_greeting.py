"""What the console shows: addresses, and the first-run link only while nobody can sign in."""

import re

import pytest

from mobilesd import first_run
from mobilesd.supervisor import greeting
from mobilesd.supervisor.greeting import Greeting
from mobilesd.supervisor.preparation import Prepared
from mobilesd.supervisor.slots import Options

LAN = Options("0.0.0.0", 8000, addresses=["192.168.1.5", "172.17.0.1"])
NOBODY = Prepared(enabled_servers=0, demo_port=None, first_run_path="/first-run/TOKEN")
SOMEBODY = Prepared(enabled_servers=0, demo_port=None, first_run_path=None)


def text(options: Options, prepared: Prepared) -> str:
    return Greeting(options, prepared, lambda line: None).text()


def test_on_the_lan_all_addresses_are_shown_and_the_first_one_to_a_phone(monkeypatch):
    monkeypatch.setattr(greeting, "_code", lambda target: f"[{target}]")
    shown = text(LAN, SOMEBODY)
    for address in ("192.168.1.5", "172.17.0.1", "localhost"):
        assert f"  http://{address}:8000/\n" in shown
    assert "scan:\n[http://192.168.1.5:8000/]" in shown
    assert "administrator" not in shown


def test_on_this_machine_only_there_is_nothing_for_a_phone():
    shown = text(Options("127.0.0.1", 8000), SOMEBODY)
    assert "  http://127.0.0.1:8000/\n" in shown
    assert "phone" not in shown


def test_the_first_run_link_works():
    shown = text(LAN, NOBODY)
    (token,) = set(re.findall(r"http://192\.168\.1\.5:8000/first-run/(\S+)", shown))
    assert first_run.redeem(token)


def test_a_terminal_gets_a_code_for_the_camera(monkeypatch):
    monkeypatch.setattr(greeting.sys.stdout, "isatty", lambda: True, raising=False)
    assert "▄" in greeting._code("http://192.168.1.5:8000/")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_console_without_block_characters_gets_none(monkeypatch, encoding):
    class Old:
        def isatty(self) -> bool:
            return True

    Old.encoding = encoding
    monkeypatch.setattr(greeting.sys, "stdout", Old())
    assert greeting._code("http://192.168.1.5:8000/") is None
