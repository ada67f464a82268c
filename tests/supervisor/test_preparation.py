"""Static files are collected only when something changed; what is handed over has no secret."""

import json

import pytest

from mobilesd.supervisor import preparation
from mobilesd.supervisor.preparation import Prepared, collect_static


@pytest.fixture
def source(settings, tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "a.css").write_text("body {}")
    settings.STATICFILES_DIRS = [folder]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    from django.contrib.staticfiles import finders

    finders.get_finder.cache_clear()
    yield folder
    finders.get_finder.cache_clear()


def test_collects_once_and_again_after_a_change(source, settings):
    said = []
    assert collect_static(said.append)
    assert (settings.STATIC_ROOT / "a.css").read_text() == "body {}"
    assert not collect_static(said.append)
    (source / "a.css").write_text("body { color: red }")
    assert collect_static(said.append)
    assert "red" in (settings.STATIC_ROOT / "a.css").read_text()
    assert len(said) == 2


def test_a_file_that_is_gone_and_another_storage_are_changes(source, settings):
    (source / "b.css").write_text("p {}")
    first = preparation.static_stamp()
    (source / "b.css").unlink()
    second = preparation.static_stamp()
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": "another"}}
    assert len({first, second, preparation.static_stamp()}) == 3


def test_a_failed_collection_is_tried_again_at_the_next_start(source, monkeypatch):
    def disk_full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("django.core.management.call_command", disk_full)
        with pytest.raises(OSError, match="No space"):
            collect_static(lambda line: None)
    assert collect_static(lambda line: None)


def test_what_is_handed_over_is_taken_once(settings):
    found = Prepared(enabled_servers=2, demo_port=None, first_run_path="/first-run/TOKEN")
    other = Prepared(enabled_servers=1, demo_port=None, first_run_path=None)
    found.write("a")
    other.write("b")
    assert json.loads(Prepared.file("a").read_text())["first_run_path"] == "/first-run/TOKEN"
    assert Prepared.read("a") == found
    assert not Prepared.file("a").exists()
    assert Prepared.read("b") == other
