"""A real browser and a real web process on the test's database."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from playwright.sync_api import Browser, Page, sync_playwright

from mobilesd.supervisor.network import free_port
from tests import factories
from tests.processes.conftest import install, prepared_folder  # noqa: F401  fixtures

ROOT = Path(__file__).resolve().parents[2]
PHONE = (390, 844)
DESK = (1280, 800)
READY_SECONDS = 60

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


# What Chromium and htmx say of a refused form (4xx), a missing preview and a killed server.
_EXPECTED = (
    "Failed to load resource",
    "Response Status Error Code",
    "net::ERR_",
    "WebSocket connection to",
    "htmx:sendError",
    "htmx:afterRequest",
)


class Web:
    """A daphne process on the test's database."""

    def __init__(self, folder: Path, database: str) -> None:
        self.data_dir = folder / "data"
        self.data_dir.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "daphne.log"
        self._env = {
            **{name: value for name, value in os.environ.items() if "MOBILESD_" not in name},
            "DJANGO_SETTINGS_MODULE": "tests.browser.web_settings",
            "MOBILESD_DATA_DIR": str(self.data_dir),
            "TEST_DATABASE": database,
            "MOBILESD_SECRET_KEY": django_settings.SECRET_KEY,  # sessions made here count there
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process if it is not there, and wait until it answers."""
        if self._process is not None and self._process.poll() is None:
            return
        command = ["daphne", "-b", "127.0.0.1", "-p", str(self.port), "mobilesd.asgi:application"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env=self._env,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            try:
                if requests.get(f"{self.url}/status", timeout=2).ok:
                    return
            except requests.RequestException:
                time.sleep(0.1)
        raise AssertionError(f"no web process:\n{self.log}")

    def kill(self) -> None:
        """Kill the process, as an out-of-memory killer would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")


class Site:
    """The pages of a web process, as a person with a browser sees them."""

    def __init__(self, web: Web, browser: Browser) -> None:
        self.web = web
        self._browser = browser
        self._contexts: list[Any] = []
        self.complaints: list[str] = []

    def page_at(
        self, size: tuple[int, int] = PHONE, *, dark: bool = False, user: str = "", **options: Any
    ) -> Page:
        """Open a browser window; with `user` signed in and on the queue page."""
        mobile = size == PHONE
        context = self._browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            is_mobile=mobile,
            has_touch=mobile,
            base_url=self.web.url,
            **options,
        )
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        if user:
            self.sign_in(page, user)
        return page

    def sign_in(self, page: Page, user: str) -> None:
        """Give the browser a session of this user, and open the queue page."""
        client = Client()
        client.force_login(get_user_model().objects.get(username=user))
        name = django_settings.SESSION_COOKIE_NAME
        cookie = client.cookies[name].value
        page.context.add_cookies([{"name": name, "value": cookie, "url": self.web.url}])
        page.goto("/")

    def _listen(self, message: Any) -> None:
        if message.type == "error" and not any(text in message.text for text in _EXPECTED):
            self.complaints.append(message.text)

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    # Playwright keeps an event loop running in this thread, where Django takes any query for a
    # mistake. Nothing of the loop's own uses the database.
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def web(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    process = Web(tmp_path_factory.mktemp("web"), str(connection.settings_dict["NAME"]))
    process.start()
    yield process
    process.kill()


@pytest.fixture
def site(
    web: Web, chromium: Browser, transactional_db: None, data_dir: Path, settings: Any
) -> Iterator[Site]:
    web.start()  # a test before may have killed it
    settings.DATA_DIR = web.data_dir  # pictures lie where the web process looks for them
    opened = Site(web, chromium)
    factories.staff("anna")
    yield opened
    opened.close()
    assert not opened.complaints, opened.complaints
