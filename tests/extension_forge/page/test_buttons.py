"""The buttons beside Generate: what a press queues, and that Generate stays as it was."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE
from tests.extension_forge.page.conftest import Open
from tests.extension_forge.page.stand_in import StandIn
from tests.processes.installation import eventually

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def press(page: Page, button: str, tab: str = "txt2img") -> str:
    """Press a button of ours; return what the page says of it."""
    status = page.locator(f"#mobilesd_{tab}_status p")
    before = status.get_attribute("data-press") if status.count() else None
    page.locator(f"#mobilesd_{tab}_{button}").click()
    page.locator(f"#mobilesd_{tab}_status p:not([data-press='{before}'])").wait_for()
    return status.inner_text().rpartition(" ")[0]  # without the time


def generate(page: Page, forge: StandIn, tab: str = "txt2img") -> dict[str, object]:
    """Press Generate; return what it did."""
    before = len(forge.generated)
    page.locator(f"#{tab}_generate").click()
    eventually(lambda: len(forge.generated) > before, 15, "Generate")
    return forge.generated[-1]


def test_a_press_queues_what_the_page_shows(forge: StandIn, open_page: Open) -> None:
    page = open_page(forge)
    page.locator("#txt2img_prompt textarea").fill("a red fox")
    page.locator("#txt2img_width input[type=number]").fill("640")
    page.locator("#txt2img_seed input").fill("4242")
    assert press(page, "queue") == "Queued: 1."
    [order] = forge.submitted
    params = order["params"]
    assert params["positive_prompt"] == "a red fox"
    assert (params["width"], params["seed"], params["steps"]) == (640, 4242, 20)
    assert params["checkpoint_name"] == "random_a.safetensors [e1758bd15a]"
    assert (order["count"], order["seeds"]) == (1, "incremental")
    assert forge.generated == []


def test_what_mobilesd_does_not_apply_is_said_by_the_names_of_the_page(
    forge: StandIn, open_page: Open
) -> None:
    page = open_page(forge)
    for override in ("CLIP_stop_at_last_layers: 3", "randn_source: CPU", "s_churn: 1"):
        page.locator("#txt2img_override_settings input").click()
        page.get_by_role("option", name=override).click()
    assert press(page, "queue") == "Queued: 1. Not applied by MobileSD: RNG, s_churn."
    [order] = forge.submitted
    assert order["params"]["override_settings"] == {"randn_source": "CPU", "s_churn": 1}


def test_times_n_queues_as_many_and_the_choice_is_kept(forge: StandIn, open_page: Open) -> None:
    page = open_page(forge)
    page.locator("#mobilesd_txt2img_count input").fill("3")
    page.locator("#mobilesd_txt2img_seeds input").click()
    page.get_by_role("option", name="random seed").click()
    assert press(page, "queue_many") == "Queued: 3."
    assert [(o["count"], o["seeds"]) for o in forge.submitted] == [(3, "random")]
    assert page.locator("#mobilesd_txt2img_count input").input_value() == "3"
    page.reload()
    expect(page.locator("#mobilesd_txt2img_count input")).to_have_value("3")
    expect(page.locator("#mobilesd_txt2img_seeds input")).to_have_value("random seed")
    assert press(page, "queue") == "Queued: 1."  # one press, one job, whatever N is


@pytest.mark.parametrize("number", ["0", "101", ""])
def test_a_number_that_makes_no_sense_is_refused(
    number: str, forge: StandIn, open_page: Open
) -> None:
    page = open_page(forge)
    page.locator("#mobilesd_txt2img_count input").fill(number)
    assert press(page, "queue_many") == "N must be a whole number from 1 to 100."
    assert forge.submitted == []


def test_a_double_click_is_one_job(forge: StandIn, open_page: Open) -> None:
    page = open_page(forge)
    page.locator("#mobilesd_txt2img_queue").dblclick()
    page.locator("#mobilesd_txt2img_status p").wait_for()
    generate(page, forge)  # by then a second one would be there
    assert len(forge.submitted) == 1


def test_clicks_within_a_second_have_one_id_unless_something_was_changed(
    forge: StandIn, open_page: Open
) -> None:
    first, again, changed, changed_again, other = open_page(forge).evaluate(
        """() => {
          const id = (button, value) => mobilesdClickId(`mobilesd_${button}`, [null, {value}]);
          return [id("queue", 1), id("queue", 1), id("queue", 2), id("queue", 2), id("many", 2)];
        }"""
    )
    assert first == again
    assert changed == changed_again
    assert len({first, changed, other}) == 3


def test_presses_that_are_more_than_a_second_apart_are_two(forge: StandIn, open_page: Open) -> None:
    page = open_page(forge)
    page.clock.install()
    assert press(page, "queue") == "Queued: 1."
    page.clock.fast_forward(1_001)
    assert press(page, "queue") == "Queued: 1."


def test_generate_is_untouched_and_knows_nothing_of_us(
    forge: StandIn, open_page: Open, tmp_path
) -> None:
    with StandIn(tmp_path, with_extension=False) as plain:
        alone = generate(open_page(plain), plain)
    with_us = generate(open_page(forge), forge)
    assert with_us["args"] == alone["args"]
    assert with_us["with inputs"] == alone["with inputs"]
    assert with_us["with hooks"] == alone["with hooks"]
    assert "MobileSD" not in with_us["with inputs"]
    assert forge.submitted == []


def test_our_choices_are_in_no_captured_payload(forge: StandIn, open_page: Open) -> None:
    page = open_page(forge)
    page.get_by_role("button", name="FreeU Integrated").click()
    page.locator("#txt2img_freeu input").check()
    press(page, "queue_many")
    [order] = forge.submitted
    assert set(order["params"]["alwayson_scripts"]) == {"FreeU Integrated"}
    assert "mobilesd" not in str(order["params"]).lower()


def test_a_controlnet_state_is_that_of_the_click(forge: StandIn, open_page: Open) -> None:
    """The stand-in brings it up to date at Generate only; ours has to do the same."""
    page = open_page(forge)
    page.get_by_role("button", name="ControlNet Unit 1").click()
    page.locator("#txt2img_controlnet_1_enable input").check()
    press(page, "queue")
    [order] = forge.submitted
    units = order["params"]["alwayson_scripts"]["ControlNet"]["args"]
    assert [unit["enabled"] for unit in units] == [False, True]


def test_buttons_stand_below_generate_as_wide_as_it(forge: StandIn, open_page: Open) -> None:
    for size in (None, PHONE):
        page = open_page(forge, size) if size else open_page(forge)
        above = page.locator("#txt2img_generate").bounding_box()
        ours = page.locator("#mobilesd_txt2img_queue").bounding_box()
        many = page.locator("#mobilesd_txt2img_queue_many").bounding_box()
        assert above is not None
        assert ours is not None
        assert many is not None
        assert 0 < ours["y"] - (above["y"] + above["height"]) < 30
        assert (ours["x"], ours["width"]) == (above["x"], above["width"])
        assert many["y"] > ours["y"]
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= page.viewport_size["width"]  # type: ignore[index]
    assert ours["height"] >= 44  # a finger's


def test_with_the_compact_prompt_box_they_are_there_too(
    gradio_python: None, open_page: Open, tmp_path
) -> None:
    with StandIn(tmp_path, "--compact") as forge:
        page = open_page(forge)
        above = page.locator("#txt2img_generate").bounding_box()
        ours = page.locator("#mobilesd_txt2img_queue").bounding_box()
        assert above is not None
        assert ours is not None
        assert 0 < ours["y"] - (above["y"] + above["height"]) < 30
        assert press(page, "queue") == "Queued: 1."
        assert page.locator("#mobilesd_txt2img_jobs").count() == 1
