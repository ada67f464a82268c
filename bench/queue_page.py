"""The queue page with 500 waiting jobs on a phone: the longest task of the page's main thread.

`python -m bench.queue_page [COUNT]`. Chromium at 390×844. All figures are processor time of that
thread, as Chromium's trace has them, so that what else the machine does counts nothing. Scenes: the
page is loaded; scrolled from end to end; a row is dragged; jobs change while somebody looks.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from bench.common import installation, tell_and_exit, verdict
from bench.drag import fill
from tests.processes.installation import Api, Installation

JOBS = 500
PHONE = {"width": 390, "height": 844}
CHROMIUM = "/usr/bin/chromium"
LONGEST = 200
_CHANGES = 20
_TASKS = ("RunTask", "ThreadControllerImpl::RunTask")
_COUNTED = ("ScriptDuration", "LayoutDuration", "RecalcStyleDuration", "TaskDuration")


def _longest(trace: bytes) -> float:
    """Return the longest task of all main threads of pages, in ms of the processor."""
    events = json.loads(trace)["traceEvents"]
    mains = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    tasks = [
        event["tdur"] / 1000
        for event in events
        if event["name"] in _TASKS and "tdur" in event and (event["pid"], event["tid"]) in mains
    ]
    if not tasks:
        raise RuntimeError("Chromium's trace names no task with its processor time")
    return max(tasks)


@contextmanager
def _measured(browser: Browser, page: Page, words: str) -> Iterator[None]:
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def metrics() -> dict[str, float]:
        found = session.send("Performance.getMetrics")["metrics"]
        return {entry["name"]: entry["value"] * 1000 for entry in found}

    before = metrics()
    browser.start_tracing(
        page=page, categories=["toplevel", "disabled-by-default-devtools.timeline"]
    )
    yield
    longest, after = _longest(browser.stop_tracing()), metrics()
    sums = "  ".join(
        f"{name.removesuffix('Duration').lower()} {max(0.0, after[name] - before[name]):5.0f}"
        for name in _COUNTED
    )
    print(
        f"{words:<28} longest task {longest:5.0f} ms   in all (ms): {sums}"
        f"   wanted: ≤ {LONGEST} ms: {verdict(longest <= LONGEST)}",
        flush=True,
    )


def _sign_in(page: Page, started: Installation) -> None:
    started.create_user()
    page.goto(started.url)
    page.locator("input[name=username]").fill("admin")
    page.locator("input[name=password]").fill("correct horse")
    page.locator("form button").first.click()
    page.wait_for_selector("#waiting", state="attached")


def _all_shown(page: Page, count: int) -> None:
    page.wait_for_function(
        "count => document.querySelectorAll('#waiting > [data-entry]').length >= count",
        arg=count,
        timeout=120_000,
    )


def _scroll(page: Page) -> None:
    page.evaluate(
        """async () => {
            const step = innerHeight;
            for (let y = 0; y < document.body.scrollHeight; y += step) {
                scrollTo(0, y);
                await new Promise((done) => requestAnimationFrame(done));
            }
            scrollTo(0, 0);
        }"""
    )


def _drag(page: Page) -> None:
    """Drag the second row four places down, with a finger that is held on it first."""
    finger = page.context.new_cdp_session(page)

    def touch(kind: str, *points: dict[str, float]) -> None:
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    handles = page.locator("#waiting > [data-entry] button[aria-label^='Move:']")
    first, last = (handles.nth(place).bounding_box() for place in (1, 5))
    assert first is not None and last is not None
    x, y = first["x"] + first["width"] / 2, first["y"] + first["height"] / 2
    touch("touchStart", {"x": x, "y": y})
    page.wait_for_selector(".ghost")
    for step in range(1, 11):
        touch("touchMove", {"x": x, "y": y + (last["y"] + 14 - first["y"]) * step / 10})
    touch("touchEnd")
    page.wait_for_function(
        "() => document.querySelector('#queue-says')?.textContent.includes('Put down')"
    )


def _changes(page: Page, api: Api) -> Callable[[], None]:
    def change() -> None:
        page.evaluate("scrollTo(0, 0)")
        ids = page.eval_on_selector_all(
            "#waiting > [data-entry]", "rows => rows.map((row) => row.id.replace('job-', ''))"
        )
        for number in range(_CHANGES):
            moved = api.post(f"/api/v2/jobs/{ids[-1 - number]}/move", json={"to": "first"})
            moved.raise_for_status()
        page.wait_for_function(
            "id => document.querySelector('#waiting > [data-entry]').id === `job-${id}`",
            arg=ids[-_CHANGES],
            timeout=60_000,
        )

    return change


def main(count: int = JOBS) -> None:
    with installation() as started, sync_playwright() as playwright:
        fill(started, count)
        token = started.create_key(
            "--rate", "unlimited", "--scopes", "jobs:write,jobs:read,jobs:all"
        )
        api: Any = Api(started.url, token)
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
        page = context.new_page()
        _sign_in(page, started)
        with _measured(browser, page, f"{count} rows: load"):
            page.goto(f"{started.url}/?shown={count}")
            _all_shown(page, count)
            page.wait_for_load_state("networkidle")
        with _measured(browser, page, "scroll from end to end"):
            _scroll(page)
        with _measured(browser, page, "drag a row"):
            _drag(page)
        with _measured(browser, page, f"{_CHANGES} moves by others"):
            _changes(page, api)()
        browser.close()


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
    tell_and_exit()
