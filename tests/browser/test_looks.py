"""How the pages look: measured, on a phone and a desk, light and dark."""

import uuid
from pathlib import Path

import pytest
from django.utils import timezone

from apikeys.actors import Actor
from dispatch.models import Inventory
from jobs.choices import Status
from jobs.models import Batch, JobProgress
from jobs.notifications import services as notifiers
from jobs.services import presets
from tests import factories
from tests.browser.conftest import DESK, PHONE

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SCRIPTS = Path(__file__).parent


def fill() -> dict[str, str]:
    """Make one of everything that a page can show; return the addresses of all pages."""
    from django.contrib.auth import get_user_model

    anna = get_user_model().objects.get(username="anna")
    long = "a lighthouse " * 20 + "Donaudampfschifffahrtsgesellschaftskapitän" * 3
    params = {"positive_prompt": long, "negative_prompt": "blurry", "width": 832, "height": 1216}
    server = factories.server("gaming-pc", loaded_checkpoint="x" * 60 + ".safetensors")
    factories.server("attic", health="offline", health_text="Nothing answers at 10.0.0.3:7860.")
    Inventory.objects.create(
        server=server,
        data={"checkpoints": [{"name": "a/" + "b" * 80}], "loras": ["c" * 80]},
        updated_at=timezone.now(),
    )

    def job(status: str, **fields):
        return factories.job(status, owner=anna, generation_params=params, **fields)

    running = job(Status.PROCESSING, server_alias="gaming-pc")
    attempt = factories.attempt(running)
    JobProgress.objects.create(
        job=running,
        attempt=attempt.token,
        progress=0.4,
        text="Step 8 of 20",
        eta_seconds=70,
        updated_at=timezone.now(),
    )
    waiting = job(Status.PENDING, target_server_alias="attic")
    batch = Batch.objects.create(total=4, run_first=2, owner=anna, created_at=timezone.now())
    for n, status in enumerate((Status.COMPLETED, Status.FAILED, Status.PENDING, Status.PENDING)):
        of_batch = job(status, batch=batch, held=n == 3)
        if n == 0:
            factories.image(of_batch)
    failed = job(Status.FAILED, error_message="It went wrong. " * 6, error_hint="Do this.")
    factories.attempt(failed, ended_at=timezone.now(), outcome="error", error_message="So it is.")
    job(Status.CANCELLED)
    done = job(Status.COMPLETED, warnings=["The sampler was replaced."])
    for n in range(3):
        factories.image(
            done,
            factories.png(416, 608, ("red", "green", "blue")[n]),
            width=416,
            height=608,
            index=n,
            attempt=uuid.uuid4(),
            seed=str(n),
        )
    actor = Actor.of_user(anna)
    preset = presets.create(actor, {"name": "Soft", "generation_params": {"steps": 9}})
    told = notifiers.create(actor, {"url": "ntfys://ntfy.sh/x", "kinds": ["done"]})
    held = batch.jobs.get(held=True)
    return {
        "queue": "/",
        "held": f"/jobs/{held.pk}",
        "held-menu": f"/jobs/{held.pk}/menu",
        "preset-edit": f"/presets/{preset.pk}/edit",
        "queue-export": "/queue/export",
        "notifier-edit": f"/notifications/{told.pk}/edit",
        "select": "/?select=1",
        "menu": f"/jobs/{waiting.pk}/menu",
        "plan": "/queue/plan",
        "edit-job": f"/jobs/{waiting.pk}/edit",
        "batch": f"/batches/{batch.pk}",
        "new": "/new",
        "again": f"/new?from={done.pk}",
        "then-upscale": f"/new/upscale?job={waiting.pk}",
        "upscale": f"/new/upscale?image={done.images.first().pk}",
        "done": f"/jobs/{done.pk}",
        "running": f"/jobs/{running.pk}",
        "failed": f"/jobs/{failed.pk}",
        "servers": "/servers",
        "add": "/servers/add",
        "edit": "/servers/gaming-pc/edit",
        "extension": "/extensions/forge/",
        "missing": "/nothing-here",
    }


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_every_page_fits_can_be_read_and_touched(site, size, dark):
    pages = fill()
    page = site.page_at(size, dark=dark, user="anna")
    for name, address in pages.items():
        page.goto(address)
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], name
        assert page.evaluate((SCRIPTS / "small_targets.js").read_text()) == [], name
        assert page.evaluate((SCRIPTS / "poor_contrast.js").read_text()) == [], name
        assert page.evaluate((SCRIPTS / "nameless.js").read_text()) == [], name


def test_nothing_moves_while_pages_load(site):
    pages = fill()
    page = site.page_at(PHONE, user="anna")
    page.add_init_script(
        """window.shifted = 0;
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) window.shifted += entry.value;
        }).observe({ type: "layout-shift", buffered: true });"""
    )
    for name, address in pages.items():
        page.goto(address)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.shifted") < 0.02, name


def test_the_keyboard_reaches_everything_with_a_visible_focus(site):
    fill()
    page = site.page_at(DESK, user="anna")
    page.goto("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(6):
        page.keyboard.press("Tab")
        width = page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
        assert width >= 2
