"""Two copies of the extension in one Forge: the second one keeps out of the way and says so."""

import pytest

from tests.extension_forge.page.conftest import Open
from tests.extension_forge.page.stand_in import StandIn
from tests.extension_forge.page.test_buttons import press

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_the_second_copy_adds_nothing_and_is_named_in_one_sentence(
    gradio_python: None, open_page: Open, tmp_path
) -> None:
    with StandIn(tmp_path, copies=["mobilesd", "mobilesd-forge"]) as forge:
        page = open_page(forge)
        assert page.locator("#mobilesd_txt2img_queue").count() == 1
        assert page.locator("#tab_mobilesd_tab .mobilesd-jobs").count() == 1
        assert press(page, "queue") == "Queued: 1."
        assert len(forge.submitted) == 1
        second = tmp_path / "extensions" / "mobilesd-forge"
        said = [line for line in forge.log.splitlines() if "copy" in line]
        assert said == [
            f"MobileSD: a second copy of the extension in {second} is ignored;"
            " remove one of the two."
        ]
        assert "Traceback" not in forge.log
