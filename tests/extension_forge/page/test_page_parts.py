"""The rest of the page: settings, the tab, the way back, and Forges that lack something."""

import pytest
import requests
from playwright.sync_api import expect

from tests.extension_forge.page.conftest import Open
from tests.extension_forge.page.stand_in import StandIn
from tests.extension_forge.page.test_buttons import generate, press

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

INFOTEXT = "a tall lighthouse\nSteps: 33, Sampler: Euler a, Seed: 77, Size: 512x512"


def test_settings_are_applied_and_the_key_is_none_of_them(
    gradio_python: None, open_page: Open, tmp_path
) -> None:
    with StandIn(tmp_path) as forge:
        page = open_page(forge)
        page.get_by_role("tab", name="Settings").click()
        result = page.locator("#settings_result")
        expect(result).to_contain_text("The settings are shown.")
        page.locator("#setting_mobilesd_url textarea").fill("http://10.0.0.2:8000")
        page.locator("#setting_mobilesd_target input").click()
        page.get_by_role("option", name="attic").click()
        page.locator("#settings_submit").click()
        expect(result).to_contain_text("2 settings changed: mobilesd_url, mobilesd_target")
        for name in ("mobilesd-key", "mobilesd-test"):
            place = page.locator(f".{name}")
            assert place.count() == 1
            assert place.get_attribute("data-token") == "a-page-token"
        seen = requests.get(f"{forge.url}/mobilesd/page/ping", timeout=5).json()
        assert seen == {"url": "http://10.0.0.2:8000", "target": "attic"}
        page.reload()
        page.get_by_role("tab", name="Settings").click()
        expect(page.locator("#setting_mobilesd_url textarea")).to_have_value("http://10.0.0.2:8000")
        assert page.locator(".mobilesd-key").count() == 1


def test_jobs_have_their_place_on_both_tabs_and_one_of_their_own(
    forge: StandIn, open_page: Open
) -> None:
    page = open_page(forge)
    for tab in ("txt2img", "img2img"):
        place = page.locator(f"#mobilesd_{tab}_jobs .mobilesd-jobs")
        assert place.get_attribute("data-token") == "a-page-token"
        assert place.get_attribute("data-tab") == tab
    page.get_by_role("tab", name="MobileSD").click()
    assert page.locator("#tab_mobilesd_tab .mobilesd-jobs").count() == 1
    page.get_by_role("tab", name="txt2img").first.click()
    jobs = page.locator("#mobilesd_txt2img_jobs").bounding_box()
    prompt = page.locator("#txt2img_prompt").bounding_box()
    assert jobs is not None
    assert prompt is not None
    assert jobs["y"] > prompt["y"]
    assert jobs["width"] > 1_000  # over the whole width of a desk's page


def test_a_job_can_be_sent_back_to_the_page(forge: StandIn, open_page: Open) -> None:
    page = open_page(forge)
    page.evaluate(
        """(text) => {
          const area = document.querySelector("#mobilesd_paste_txt2img textarea");
          area.value = text;
          area.dispatchEvent(new Event("input", {bubbles: true}));
          document.querySelector("#mobilesd_paste_txt2img_button").click();
        }""",
        INFOTEXT,
    )
    expect(page.locator("#txt2img_prompt textarea")).to_have_value("a tall lighthouse")
    expect(page.locator("#txt2img_steps input[type=number]")).to_have_value("33")
    expect(page.locator("#txt2img_seed input")).to_have_value("77")


@pytest.mark.parametrize(
    ("lacks", "says", "has_button"),
    [
        ("modules.txt2img:txt2img_create_processing", "txt2img_create_processing", False),
        ("modules.infotext_utils:ParamBinding", "can't send jobs back to the page", True),
        ("modules.script_callbacks:on_ui_tabs", "no script_callbacks.on_ui_tabs", True),
    ],
)
def test_a_forge_that_lacks_something_has_its_page_and_a_sentence_in_the_log(
    lacks: str, says: str, has_button: bool, gradio_python: None, open_page: Open, tmp_path
) -> None:
    # The stand-in's own Generate is imported before, as a fork's that does it another way.
    with StandIn(tmp_path, "--without", lacks) as forge:
        page = open_page(forge)
        assert generate(page, forge)["tab"] == "txt2img"
        assert page.locator("#mobilesd_txt2img_queue").count() == has_button
        assert page.locator("#mobilesd_img2img_queue").count() == 1
        if has_button:
            assert press(page, "queue") == "Queued: 1."
        lines = forge.log.splitlines()
        assert any(says in line for line in lines)
        assert all(line.startswith(("MobileSD", "This Forge")) for line in lines)  # no traceback


def test_without_a_page_nothing_of_it_is_made_and_the_api_works(
    gradio_python: None, tmp_path
) -> None:
    with StandIn(tmp_path, "--nowebui") as forge:
        answer = requests.post(f"{forge.url}/sdapi/v1/txt2img", json={"prompt": "x"}, timeout=10)
        assert answer.json()["effective"]["prompt"] == "x"
        assert requests.get(f"{forge.url}/mobilesd/page/ping", timeout=5).status_code == 404
        # The stand-in makes no steps, and so only the companion has to say something.
        assert [line for line in forge.log.splitlines() if "stopped at a step" not in line] == []
