"""From a press in Forge's page to a job in a running MobileSD, and through its death."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, expect

from dispatch.fakes.forge import FakeForge
from tests.extension_forge.page.conftest import Open
from tests.extension_forge.page.stand_in import StandIn
from tests.extension_forge.page.test_buttons import generate, press
from tests.processes.installation import Api, Installation, eventually

pytestmark = [
    pytest.mark.browser,
    pytest.mark.processes,
    pytest.mark.xdist_group("processes"),
    pytest.mark.timeout(300),
]

CHECKPOINT = "random_a.safetensors"


class Everything:
    """A MobileSD with a server, and a Forge whose extension has MobileSD's address."""

    def __init__(self, mobilesd: Installation, gpu: FakeForge, forge: StandIn) -> None:
        self.mobilesd, self.gpu, self.forge = mobilesd, gpu, forge
        self.key = mobilesd.create_key()
        self._all = Api(mobilesd.url, mobilesd.create_key("--scopes", "jobs:read,jobs:all"))

    def jobs(self) -> list[dict[str, Any]]:
        """Return all jobs, oldest first."""
        answer = self._all.get("/api/v2/jobs", params={"order": "asc", "limit": "200"})
        found: list[dict[str, Any]] = answer.json()["jobs"]
        return found

    def completed(self, count: int) -> list[dict[str, Any]]:
        """Wait until there are this many jobs, all done."""

        def are_done() -> list[dict[str, Any]]:
            jobs = self.jobs()
            done = [job for job in jobs if job["status"] == "completed"]
            return jobs if len(done) == len(jobs) == count else []

        try:
            found: list[dict[str, Any]] = eventually(are_done, 150, f"{count} completed jobs")
        except AssertionError as error:
            states = [(job["status"], job["waiting_reason"]) for job in self.jobs()]
            raise AssertionError(f"{states}\n{self.forge.log}") from error
        return found


@pytest.fixture
def everything(
    gradio_python: None, install: Callable[..., Installation], tmp_path: Path
) -> Iterator[Everything]:
    with install() as mobilesd:
        gpu = mobilesd.fake("gpu", checkpoints=[CHECKPOINT], seconds=0.05)
        env = {"STAND_IN_MOBILESD_URL": mobilesd.url, "STAND_IN_CHECKPOINT": CHECKPOINT}
        with StandIn(tmp_path / "forge", recording=False, env=env) as forge:
            yield Everything(mobilesd, gpu, forge)


def enter_key(page: Page, key: str) -> None:
    """Store the key in the settings, and see that the connection stands."""
    page.get_by_role("tab", name="Settings").click()
    page.get_by_label("API key of MobileSD").fill(key)
    page.get_by_role("button", name="Store").click()
    expect(page.locator(".mobilesd-key")).to_contain_text("is stored")
    page.get_by_role("button", name="Test connection").click()
    expect(page.locator(".mobilesd-test")).to_contain_text("Connected to MobileSD")
    page.get_by_role("tab", name="txt2img").first.click()


def test_presses_become_jobs_with_what_the_page_showed(
    everything: Everything, open_page: Open
) -> None:
    page = open_page(everything.forge)
    enter_key(page, everything.key)
    page.locator("#txt2img_prompt textarea").fill("a red fox")
    page.locator("#txt2img_width input[type=number]").fill("128")
    page.locator("#txt2img_height input[type=number]").fill("64")
    page.locator("#txt2img_seed input").fill("4242")
    assert press(page, "queue") == "1 job queued in MobileSD."
    [job] = everything.completed(1)
    params = job["generation_params"]
    assert params["positive_prompt"] == "a red fox"
    assert (params["width"], params["height"], params["seed"]) == (128, 64, 4242)
    assert job["source_info"].startswith("forge-extension/")
    [run] = everything.gpu.log.runs()
    assert run.checkpoint == CHECKPOINT
    assert run.payload["override_settings"]["CLIP_stop_at_last_layers"] == 2
    assert run.payload["override_settings"]["forge_additional_modules"] == ["soft.safetensors"]

    page.locator("#mobilesd_txt2img_count input").fill("3")
    assert press(page, "queue_many") == "3 jobs queued in MobileSD."
    jobs = everything.completed(4)
    assert sorted(job["generation_params"]["seed"] for job in jobs[1:]) == [4242, 4243, 4244]

    page.get_by_role("button", name="MobileSD: jobs").click()
    panel = page.locator("#mobilesd_txt2img_jobs .mobilesd-jobs")
    expect(panel).to_contain_text("a red fox")
    assert everything.key not in page.content()

    page.locator("#txt2img_prompt textarea").fill("another page")
    panel.get_by_role("button", name="Send to").first.click()
    expect(page.locator("#txt2img_prompt textarea")).to_have_value("a red fox")

    made = generate(page, everything.forge)
    assert "MobileSD" not in made["with inputs"]  # type: ignore[operator]
    assert len(everything.jobs()) == 4


def test_a_dead_mobilesd_gets_exactly_one_more_job_when_it_is_back(
    everything: Everything, open_page: Open
) -> None:
    page = open_page(everything.forge)
    enter_key(page, everything.key)
    page.locator("#txt2img_width input[type=number]").fill("64")
    page.locator("#txt2img_height input[type=number]").fill("64")
    press(page, "queue")
    everything.completed(1)
    kill_all(everything.mobilesd)

    page.locator("#mobilesd_txt2img_queue").dblclick()
    status = page.locator("#mobilesd_txt2img_status p:not([data-press='1'])")
    expect(status).to_contain_text(re.compile("in the outbox|taken already"))
    expect(page.locator("#mobilesd_txt2img_box .mobilesd-outbox")).to_have_text("1 in the outbox")
    page.get_by_role("button", name="MobileSD: jobs").click()
    panel = page.locator("#mobilesd_txt2img_jobs .mobilesd-jobs")
    expect(panel).to_contain_text("outbox")
    assert generate(page, everything.forge)["tab"] == "txt2img"  # Forge does not mind

    everything.mobilesd.start()
    assert len(everything.completed(2)) == 2
    expect(panel).not_to_contain_text("outbox")
    assert len(everything.jobs()) == 2
    assert len(everything.gpu.log.runs()) == 2


def kill_all(mobilesd: Installation) -> None:
    """Kill `up` and all its children at once, as a power cut does."""
    children = mobilesd.children()
    mobilesd.kill()
    for child in children:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(children, timeout=10)
