"""Forge's page in Chromium, with the extension in it."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import DESK, PHONE, chromium  # noqa: F401  fixture
from tests.extension_forge.page.stand_in import PYTHON, StandIn
from tests.processes.conftest import install, prepared_folder  # noqa: F401  fixtures

Open = Callable[..., Page]

# What Chromium says of Gradio 4.40 itself, and of fonts that are not on this machine.
_OF_GRADIO = (
    "fonts.g",
    "net::ERR_",
    "Connection errored out",  # its event stream, when the page is left
    "Too many arguments provided",
    "Attempted to select a non-interactive",
)


# Only at home: where all is tested, a page that nobody saw would be taken for a good one.
@pytest.fixture(scope="session")
def gradio_python() -> None:
    """Leave the test out where nobody has made Gradio's environment."""
    if not PYTHON.exists() and os.environ.get("CI") != "true":
        pytest.skip("Gradio 4.40 is not installed (`make test` does it)")
    assert PYTHON.exists(), "Gradio 4.40 is not installed: `make test` does it"


@pytest.fixture(scope="module")
def started(gradio_python: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with StandIn(tmp_path_factory.mktemp("forge")) as forge:
        yield forge


@pytest.fixture
def forge(started: StandIn) -> StandIn:
    """A Forge whose extension hands jobs to a service that writes them down."""
    started.forget()
    return started


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Open]:  # noqa: F811
    """Return a function that opens Forge's page and waits until it can be used."""
    expect.set_options(timeout=20_000)
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def listen(message: Any) -> None:
        if "/mobilesd/page/" in message.location.get("url", ""):
            return  # a service that only records has no such routes
        if message.type == "error" and not any(text in message.text for text in _OF_GRADIO):
            complaints.append(message.text)

    def open_it(
        forge: StandIn, size: tuple[int, int] = DESK, *, dark: bool = False, wait: str = "txt2img"
    ) -> Page:
        mobile = size == PHONE
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]}, is_mobile=mobile, has_touch=mobile
        )
        contexts.append(context)
        # Gradio asks for fonts there, and waits for an answer where there is no network.
        context.route("**/fonts.g*/**", lambda route: route.abort())
        context.route("**/cdnjs.cloudflare.com/**", lambda route: route.abort())
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{forge.url}/?__theme={'dark' if dark else 'light'}")
        page.locator(f"#{wait}_generate").wait_for()
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert not complaints, complaints
