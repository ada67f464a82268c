"""Gradio's /file= gives out files of the extension, as Forge needs it, but none of its data."""

import shutil

import pytest
import requests

from tests.extension_forge.page.stand_in import EXTENSION, StandIn


@pytest.mark.parametrize("is_link", [False, True])
def test_files_of_the_data_folder_are_not_given_out(
    is_link: bool, gradio_python: None, tmp_path
) -> None:
    folder = tmp_path / "extensions" / "mobilesd-forge"
    real = tmp_path / "elsewhere" if is_link else folder
    shutil.copytree(EXTENSION, real, ignore=shutil.ignore_patterns("data", "__pycache__", "docs"))
    if is_link:
        folder.parent.mkdir()
        folder.symlink_to(real)
    with StandIn(tmp_path) as forge:
        secret = folder / "data" / "api_key-1.json"
        secret.parent.mkdir(exist_ok=True)
        secret.write_text("a key")

        def status(path: object) -> int:
            return requests.get(f"{forge.url}/file={path}", timeout=10).status_code

        assert status(folder / "style.css") == 200
        assert status(secret) == 403
        assert status(secret.resolve()) == 403
        assert status(folder / "scripts" / ".." / "data" / secret.name) == 403
