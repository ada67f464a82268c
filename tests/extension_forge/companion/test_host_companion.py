"""The companion's place in Forge: its start, its options, and the panel with its token."""

import sys
import types

import pytest
from mobilesd_forge import host_companion
from mobilesd_forge.companion.jobs import Limits
from mobilesd_forge.companion.token import CompanionToken

from tests.extension_forge.companion.forge_like import ForgeLike


class Part:
    """A part of a page: its words, what it does when it is clicked."""

    made = []

    def __init__(self, *words, **settings):
        self.words, self.settings, self.clicked = words, settings, None
        Part.made.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        pass

    def click(self, do, outputs, **settings):
        self.clicked, self.outputs = do, outputs


@pytest.fixture
def gradio(monkeypatch):
    Part.made = []
    names = ("Accordion", "Markdown", "Textbox", "Row", "Button", "Slider")
    monkeypatch.setitem(sys.modules, "gradio", types.SimpleNamespace(**dict.fromkeys(names, Part)))


@pytest.fixture
def forge(monkeypatch):
    forge = ForgeLike(monkeypatch)
    forge.mounted = {}
    forge.mount = forge.mounted.__setitem__
    return forge


def test_it_is_mounted_and_runs_what_forge_can(forge, tmp_path):
    companion = host_companion.install_companion(forge, tmp_path)
    assert list(forge.mounted) == ["/mobilesd/v1"]
    assert companion.engine.facts().kinds == ("txt2img", "img2img", "extra-single-image")
    assert host_companion.install_companion(forge, tmp_path) is companion
    companion.stop()


def test_its_limits_are_those_of_the_options(forge):
    assert host_companion._limits() == Limits()
    forge.options.mobilesd_companion_keep_hours = 2
    forge.options.mobilesd_companion_keep_gb = 3
    assert host_companion._limits() == Limits(keep_seconds=7200, keep_bytes=3 * 1024**3)
    forge.options.mobilesd_companion_keep_gb = "much"
    assert host_companion._limits() == Limits()


def test_its_options_are_in_the_section_and_none_is_the_token(forge, gradio, monkeypatch):
    added = {}
    forge.options.add_option = added.__setitem__
    shared = sys.modules["modules.shared"]
    monkeypatch.setattr(shared, "OptionInfo", lambda *args, **more: (args[0], more), raising=False)
    host_companion.add_options(("mobilesd", "MobileSD"))
    assert {name: value for name, (value, _) in added.items()} == {
        "mobilesd_companion_keep_hours": 24,
        "mobilesd_companion_keep_gb": 2,
    }
    assert all(more["section"] == ("mobilesd", "MobileSD") for _, more in added.values())


def test_the_token_is_shown_only_when_somebody_asks(gradio, tmp_path):
    host_companion.token_panel(tmp_path / "extension")
    token = CompanionToken(tmp_path / "extension")
    words = repr([(part.words, part.settings) for part in Part.made])
    assert token.value() not in words
    show, renew = (part for part in Part.made if part.clicked)
    assert show.clicked() == token.value()
    assert renew.clicked() == token.value() != ""
    assert show.outputs == renew.outputs
