"""Ordering a picture in a browser: what the scripts of the page add."""

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from playwright.sync_api import expect

from dispatch.models import Inventory
from jobs.choices import Status
from jobs.models import Job
from tests import factories

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture
def page(site):
    Inventory.objects.create(
        server=factories.server("gpu"),
        data={
            "checkpoints": [{"name": "xl/nice.safetensors"}],
            "loras": ["film grain", "watercolour"],
            "samplers": ["Euler a"],
            "schedulers": ["Karras"],
        },
        updated_at=timezone.now(),
    )
    opened = site.page_at(user="anna")
    opened.goto("/new")
    return opened


def _send(page):
    page.get_by_role("button", name="Make it").click()


def _sent(page) -> dict:
    _send(page)
    page.wait_for_url("**/")
    return Job.objects.get().generation_params


def test_shapes_detail_and_swap_set_the_size(page):
    width, height = page.get_by_label("Width", exact=True), page.get_by_label("Height", exact=True)
    page.get_by_role("button", name="Landscape").click()
    expect(width).to_have_value("1216")
    expect(height).to_have_value("832")
    page.get_by_role("button", name="Swap").click()
    expect(page.get_by_role("button", name="Portrait")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Detail").select_option("512")
    expect(height).to_have_value("768")
    page.get_by_role("button", name="Square").click()
    expect(width).to_have_value("512")
    expect(height).to_have_value("512")


def test_an_order_with_everything(page):
    page.get_by_label("Prompt", exact=True).fill("a lighthouse")
    page.get_by_label("Checkpoint", exact=True).select_option(label="nice")
    page.get_by_role("button", name="Add a LoRA").click()
    page.locator("#lora-sheet").get_by_placeholder("Search").fill("water")
    expect(page.get_by_role("button", name="film grain")).to_be_hidden()
    page.get_by_role("button", name="watercolour").click()
    page.get_by_label("Weight of watercolour", exact=True).fill("0.8")
    page.get_by_label("Steps", exact=True).fill("9")
    page.get_by_role("button", name="One picture more").click()
    page.get_by_role("button", name="Draw a seed").click()
    seed = page.get_by_label("Seed", exact=True).input_value()
    params = _sent(page)
    assert params["seed"] == int(seed)
    assert params["loras"] == [{"name": "watercolour", "weight": 0.8}]
    assert (params["steps"], params["n_iter"]) == (9, 2)
    assert params["checkpoint_name"] == "xl/nice.safetensors"
    expect(page.locator("#toasts")).to_contain_text("Sent.")


def test_errors_appear_beside_their_fields_and_nothing_typed_is_lost(page):
    page.get_by_label("Prompt", exact=True).fill("a lighthouse")
    page.get_by_label("Width", exact=True).fill("333")
    picture = {"name": "a.png", "mimeType": "image/png", "buffer": factories.png(64, 64)}
    page.locator("#init-file").set_input_files(picture)
    expect(page.get_by_label("Width", exact=True)).to_have_value("64")  # it follows the picture
    page.get_by_label("Width", exact=True).fill("333")
    _send(page)
    error = page.locator("#error-width")
    expect(error).to_contain_text("The width must be a multiple of 8")
    expect(page.get_by_label("Width", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Width", exact=True)).to_be_focused()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a lighthouse")
    page.get_by_label("Width", exact=True).fill("64")
    expect(error).to_be_hidden()
    _send(page)  # the file is still chosen
    page.wait_for_url("**/")
    assert Job.objects.get().kind == "img2img"


def test_what_was_typed_is_there_at_the_next_visit(page):
    page.get_by_label("Prompt", exact=True).fill("half a thought")
    page.get_by_label("Steps", exact=True).fill("33")
    page.get_by_role("button", name="Add a LoRA").click()
    page.get_by_role("button", name="film grain").click()
    page.goto("/servers")
    page.goto("/new")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("half a thought")
    expect(page.get_by_label("Steps", exact=True)).to_have_value("33")
    expect(page.locator(".lora")).to_have_count(1)


def test_using_a_job_again_goes_before_what_was_typed(page):
    anna = get_user_model().objects.get(username="anna")
    params = {"positive_prompt": "an old one", "width": 512, "height": 512, "seed": 7}
    job = factories.job(Status.COMPLETED, owner=anna, generation_params=params)
    page.get_by_label("Prompt", exact=True).fill("half a thought")
    page.goto(f"/new?from={job.pk}")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("an old one")
    expect(page.get_by_label("Seed", exact=True)).to_have_value("7")


def test_an_earlier_picture_is_chosen_to_start_from(page):
    anna = get_user_model().objects.get(username="anna")
    content = factories.png(128, 64)
    image = factories.image(
        factories.job(Status.COMPLETED, owner=anna), content, width=128, height=64
    )
    page.get_by_label("Prompt", exact=True).fill("a lighthouse")
    expect(page.get_by_label("Denoising", exact=True)).to_be_hidden()
    page.get_by_role("button", name="An earlier one").click()
    page.locator(f"[data-pick='{image.pk}']").click()
    expect(page.get_by_label("Width", exact=True)).to_have_value("128")
    page.get_by_label("Denoising", exact=True).fill("0.35")
    _send(page)
    page.wait_for_url("**/")
    job = Job.objects.get(status=Status.PENDING)
    assert (job.kind, job.generation_params["denoising_strength"]) == ("img2img", 0.35)


def test_nothing_is_sent_twice_by_an_impatient_thumb(page):
    page.get_by_label("Prompt", exact=True).fill("a lighthouse")
    page.evaluate(
        """() => {
          const button = document.getElementById("send");
          button.click();
          button.click();
        }"""
    )
    page.wait_for_url("**/")
    assert Job.objects.count() == 1
