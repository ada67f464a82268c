"""The thread that brings the outbox to MobileSD, in order, for as long as it takes."""

import logging
import random
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from mobilesd_forge.client import Client
from mobilesd_forge.disk import Busy
from mobilesd_forge.faults import Fault
from mobilesd_forge.outbox import Outbox, digest_in

__all__ = ["Outcome", "Sender"]

log = logging.getLogger(__name__)

FIRST_PAUSE = 2.0
LONGEST_PAUSE = 60.0
LOOK_SECONDS = 5.0  # for what another process wrote, and for settings that changed
# An order at which MobileSD itself fails must not hold up the others for ever.
MAX_INTERNAL_ERRORS = 6
_ITS_OWN_FAULTS = frozenset({"internal_error", "server_error"})
MAX_OUTCOMES = 1000


@dataclass(frozen=True)
class Outcome:
    """What became of one that was sent: MobileSD has it, or `refused` says why not."""

    refused: str = ""


class Sender:
    """Sends what waits. A fault that may pass is waited out; a refusal sets that one aside.

    `connect` returns a client of what is set now, or raises Fault. `settings` tells when that
    changed: then nothing waits for the end of a pause.
    """

    def __init__(
        self, outbox: Outbox, connect: Callable[[], Client], settings: Callable[[], Hashable]
    ) -> None:
        self._outbox = outbox
        self._connect = connect
        self._settings = settings
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._failures = 0
        self._internal: dict[str, int] = {}
        self._told = threading.Condition()
        self._outcomes: OrderedDict[str, Outcome] = OrderedDict()
        self._rounds = 0  # that have ended
        self.fault: Fault | None = None
        self.sending = ""
        self.on_delivered: Callable[[], None] = lambda: None

    def wake(self) -> None:
        """Try at once: there is something new, or MobileSD was just seen to answer."""
        self._wake.set()

    def stop(self) -> None:
        """Let `run` return after the request that it is in."""
        self._stopped.set()
        self._wake.set()

    def outcome(self, digest: str, seconds: float = 0.0) -> Outcome | None:
        """Wake up, and return what became of a submission; None if that is not known in time.

        A fault that keeps it from being sent ends the wait.
        """
        with self._told:
            before = self._rounds
            self.wake()
            self._told.wait_for(
                lambda: digest in self._outcomes or (self._rounds > before and self.fault),
                seconds,
            )
            return self._outcomes.get(digest)

    def _settle(self, name: str, outcome: Outcome) -> None:
        with self._told:
            digest = digest_in(name)
            self._outcomes[digest] = outcome
            self._outcomes.move_to_end(digest)
            while len(self._outcomes) > MAX_OUTCOMES:
                self._outcomes.popitem(last=False)
            self._told.notify_all()

    def run(self) -> None:
        """Send until `stop`."""
        while not self._stopped.is_set():
            self._wake.clear()
            try:
                pause = self.send_all()
            except Exception as error:  # the thread must live: without it nothing is ever sent
                log.exception("MobileSD: sending failed")
                self.fault = Fault(
                    "failed", f"The extension failed: {type(error).__name__}. See Forge's log."
                )
                pause = LONGEST_PAUSE
            with self._told:
                self._rounds += 1
                self._told.notify_all()
            self._rest(pause)

    def send_all(self) -> float:
        """Send all that waits; return the seconds after which to try again."""
        if not self._outbox.count():
            self.fault, self._failures = None, 0
            return LOOK_SECONDS
        try:
            with self._outbox.sending():
                self._send_each(self._connect())
        except Busy:  # another process of this folder sends
            return LOOK_SECONDS
        except Fault as fault:
            return self._pause(fault)
        except OSError as error:
            why = error.strerror or type(error).__name__
            return self._pause(Fault("disk", f"The outbox of the extension can't be read ({why})."))
        self.fault, self._failures = None, 0
        return LOOK_SECONDS

    def _send_each(self, client: Client) -> None:
        for name in self._outbox.waiting():
            if self._stopped.is_set():
                return
            self.sending = name
            try:
                self._send(client, name)
            finally:
                self.sending = ""

    def _send(self, client: Client, name: str) -> None:
        found = self._outbox.read(name)
        if found is None:
            return
        entry, body = found
        try:
            client.submit(body, bulk=entry.bulk)
        except Fault as fault:
            if not fault.refused and not self._failed_too_often(name, fault):
                raise
            log.warning("MobileSD refused a submission: %s", fault.text)
            self._outbox.refuse(name, fault.text)
            self._settle(name, Outcome(refused=fault.text))
        else:
            self._outbox.delivered(name)
            self._settle(name, Outcome())
        self._internal.pop(name, None)
        self._failures = 0
        self.on_delivered()

    def _failed_too_often(self, name: str, fault: Fault) -> bool:
        if fault.code not in _ITS_OWN_FAULTS:
            return False
        self._internal[name] = self._internal.get(name, 0) + 1
        return self._internal[name] >= MAX_INTERNAL_ERRORS

    # --- Pauses ----------------------------------------------------------------------------------
    def _pause(self, fault: Fault) -> float:
        if self.fault is None or self.fault.text != fault.text:
            log.warning("MobileSD: %s In the outbox: %d.", fault.text, self._outbox.count())
        self.fault = fault
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures, 10))
        self._failures += 1
        # Many Forges must not all come back in the same moment.
        return max(fault.retry_after, pause * random.uniform(0.75, 1.25))

    def _rest(self, seconds: float) -> None:
        """Wait, but not beyond a wake-up or a change of what is set."""
        before = self._settings()
        left = seconds
        while left > 0:
            if self._wake.wait(min(left, LOOK_SECONDS)):
                return
            left -= LOOK_SECONDS
            if self._settings() != before:
                return
