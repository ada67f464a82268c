"""Chains made and cancelled with a finger: what comes then, and what goes along."""

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from playwright.sync_api import expect

from apikeys.actors import Actor
from dispatch.models import Inventory
from jobs.choices import Kind, Status
from jobs.models import Job
from tests import factories
from tests.browser.conftest import PHONE
from tests.chains.making import start, waiting

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture(autouse=True)
def server(site):
    data = {"upscalers": ["Latent", "Lanczos", "R-ESRGAN 4x+"], "latent_upscalers": ["Latent"]}
    Inventory.objects.create(server=factories.server("gpu"), data=data, updated_at=timezone.now())


@pytest.fixture
def anna():
    return get_user_model().objects.get(username="anna")


@pytest.fixture
def chain(anna):
    """Return a waiting job, and two that need it, one by way of the other."""
    first = factories.job(owner=anna)
    second = waiting(first, actor=Actor.of_user(anna))
    return first, second, waiting(second, actor=Actor.of_user(anna))


@pytest.fixture
def page(site, chain):
    return site.page_at(PHONE, user="anna")


def test_txt2img_then_upscale_then_img2img_from_the_pages(page, chain):
    first, *_ = chain
    page.goto(f"/jobs/{first.pk}")
    page.get_by_role("link", name="Then upscale").click()
    expect(page.get_by_label("Upscaler")).to_have_value("R-ESRGAN 4x+")
    page.get_by_label("How many times larger", exact=True).fill("3")
    expect(page.get_by_label("How many times larger, as a slider")).to_have_value("3")
    page.get_by_role("button", name="Upscale it").click()
    page.wait_for_url("**/")
    upscale = Job.objects.get(kind=Kind.UPSCALE)
    assert upscale.generation_params["upscale_by"] == 3
    page.get_by_role("link", name="More: a lighthouse").last.click()
    menu = page.locator("#row-menu")
    expect(menu).to_contain_text("Upscale: a lighthouse")
    menu.get_by_role("link", name="Then img2img").click()
    expect(page.locator("#start-text")).to_contain_text("a lighthouse")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a lighthouse")
    page.locator("#send").click()
    page.wait_for_url("**/")
    last = Job.objects.get(kind=Kind.IMG2IMG)
    assert [need.parent_id for need in last.needs.all()] == [upscale.pk]
    page.goto(f"/jobs/{last.pk}")
    expect(page.locator("#job-chain svg text.chain-words", has_text="Upscale")).to_be_visible()


def test_the_upscale_page_says_how_large_it_gets(page, anna):
    done = factories.job(Status.COMPLETED, owner=anna)
    image = factories.image(done, factories.png(832, 1216), width=832, height=1216)
    page.goto(f"/jobs/{done.pk}")
    page.get_by_role("link", name="Upscale", exact=True).click()
    told = page.locator("#upscale-result")
    expect(told).to_have_text("832 × 1216 becomes 1664 × 2432, 4.0 megapixels.")
    page.get_by_label("How many times larger", exact=True).fill("8")
    expect(told).to_contain_text("64.7 megapixels. That is more than 64: choose less.")
    page.get_by_role("button", name="Upscale it").click()
    expect(page.locator("#error-upscale_by")).to_contain_text("may be at most 7.95")
    page.get_by_label("How many times larger", exact=True).fill("2")
    page.get_by_label("Upscaler").select_option("Lanczos")
    page.get_by_role("button", name="Upscale it").click()
    page.wait_for_url("**/")
    assert Job.objects.get(kind=Kind.UPSCALE).generation_params["upscaler"] == "Lanczos"
    page.goto(f"/new/upscale?image={image.pk}")
    expect(page.get_by_label("Upscaler")).to_have_value("Lanczos")


def test_a_running_job_says_before_it_is_stopped_what_goes_along(page, chain):
    first, second, _ = chain
    start(first)
    page.goto("/")
    card = page.locator(f"#job-{first.pk}")
    card.get_by_role("button", name="Cancel").click()
    expect(page.locator("#confirm-text")).to_have_text(
        "Stop this picture? What is made so far is thrown away."
        " 2 jobs that need it can't be made then."
    )
    page.get_by_role("button", name="Let it run").click()
    first.refresh_from_db()
    assert first.status == Status.PROCESSING
    card.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Stop it").click()
    expect(page.locator("#toasts")).to_contain_text("2 jobs that needed it can't be made.")
    second.refresh_from_db()
    assert second.status == Status.FAILED


def test_selected_jobs_are_asked_for_only_if_they_take_others_along(page, chain):
    first, _, third = chain
    page.get_by_role("button", name="Select").click()
    page.locator(f"#job-{first.pk} .pick").click()
    page.get_by_role("button", name="Cancel what is selected").click()
    expect(page.locator("#confirm-text")).to_have_text("2 jobs that need it can't be made then.")
    page.get_by_role("button", name="Keep them").click()
    page.locator(f"#job-{first.pk} .pick").click()
    page.locator(f"#job-{third.pk} .pick").click()
    page.get_by_role("button", name="Cancel what is selected").click()
    expect(page.locator("#toasts")).to_contain_text("1 job cancelled.")
    assert Job.objects.get(pk=first.pk).status == Status.PENDING


def test_deleting_a_waiting_job_asks_with_what_goes_along(page, chain):
    first, second, _ = chain
    page.goto(f"/jobs/{first.pk}")
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#confirm-text")).to_have_text(
        "Delete this job? 2 jobs that need it can't be made then."
    )
    page.locator("#confirm").get_by_role("button", name="Delete").click()
    page.wait_for_url("**/")
    expect(page.locator("#toasts")).to_contain_text("Deleted. 2 jobs that needed it can't be made.")
    second.refresh_from_db()
    assert second.status == Status.FAILED


def test_one_of_several_parents_is_let_go(page, anna):
    one, two = (factories.job(owner=anna) for _ in range(2))
    last = waiting(one, two, actor=Actor.of_user(anna))
    page.goto(f"/jobs/{last.pk}")
    page.get_by_role("button", name="Don't wait for it").click()
    expect(page.locator("#toasts")).to_contain_text("It still waits for 1 job.")
    assert [need.parent_id for need in last.needs.all()] == [two.pk]
