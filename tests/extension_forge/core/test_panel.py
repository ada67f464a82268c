"""The panel in a real browser, against a scripted MobileSD."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mobilesd_forge.service import Service
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import DESK, PHONE, chromium  # noqa: F401  a fixture
from tests.browser.test_looks import SCRIPTS
from tests.extension_forge.core.conftest import KEY
from tests.extension_forge.core.forge_page import ForgePage, forge_page
from tests.extension_forge.core.scripted import Reply, Scripted, problem
from tests.extension_forge.core.some_jobs import HOSTILE, MobileSDWithJobs, job
from tests.processes.installation import eventually

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

ALL = [
    job(1, "pending"),
    job(2, "processing"),
    job(3, "completed"),
    job(4, "failed"),
    job(5, "cancelled"),
]


@pytest.fixture
def mobilesd(server: Scripted) -> MobileSDWithJobs:
    made = MobileSDWithJobs(*ALL)
    server.answer = made
    return made


@pytest.fixture
def service(
    mobilesd: MobileSDWithJobs, server: Scripted, service_for: Callable[..., Service]
) -> Service:
    made = service_for(server.url, KEY)
    made.start()
    return made


@pytest.fixture
def forge(service: Service) -> Iterator[ForgePage]:
    with forge_page(service) as page:
        yield page


@pytest.fixture
def window(chromium: Browser) -> Iterator[Callable[..., Page]]:  # noqa: F811
    contexts = []
    complaints: list[str] = []

    def opened(url: str, size: tuple[int, int] = DESK) -> Page:
        mobile = size == PHONE
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]}, is_mobile=mobile, has_touch=mobile
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints


def row(page: Page, text: str) -> Any:
    return page.locator(".mobilesd-job").filter(has_text=text)


def test_jobs_are_shown_as_they_stand(window: Callable[..., Page], forge: ForgePage) -> None:
    page = window(forge.url)
    expect(page.locator(".mobilesd-job")).to_have_count(5)
    waits = row(page, "number 1")
    expect(waits).to_contain_text("Waiting")
    expect(waits).to_contain_text("place 1 · gpu works on another job.")
    runs = row(page, "number 2")
    expect(runs).to_contain_text("40 % · 1 min left · step 8 of 20 · gpu")
    expect(runs.get_by_role("progressbar")).to_have_js_property("value", 0.4)
    failed = row(page, "number 4")
    expect(failed).to_contain_text("The server ran out of memory. Make the picture smaller.")
    picture = row(page, "number 3").get_by_role("img")
    expect(picture).to_have_attribute("alt", "Picture of: a boat at dawn, number 3")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1
    expect(page.locator(".mobilesd-head")).to_contain_text("1 running · 1 waiting")


def test_a_change_is_shown_without_a_reload_and_rows_stay_in_place(
    window: Callable[..., Page], forge: ForgePage, mobilesd: MobileSDWithJobs
) -> None:
    page = window(forge.url)
    cancel = page.get_by_role("button", name="Cancel: a boat at dawn, number 2")
    cancel.focus()
    mobilesd.jobs[1] = job(2, "processing", progress=0.9)
    mobilesd.jobs.insert(0, job(6, "completed"))
    expect(row(page, "number 2")).to_contain_text("90 %")
    expect(page.locator(".mobilesd-job").first).to_contain_text("number 6")
    expect(cancel).to_be_focused()
    mobilesd.jobs[2] = job(2, "completed")
    said = page.locator(".mobilesd-said[role=status]").first
    expect(said).to_have_text("Done: a boat at dawn, number 2.")


def test_a_job_is_cancelled_and_retried_by_keyboard(
    window: Callable[..., Page], forge: ForgePage, mobilesd: MobileSDWithJobs
) -> None:
    page = window(forge.url)
    page.get_by_role("button", name="Cancel: a boat at dawn, number 1").press("Enter")
    expect(page.locator(".mobilesd-said").first).to_have_text("It is cancelled.")
    expect(row(page, "number 1").locator(".mobilesd-state")).to_have_text("Cancelled")
    page.get_by_role("button", name="Retry: a boat at dawn, number 1").press(" ")
    expect(row(page, "number 1").locator(".mobilesd-state")).to_have_text("Waiting")


def test_a_refused_change_is_told_in_mobilesds_words(
    window: Callable[..., Page], forge: ForgePage, mobilesd: MobileSDWithJobs
) -> None:
    mobilesd.reply["/retry"] = problem(409, "job_operation_conflict", message="It was changed.")
    page = window(forge.url)
    page.get_by_role("button", name="Retry: a boat at dawn, number 4").click()
    expect(page.locator(".mobilesd-said").first).to_have_text("It was changed.")


def test_a_link_leads_to_the_job_and_carries_no_secret(
    window: Callable[..., Page], forge: ForgePage, server: Scripted
) -> None:
    page = window(forge.url)
    link = row(page, "number 3").get_by_role("link", name="Open in MobileSD")
    expect(link).to_have_attribute("href", f"{server.url}/jobs/{ALL[2]['mobilesd_job_id']}")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    html = page.content()
    assert KEY.partition(".")[2] not in html
    assert forge._service.page_token not in "".join(forge.asked), "the token is in no address"


def test_a_jobs_settings_are_sent_back_to_the_page(
    window: Callable[..., Page], forge: ForgePage
) -> None:
    page = window(forge.url)
    row(page, "number 3").get_by_role("button", name="Send to the page").click()
    expect(page.locator("#pasted")).to_have_text("a boat Steps: 4, Sampler: Euler, Seed: 5")
    expect(page.locator(".mobilesd-said").first).to_have_text(
        "The settings of this job are on the page txt2img."
    )
    expect(page.get_by_role("button", name="Send to the page: a boat at")).to_have_count(1)


def test_a_forge_that_can_not_take_settings_offers_no_button(
    window: Callable[..., Page], forge: ForgePage
) -> None:
    page = window("about:blank")
    page.add_init_script(
        "document.addEventListener('DOMContentLoaded', () =>"
        " document.querySelector('#mobilesd_paste_txt2img')?.remove())"
    )
    page.goto(forge.url)
    expect(row(page, "number 3")).to_be_visible()
    expect(page.get_by_role("button", name="Send to the page:")).to_have_count(0)


def test_the_outbox_comes_first_and_can_be_put_right(
    window: Callable[..., Page],
    forge: ForgePage,
    service: Service,
    mobilesd: MobileSDWithJobs,
    server: Scripted,
) -> None:
    mobilesd.reply["/generate"] = problem(400, "invalid_field_value", message="The width is wrong.")
    service.submit({"positive_prompt": "a bad one"}, click_id="1")
    service.submit({"positive_prompt": "a good one"}, click_id="2")
    page = window(forge.url)
    expect(page.locator(".mobilesd-job").first).to_contain_text("a bad one")
    expect(row(page, "a bad one")).to_contain_text("Refused")
    expect(row(page, "a bad one")).to_contain_text("The width is wrong.")
    drop = page.get_by_role("button", name="Drop: a good one")
    drop.click()
    page.get_by_role("button", name="Drop it for good").click()
    expect(row(page, "a good one")).to_have_count(0)
    del mobilesd.reply["/generate"]
    page.get_by_role("button", name="Send again: a bad one").click()
    expect(row(page, "a bad one")).to_have_count(0)
    assert [a.json["generation_params"] for a in server.asked if a.path == "/api/v2/generate"][
        -1
    ] == {"positive_prompt": "a bad one"}


def test_while_mobilesd_is_away_the_panel_says_so_and_what_waits_is_counted(
    window: Callable[..., Page],
    forge: ForgePage,
    service: Service,
    mobilesd: MobileSDWithJobs,
) -> None:
    mobilesd.reply["/api"] = Reply(502, body=b"")
    service.submit({"positive_prompt": "kept"}, click_id="1")
    page = window(forge.url)
    expect(page.locator(".mobilesd-fault")).to_contain_text("MobileSD behind it does not (502)")
    expect(page.locator(".mobilesd-head")).to_contain_text("1 in the outbox")
    expect(row(page, "kept")).to_contain_text("sent as soon as MobileSD takes it")
    mobilesd.reply.clear()
    expect(page.locator(".mobilesd-fault")).to_be_hidden(timeout=20_000)
    expect(row(page, "kept")).to_have_count(0)


def test_what_mobilesd_does_not_have_is_counted_beside_the_buttons(
    window: Callable[..., Page],
    forge: ForgePage,
    service: Service,
    mobilesd: MobileSDWithJobs,
) -> None:
    page = window(forge.url)
    page.locator("summary").click()
    note = page.locator(".mobilesd-box .mobilesd-outbox")
    expect(note).to_be_hidden()
    mobilesd.reply["/generate"] = problem(400, "x")
    service.submit({"positive_prompt": "refused"}, click_id="1")
    mobilesd.reply["/generate"] = Reply(502, body=b"")
    service.submit({"positive_prompt": "kept"}, click_id="2")
    answer_press(page, 1)
    expect(note).to_have_text("1 in the outbox · 1 refused")
    del mobilesd.reply["/generate"]
    service.sender.wake()
    eventually(lambda: service.outbox.count() == 0)
    expect(note).to_have_text("1 refused", timeout=25_000)  # without a press
    asked = [path for path in forge.asked if "/mobilesd/page/held" in path]
    assert len(asked) <= 5


def answer_press(page: Page, number: int) -> None:
    """Put into the page what Forge's page answers to a press."""
    page.locator("#mobilesd_txt2img_status").evaluate(
        "(status, number) => { status.innerHTML ="
        " `<p class='mobilesd-status' data-press='${number}'>said</p>`; }",
        number,
    )


def test_forge_itself_is_gone_and_comes_back(
    window: Callable[..., Page], service: Service, forge: ForgePage
) -> None:
    page = window(forge.url)
    expect(page.locator(".mobilesd-job")).to_have_count(5)
    page.route("**/mobilesd/page/state", lambda route: route.abort())
    expect(page.locator(".mobilesd-fault")).to_have_text(
        "Forge does not answer. Is it still running?"
    )
    expect(page.locator(".mobilesd-job")).to_have_count(5)
    page.unroute("**/mobilesd/page/state")
    fault = page.locator(".mobilesd-fault")
    expect(fault).to_be_hidden(timeout=40_000)
    service.page_token = "of another start"
    expect(fault).to_have_text("Reload this page: Forge was started anew.", timeout=20_000)


def test_a_forge_that_never_answers_is_asked_again(
    window: Callable[..., Page], forge: ForgePage
) -> None:
    page = window(forge.url)
    expect(page.locator(".mobilesd-job")).to_have_count(5)
    page.route("**/mobilesd/page/state", lambda route: None)
    fault = page.locator(".mobilesd-fault")
    expect(fault).to_have_text("Forge does not answer. Is it still running?", timeout=30_000)
    page.unroute("**/mobilesd/page/state")
    expect(fault).to_be_hidden(timeout=40_000)


def test_hostile_texts_stay_texts(
    window: Callable[..., Page],
    forge: ForgePage,
    service: Service,
    mobilesd: MobileSDWithJobs,
) -> None:
    params = {"positive_prompt": HOSTILE}
    reason = {"message": HOSTILE, "action": HOSTILE}
    error = {"message": HOSTILE, "hint": HOSTILE}
    mobilesd.jobs[:] = [
        job(1, generation_params=params, waiting_reason=reason),
        job(2, "processing", generation_params=params, progress_text=HOSTILE, server_alias=HOSTILE),
        job(3, "failed", generation_params=params, error=error, warnings=[HOSTILE]),
    ]
    mobilesd.reply["/generate"] = problem(400, "x", message=HOSTILE)
    service.submit(params, click_id="1")
    page = window(forge.url)
    expect(page.locator(".mobilesd-job")).to_have_count(4)
    expect(page.locator(".mobilesd-title").first).to_have_text(HOSTILE)
    assert page.title() == "Forge"
    assert page.locator(".mobilesd-jobs script, .mobilesd-jobs img[src=x]").count() == 0


def test_nothing_is_asked_while_the_panel_is_closed(
    window: Callable[..., Page], forge: ForgePage
) -> None:
    page = window(forge.url)
    expect(page.locator(".mobilesd-job")).to_have_count(5)
    page.locator("summary").click()
    page.wait_for_timeout(1500)
    forge.asked.clear()
    page.wait_for_timeout(2500)
    assert not forge.asked
    page.locator("summary").click()
    eventually(lambda: forge.asked or page.wait_for_timeout(50))


def test_it_works_below_a_path(window: Callable[..., Page], service: Service) -> None:
    with forge_page(service, "/forge") as below:
        expect(window(below.url).locator(".mobilesd-job")).to_have_count(5)


def test_the_key_is_entered_replaced_and_forgotten(
    window: Callable[..., Page], forge: ForgePage, service: Service, server: Scripted
) -> None:
    service.forget_key()
    page = window(forge.url)
    place = page.locator(".mobilesd-key")
    field = page.get_by_label("API key of MobileSD")
    expect(place).to_contain_text("No key is stored.")
    field.fill("no key")
    field.press("Enter")
    expect(place).to_contain_text("This is no API key of MobileSD")
    assert service.key_file.read() is None
    field.fill(KEY)
    page.get_by_role("button", name="Store").click()
    expect(place).to_contain_text(f"The key abcdefgh… is stored, for {server.url}.")
    expect(field).to_have_value("")
    expect(field).to_have_attribute("type", "password")
    stored = service.key_file.read()
    assert stored is not None
    assert stored.key == KEY
    page.reload()
    expect(page.get_by_role("button", name="Replace")).to_be_visible()
    assert KEY.partition(".")[2] not in page.content()
    page.get_by_role("button", name="Forget").click()
    expect(place).to_contain_text("No key is stored.")


def test_the_connection_is_tested(
    window: Callable[..., Page], forge: ForgePage, mobilesd: MobileSDWithJobs
) -> None:
    mobilesd.reply["/whoami"] = problem(401, "api_key_expired")
    page = window(forge.url)
    place = page.locator(".mobilesd-test")
    page.get_by_role("button", name="Test connection").click()
    expect(place).to_contain_text("The API key has expired. Make a new one on MobileSD's page Keys")
    expect(place.locator(".mobilesd-bad")).to_have_count(1)
    scopes = ["jobs:read", "jobs:write", "servers:read", "images:read"]
    who = {"name": "forge", "scopes": scopes, "server_version": "0.1.0"}
    mobilesd.reply["/whoami"] = Reply(json=who)
    page.get_by_role("button", name="Test connection").click()
    expect(place).to_contain_text("Connected to MobileSD 0.1.0")
    expect(place.locator(".mobilesd-bad")).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_it_is_readable_reachable_and_fits(
    window: Callable[..., Page],
    forge: ForgePage,
    service: Service,
    mobilesd: MobileSDWithJobs,
    size: tuple[int, int],
    theme: str,
) -> None:
    mobilesd.jobs[0] = job(1, generation_params={"positive_prompt": "x" * 200})
    mobilesd.reply["/generate"] = problem(400, "x", message="w" * 300)
    service.submit({"positive_prompt": "refused"}, click_id="1")
    page = window(f"{forge.url}?{theme}", size)
    expect(page.locator(".mobilesd-job")).to_have_count(6)
    expect(page.get_by_role("img")).to_be_visible()
    scripts = ["poor_contrast.js", "nameless.js", *(["small_targets.js"] if size == PHONE else [])]
    for script in scripts:
        assert page.evaluate((SCRIPTS / script).read_text()) == [], script
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
