"""Many jobs of one order, and when they run, in a browser on a phone."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from playwright.sync_api import expect

from dispatch.models import Inventory
from jobs.models import Batch, Job, JobDependency
from tests import factories
from tests.browser.conftest import DESK, PHONE

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture(autouse=True)
def server(site):
    data = {
        "checkpoints": [{"name": f"xl/{name}.safetensors"} for name in ("nice", "real", "dreamy")],
        "loras": ["film grain"],
        "samplers": ["Euler a", "UniPC"],
        "schedulers": ["Karras"],
    }
    Inventory.objects.create(server=factories.server("gpu"), data=data, updated_at=timezone.now())


@pytest.fixture
def page(site):
    opened = site.page_at(PHONE, user="anna", timezone_id="Europe/Berlin")
    opened.goto("/new")
    opened.get_by_label("Prompt", exact=True).fill("a lighthouse")
    return opened


def _open(page, part):
    page.locator(f"#{part} > summary").click()


def _send(page):
    page.locator("#send").click()
    page.wait_for_url("**/#batch-*")


def _anna():
    return get_user_model().objects.get(username="anna")


def test_the_part_is_closed_until_it_is_wanted(page):
    expect(page.get_by_label("How many of each")).to_be_hidden()
    expect(page.locator("#send")).to_have_text("Make it")
    page.locator("#send").click()
    page.wait_for_url("**/")
    assert Job.objects.get().batch is None


def test_the_number_of_jobs_follows_what_is_typed_and_leads_to_the_card(page):
    _open(page, "many")
    page.get_by_label("How many of each").fill("3")
    expect(page.locator("#many-count")).to_have_text("3 jobs.")
    page.locator("#many_steps").fill("20, 30")
    expect(page.locator("#send")).to_have_text("Make 6 jobs")
    expect(page.locator("#many-told")).to_have_text("6 jobs")
    page.get_by_role("button", name="One picture more").click()
    expect(page.locator("#many-count")).to_have_text("6 jobs, 12 pictures.")
    page.get_by_role("button", name="One picture more").click()
    expect(page.locator("#many-count")).to_have_text("6 jobs, 18 pictures.")
    page.get_by_label("Run first").fill("2")
    expect(page.locator("#many-count")).to_contain_text("4 of them wait for your nod.")
    page.get_by_label("Name of the batch").fill("tries")
    _send(page)
    batch = Batch.objects.get()
    assert Job.objects.filter(batch=batch).count() == 6
    card = page.locator(f"#batch-{batch.pk}")
    expect(card).to_be_in_viewport()
    expect(card).to_contain_text("tries")
    expect(card.get_by_role("button", name="Run the other 4")).to_be_visible()
    expect(page.locator("#toasts")).to_contain_text("Sent: 6 jobs.")


def test_taking_it_all_back_makes_one_job_again(page):
    _open(page, "many")
    page.get_by_label("How many of each").fill("3")
    expect(page.locator("#send")).to_have_text("Make 3 jobs")
    page.get_by_label("How many of each").fill("1")
    expect(page.locator("#send")).to_have_text("Make it")
    expect(page.locator("#many-count")).to_have_text("")


def test_checkpoints_are_chosen_in_a_sheet(page):
    _open(page, "many")
    page.get_by_role("button", name="Checkpoints The one above").click()
    sheet = page.locator("#many_checkpoint-sheet")
    sheet.get_by_placeholder("Search").fill("dream")
    expect(sheet.get_by_text("nice")).to_be_hidden()
    sheet.get_by_label("dreamy").check()
    sheet.get_by_placeholder("Search").fill("")
    sheet.get_by_label("nice").check()
    sheet.get_by_role("button", name="Done").click()
    expect(page.locator("#many_checkpoint-picked")).to_have_text("2: nice, dreamy")
    expect(page.locator("#send")).to_have_text("Make 2 jobs")
    page.get_by_role("button", name="Checkpoints 2").click()
    sheet.get_by_role("button", name="None").click()
    sheet.get_by_role("button", name="Done").click()
    expect(page.locator("#send")).to_have_text("Make it")
    page.get_by_label("Or all checkpoints of a folder").select_option("xl")
    expect(page.locator("#send")).to_have_text("Make 3 jobs")
    _send(page)
    assert Job.objects.values("checkpoint").distinct().count() == 3


def test_alternatives_are_offered_when_braces_are_typed(page):
    switch = page.locator("#alternatives")
    expect(switch).to_be_hidden()
    page.get_by_label("Prompt", exact=True).fill("a {red|blue} house")
    expect(switch).to_be_visible()
    expect(page.locator("#send")).to_have_text("Make it")
    switch.check()
    expect(page.locator("#send")).to_have_text("Make 2 jobs")
    page.get_by_label("Prompt", exact=True).fill("a {red|blue|{light|dark} green} house")
    expect(page.locator("#send")).to_have_text("Make 4 jobs")
    _send(page)
    prompts = {job.prompt for job in Job.objects.all()}
    assert prompts == {f"a {c} house" for c in ("red", "blue", "light green", "dark green")}


def test_alternatives_are_remembered_with_the_prompt(page):
    page.get_by_label("Prompt", exact=True).fill("a {red|blue} house")
    page.locator("#alternatives").check()
    page.goto("/servers")
    page.goto("/new")
    expect(page.locator("#alternatives")).to_be_checked()
    expect(page.locator("#send")).to_have_text("Make 2 jobs")


def test_what_is_wrong_is_said_at_once_and_goes_when_it_is_mended(page):
    _open(page, "many")
    page.locator("#many_steps").fill("20, lots")
    expect(page.locator("#many-count")).to_contain_text("Steps must be a whole number")
    expect(page.locator("#send")).to_have_text("Make it")
    _open(page, "many")  # closed again: the error opens it
    page.locator("#send").click()
    expect(page.locator("#error-many_steps")).to_contain_text("Steps must be a whole number")
    expect(page.locator("#many_steps")).to_be_focused()
    expect(page.locator("#many_steps")).to_have_value("20, lots")
    assert not Job.objects.exists()
    page.locator("#many_steps").fill("20, 30")
    expect(page.locator("#error-many_steps")).to_be_hidden()
    expect(page.locator("#many-count")).to_have_text("2 jobs.")
    _send(page)
    assert Job.objects.count() == 2


def test_denoising_is_listed_only_with_a_picture_to_start_from(page):
    _open(page, "many")
    expect(page.locator("#many_denoising")).to_be_hidden()
    picture = {"name": "a.png", "mimeType": "image/png", "buffer": factories.png(64, 64)}
    page.locator("#init-file").set_input_files(picture)
    page.locator("#many_denoising").fill("0.3, 0.6")
    expect(page.locator("#send")).to_have_text("Make 2 jobs")
    page.get_by_role("button", name="Start without a picture").click()
    expect(page.locator("#send")).to_have_text("Make it")
    expect(page.locator("#many_denoising")).to_be_hidden()


def test_counting_does_not_send_the_picture(page):
    picture = {"name": "secret.png", "mimeType": "image/png", "buffer": factories.png(64, 64)}
    page.locator("#init-file").set_input_files(picture)
    _open(page, "many")
    with page.expect_request("**/new/count") as counted:
        page.get_by_label("How many of each").fill("3")
    assert b"a lighthouse" in counted.value.post_data_buffer
    assert b"secret.png" not in counted.value.post_data_buffer


def test_many_is_not_kept_for_the_next_visit(page):
    _open(page, "many")
    page.get_by_label("How many of each").fill("300")
    expect(page.locator("#send")).to_have_text("Make 300 jobs")
    page.goto("/servers")
    page.goto("/new")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a lighthouse")
    expect(page.locator("#quantity")).to_have_value("1")


# --- When -------------------------------------------------------------------------------------


def test_times_are_typed_in_the_devices_time_zone(page):
    _open(page, "when")
    expect(page.locator("#zone-not_before")).to_contain_text("this device's time zone")
    page.get_by_label("Not before").fill("2099-01-31T23:00")
    page.get_by_label("Deadline").fill("2099-07-01T07:00")
    page.get_by_label("Lane").select_option("background")
    page.locator("#priority").select_option("2")
    expect(page.locator("#when-told")).to_contain_text("priority 2, background, not before")
    page.locator("#send").click()
    page.wait_for_url("**/")
    job = Job.objects.get()
    assert job.not_before == datetime(2099, 1, 31, 22, tzinfo=UTC)
    assert job.deadline == datetime(2099, 7, 1, 5, tzinfo=UTC)
    assert (job.priority, job.lane_class) == (2, "background")


def test_an_error_opens_its_part(page):
    _open(page, "when")
    page.get_by_label("Deadline").fill("2001-01-01T00:00")
    _open(page, "when")
    page.locator("#send").click()
    expect(page.locator("#error-deadline")).to_have_text("The deadline has passed already.")
    expect(page.get_by_label("Deadline")).to_be_focused()


def test_a_job_to_wait_for_is_chosen_in_a_sheet(page):
    parent = factories.job(owner=_anna(), generation_params={"positive_prompt": "a castle"})
    _open(page, "when")
    page.get_by_role("button", name="Wait for a job").click()
    page.locator("#job-choices").get_by_role("button", name="a castle").click()
    expect(page.locator("#needs")).to_contain_text("a castle")
    page.get_by_role("button", name="Wait for a job").click()
    page.locator("#job-choices").get_by_role("button", name="a castle").click()
    expect(page.locator(".need")).to_have_count(1)  # once is enough
    page.get_by_label("If it fails: a castle").select_option("run")
    page.locator("#send").click()
    page.wait_for_url("**/")
    [row] = JobDependency.objects.all()
    assert (row.parent_id, row.on_failure) == (parent.pk, "run")


def test_a_picture_yet_to_be_made_is_chosen_to_start_from(page):
    parent = factories.job(owner=_anna(), generation_params={"positive_prompt": "a castle"})
    page.get_by_role("button", name="One yet to be made").click()
    page.locator("#job-choices").get_by_role("button", name="a castle").click()
    expect(page.locator("#start-text")).to_have_text("The picture of: a castle")
    expect(page.get_by_label("Denoising", exact=True)).to_be_visible()
    page.locator("#send").click()
    page.wait_for_url("**/")
    job = Job.objects.exclude(pk=parent.pk).get()
    assert job.generation_params["init_images"] == [{"job": str(parent.pk), "image": 0}]


# --- Edit -------------------------------------------------------------------------------------


def test_a_waiting_job_gets_loras_a_picture_and_a_job_to_wait_for(site):
    parent = factories.job(owner=_anna(), generation_params={"positive_prompt": "a castle"})
    job = factories.job(owner=_anna(), deadline=datetime(2099, 7, 1, 5, tzinfo=UTC))
    page = site.page_at(PHONE, user="anna", timezone_id="Europe/Berlin")
    page.goto(f"/jobs/{job.pk}/edit")
    expect(page.get_by_label("Deadline")).to_have_value("2099-07-01T07:00")
    page.get_by_role("button", name="Add a LoRA").click()
    page.get_by_role("button", name="film grain").click()
    picture = {"name": "a.png", "mimeType": "image/png", "buffer": factories.png(128, 64)}
    page.locator("#init-file").set_input_files(picture)
    expect(page.get_by_label("Width", exact=True)).to_have_value("128")
    page.get_by_label("Denoising", exact=True).fill("0.4")
    page.get_by_role("button", name="Wait for a job").click()
    expect(page.locator("#job-choices").get_by_role("button", name="a castle")).to_be_visible()
    # It is not offered to wait for itself.
    expect(page.locator(f"#job-choices [data-job='{job.pk}']")).to_have_count(0)
    page.locator("#job-choices").get_by_role("button", name="a castle").click()
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/")
    job.refresh_from_db()
    params = job.generation_params
    assert params["loras"] == [{"name": "film grain", "weight": 1.0}]
    assert (job.kind, params["denoising_strength"], params["width"]) == ("img2img", 0.4, 128)
    assert job.deadline == datetime(2099, 7, 1, 5, tzinfo=UTC)
    assert JobDependency.objects.get(job=job).parent_id == parent.pk
    page.goto(f"/jobs/{job.pk}/edit")
    expect(page.locator("#start-text")).to_have_text("The picture that it has now")
    page.get_by_role("button", name="Start without a picture").click()
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/")
    job.refresh_from_db()
    assert job.kind == "txt2img"


LOOKS = [
    pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"]),
    pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"]),
]


def _looks(page, size):
    scripts = Path(__file__).parent
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    for name in ("small_targets", "poor_contrast", "nameless"):
        assert page.evaluate((scripts / f"{name}.js").read_text()) == [], name


@LOOKS[0]
@LOOKS[1]
def test_filled_parts_and_their_sheets_can_be_read_and_touched(site, size, dark):
    prompt = "a castle " * 30 + "Donaudampfschifffahrtsgesellschaftskapitän" * 3
    factories.job(owner=_anna(), generation_params={"positive_prompt": prompt})
    page = site.page_at(size, dark=dark, user="anna")
    page.goto("/new")
    page.get_by_label("Prompt", exact=True).fill("a {red|blue} house")
    _open(page, "many")
    page.locator("#many_steps").fill("20, lots")
    expect(page.locator("#many-count")).to_contain_text("Steps must be")
    _open(page, "when")
    page.get_by_role("button", name="Wait for a job").click()
    expect(page.locator("#job-choices button")).to_have_count(1)
    _looks(page, size)
    page.locator("#job-choices button").click()
    _looks(page, size)
    page.get_by_role("button", name="Checkpoints The one above").click()
    page.locator("#many_checkpoint-sheet").get_by_label("dreamy").check()
    _looks(page, size)


@LOOKS[0]
@LOOKS[1]
def test_nothing_jumps_when_a_number_comes_in(site, size, dark):
    page = site.page_at(size, dark=dark, user="anna")
    page.goto("/new")
    _open(page, "many")
    field = page.get_by_label("How many of each")
    field.fill("3")
    expect(page.locator("#many-count")).to_have_text("3 jobs.")
    before = field.bounding_box()
    field.fill("12")
    expect(page.locator("#many-count")).to_have_text("12 jobs.")
    assert field.bounding_box() == before
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
