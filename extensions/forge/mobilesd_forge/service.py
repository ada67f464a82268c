"""What Forge's side of the extension may use of the rest; nothing here knows Forge."""

import hmac
import logging
import secrets
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mobilesd_forge import asgi
from mobilesd_forge import settings as options
from mobilesd_forge.client import Client
from mobilesd_forge.disk import Busy
from mobilesd_forge.faults import Fault
from mobilesd_forge.outbox import Entry, NotAccepted, Order, Outbox
from mobilesd_forge.page_routes import PageRoutes
from mobilesd_forge.secret import BadKey, KeyFile, installation_id
from mobilesd_forge.sender import Sender
from mobilesd_forge.settings import BadAddress, Settings
from mobilesd_forge.watcher import Watcher

__all__ = ["Service", "Submitted"]

log = logging.getLogger(__name__)

MAX_COUNT = 1000  # of one bulk order
MAX_SHOWN = 100
OUTCOME_SECONDS = 1.5  # that a click waits to hear what became of it


class App(Protocol):
    """Forge's web application, a FastAPI."""

    def mount(self, path: str, app: Any, name: str | None = None) -> None: ...


@dataclass(frozen=True)
class Submitted:
    """Whether a click was taken, and what to say of it."""

    accepted: bool
    text: str


class Service:
    """One installation of the extension. What waits for the network says so."""

    def __init__(self, data_folder: Path, read_settings: Callable[[], Settings]) -> None:
        self.page_token = secrets.token_urlsafe(24)
        self._read_settings = read_settings
        self._folder = data_folder
        self.key_file = KeyFile(data_folder)
        self._started = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._servers: list[str] = []
        self._servers_lock = threading.Lock()
        self._asking_servers: threading.Thread | None = None
        self._broken = ""
        # One for all apps that Forge makes: it makes a new one each time its page is reloaded.
        self._routes = asgi.application(PageRoutes(self))
        try:
            self.installation = installation_id(data_folder)
            self.outbox = Outbox(data_folder, self.installation)
        except OSError as error:
            # Forge's page must come up all the same; each click says why it can't be taken.
            self._broken = f"The folder {data_folder} can't be used ({error.strerror or error})."
            log.error("MobileSD: %s", self._broken)
            return
        self.sender = Sender(self.outbox, self.connect, self._fingerprint)
        self.watcher = Watcher(self.connect, self._fingerprint, on_contact=self._contact)
        self.sender.on_delivered = self.watcher.stir

    # --- Life ------------------------------------------------------------------------------------
    def start(self) -> None:
        """Start the threads, once; the network is used there only."""
        with self._started:
            if self._threads or self._broken:
                return
            for name, run in (
                ("sender", self.sender.run),
                ("list", self.watcher.keep_list),
                ("events", self.watcher.follow_events),
            ):
                thread = threading.Thread(target=run, name=f"mobilesd-{name}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self.refresh_servers()

    def stop(self) -> None:
        """Let the threads end; what waits stays on disk."""
        if not self._broken:
            self.sender.stop()
            self.watcher.stop()

    def install_routes(self, app: App) -> None:
        """Register what the panel in the page asks for."""
        app.mount(asgi.PREFIX, self._routes, "mobilesd-page")

    def _contact(self) -> None:
        """MobileSD was just seen to answer: what waits for that needs to wait no longer."""
        fault = self.sender.fault
        if fault is not None and fault.is_silence:
            self.sender.wake()

    # --- Clicks ----------------------------------------------------------------------------------
    def submit(
        self,
        params: dict[str, Any],
        *,
        click_id: str,
        count: int = 1,
        seed_variation: str = "incremental",
    ) -> Submitted:
        """Write a submission down for sending. The same click id is the same submission.

        Waits a moment for what becomes of it: only what is known is said.
        """
        if self._broken:
            return Submitted(False, f"{self._broken} Nothing was queued.")
        if not 1 <= count <= MAX_COUNT:
            return Submitted(False, f"The count must be from 1 to {MAX_COUNT}. Nothing was queued.")
        wanted = self._read_settings()
        try:
            options.checked_url(wanted.url)
            order = Order(
                params, wanted.target, wanted.priority, wanted.lane, count, seed_variation
            )
            added = self.outbox.add(order, click_id)
        except BadAddress as error:
            return Submitted(False, f"{error} Nothing was queued.")
        except NotAccepted as error:
            return Submitted(False, str(error))
        # Nobody sends before `start`.
        outcome = self.sender.outcome(
            self.outbox.digest_of(click_id), OUTCOME_SECONDS if self._threads else 0.0
        )
        if outcome is not None and outcome.refused:
            return Submitted(False, f"MobileSD refused it. {outcome.refused}")
        if not added:
            return Submitted(True, "This click was taken already.")
        jobs = "1 job" if count == 1 else f"{count} jobs"
        if outcome is not None:
            return Submitted(True, f"{jobs} queued in MobileSD.")
        return Submitted(True, self._not_sent_yet(jobs, one=count == 1))

    def _not_sent_yet(self, jobs: str, *, one: bool) -> str:
        waiting = self.outbox.count()
        if fault := self.sender.fault or self._unready():
            there = f"{waiting} waits there" if waiting == 1 else f"{waiting} wait there"
            return f"{jobs} kept in the outbox ({there}) and sent later. {fault.text}"
        their = "is on its way" if one else "are on their way"
        return f"{jobs} {their} to MobileSD ({waiting} in the outbox)."

    def _unready(self) -> Fault | None:
        """Return what is missing here before anything can be sent."""
        try:
            self.connect()
        except Fault as fault:
            return fault
        return None

    # --- MobileSD --------------------------------------------------------------------------------
    def connect(self) -> Client:
        """Return a client of what is set now; raise Fault if something of it is missing."""
        self._check_folder()
        try:
            url = options.checked_url(self._read_settings().url)
        except BadAddress as error:
            raise Fault("address", str(error)) from None
        stored = self.key_file.read()
        if stored is None:
            raise Fault(
                "key_missing", "Enter an API key of MobileSD in Forge's settings, section MobileSD."
            )
        if stored.address != url:
            raise Fault(
                "key_elsewhere",
                f"The API key was entered for {stored.address}. Enter it again for {url}"
                " in Forge's settings, section MobileSD.",
            )
        return Client(url, stored.key, self.installation)

    def _check_folder(self) -> None:
        if self._broken:
            raise Fault("disk", self._broken)

    def _fingerprint(self) -> Hashable:
        stored = self.key_file.read()
        return self._read_settings().url, stored and (stored.key, stored.address)

    def server_choices(self) -> list[str]:
        """Return the servers' aliases as they were last known; never asks."""
        return list(self._servers)

    def refresh_servers(self, wait: float = 0.0) -> None:
        """Ask for the servers in the background; what is known stays if that fails.

        `wait`: seconds to wait for the answer, for whoever shows the list right after.
        """
        if self._broken:
            return
        with self._servers_lock:
            asking = self._asking_servers
            if asking is None or not asking.is_alive():
                asking = threading.Thread(
                    target=self._ask_servers, name="mobilesd-servers", daemon=True
                )
                self._asking_servers = asking
                asking.start()
        asking.join(wait)

    def _ask_servers(self) -> None:
        try:
            self._servers = self.connect().servers()
        except Fault as fault:
            log.info("MobileSD: the servers are not known: %s", fault.text)

    def test_connection(self) -> str:
        """Return in one sentence whether MobileSD can be used, and if not, why."""
        try:
            return self.check_connection()
        except Fault as fault:
            return fault.text

    def check_connection(self) -> str:
        """Return that MobileSD can be used; raise Fault if it can't."""
        client = self.connect()
        who = client.check()
        self.sender.wake()
        self.refresh_servers()
        return (
            f"Connected to MobileSD {who.server_version} at {client.url}, with the key {who.name}."
        )

    # --- The key ---------------------------------------------------------------------------------
    def store_key(self, key: str) -> str:
        """Store the key for the address that is set; return what to say of it."""
        try:
            url = options.checked_url(self._read_settings().url)
            self.key_file.store(key, url)
        except BadAddress as error:
            raise Fault("address", f"{error} Press Apply there, then enter the key.") from None
        except BadKey as error:
            raise Fault("key_form", str(error)) from None
        except OSError as error:
            raise Fault(
                "disk", f"The key could not be stored ({error.strerror or error})."
            ) from None
        if not self._broken:
            self.sender.wake()
            self.watcher.stir()
        return f"The key is stored, for {url}."

    def forget_key(self) -> str:
        """Remove the key; return what to say of it."""
        try:
            self.key_file.forget()
        except OSError as error:
            raise Fault(
                "disk", f"The key could not be removed ({error.strerror or error})."
            ) from None
        if not self._broken:
            self.watcher.stir()
        return "The key is forgotten."

    def key_shown(self) -> dict[str, Any]:
        """Return what the page may know of the key."""
        stored = self.key_file.read()
        return {
            "stored": stored is not None,
            "prefix": stored.prefix if stored else "",
            "address": stored.address if stored else "",
        }

    # --- The panel -------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """Return all that the panel shows, and note that somebody looks. Never the network."""
        if self._broken:
            return {"jobs": [], "outbox": [], "fault": self._broken, "live": False, "read": True}
        view, held = self.watcher.look(), self.outbox.look()
        fault = view.fault or self.sender.fault
        try:
            address = options.checked_url(self._read_settings().url)
        except BadAddress:
            address = ""
        return {
            "address": address,
            "fault": fault.text if fault else "",
            "live": view.live,
            "read": view.read or fault is not None,
            "jobs": list(view.jobs),
            "pending": view.waiting,
            "outbox": [
                *(
                    self._shown(e, "sending" if e.name == self.sender.sending else "waiting")
                    for e in held.waiting[:MAX_SHOWN]
                ),
                *(self._shown(e, "refused", why) for e, why in held.refused[:MAX_SHOWN]),
            ],
            "waiting": len(held.waiting),
            "refused": len(held.refused),
            "damaged": len(held.damaged),
            "damaged_folder": str(self._folder / "damaged") if held.damaged else "",
        }

    @staticmethod
    def _shown(entry: Entry, state: str, why: str = "") -> dict[str, Any]:
        return {
            "name": entry.name,
            "state": state,
            "prompt": entry.prompt,
            "count": entry.count,
            "created": entry.created,
            "why": why,
        }

    def cancel(self, job_id: str) -> str:
        """Cancel a job; raise Fault."""
        self.connect().cancel(job_id)
        self.watcher.stir()
        return "It is cancelled."

    def retry(self, job_id: str) -> str:
        """Queue a job again; raise Fault."""
        self.connect().retry(job_id)
        self.watcher.stir()
        return "It is queued again."

    def picture(self, job_id: str, number: int) -> tuple[str, bytes]:
        """Return a small picture of a job; raise Fault."""
        self._check_folder()
        return self.watcher.picture(job_id, number)

    def infotext(self, job_id: str) -> str:
        """Return the infotext of a job that is shown, or nothing."""
        self._check_folder()
        return self.watcher.infotext(job_id)

    def held(self) -> dict[str, int]:
        """Return how many MobileSD does not have. Costs little: asked for all the time."""
        if self._broken:
            return {"waiting": 0, "refused": 0}
        return {"waiting": self.outbox.count(), "refused": self.outbox.refused_count()}

    # --- The outbox, by hand ---------------------------------------------------------------------
    def send_again(self, name: str) -> str:
        """Let a refused submission wait again."""
        self._check_folder()
        if not self.outbox.again(name):
            raise Fault("gone", "It is not there any more.")
        self.sender.wake()
        return "It is sent again."

    def drop(self, name: str) -> str:
        """Remove a submission that MobileSD does not have."""
        self._check_folder()
        try:
            if not self.outbox.drop(name):
                raise Fault("gone", "It is not there any more. MobileSD may have it already.")
        except Busy:
            raise Fault(
                "busy", "Something is being sent just now. Try again in a moment."
            ) from None
        return "It is dropped."

    def is_page(self, token: str) -> bool:
        """Tell whether a request comes from the page that was given the token."""
        return hmac.compare_digest(token.encode(), self.page_token.encode())
