"""The one who delivers: follows the events, hands deliveries to threads, writes down results.

It is one task of the background cluster, which lives as long as there is an active webhook and
sees a new event within some 30 ms: whoever makes an event does nothing for it. All rows are read
and written in its own thread; the threads that send know no database.
"""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from jobs.live.tail import Tail, open_tail
from jobs.models import Delivery, DeliveryState, Event, Webhook
from jobs.ports import ports
from jobs.webhooks.addresses import Resolver, resolve
from jobs.webhooks.claims import Claim, claim, settle, switch_off
from jobs.webhooks.fanout import fan_out
from jobs.webhooks.makers import actor_of
from jobs.webhooks.sending import Outcome, post
from jobs.webhooks.signing import signature, unsealed_secret

__all__ = ["Runner"]

log = logging.getLogger(__name__)

AT_ONCE = 8
# Of one owner: else somebody whose addresses all answer slowly would hold up everybody.
AT_ONCE_EACH = 4
IDLE_SECONDS = 1.0
_LOOK_SECONDS = 0.03
# How long results are waited for at a stop, which has 4 seconds in all.
LAST_SECONDS = 1.5
_USER_AGENT = "MobileSD-Webhook/1"


class Runner:
    """Delivers until it is told to stop, its time is over, or there is no active webhook.

    `stop` is asked several times a second.
    """

    def __init__(
        self, *, stop: Callable[[], bool] = lambda: False, resolver: Resolver = resolve
    ) -> None:
        self._stop = stop
        self._resolver = resolver
        self._sending: dict[Future[Outcome], Claim] = {}
        self._scanned: dict[UUID, int] = {}

    def run(self, seconds: float) -> bool:
        """Deliver for so long; return whether there is more to do for a successor."""
        end = time.monotonic() + seconds
        more = True
        with closing(open_tail()) as tail:
            while more and not self._stop() and time.monotonic() < end:
                more = self.round() or bool(self._sending)
                if more:
                    self._wait(tail)
        self.finish()
        return more

    def round(self) -> bool:
        """Do what can be done now; return whether there is an active webhook."""
        self._settle_finished()
        webhooks = list(
            Webhook.objects.filter(is_active=True)
            .select_related("owner", "api_key__owner")
            .order_by("pk")
        )
        served = []
        newest = Event.objects.last_id()
        for webhook in webhooks:
            actor = actor_of(webhook)
            if actor is None:
                continue
            served.append(webhook)
            after = max(webhook.last_event_id, self._scanned.get(webhook.pk, 0))
            if after < newest:
                self._scanned[webhook.pk] = fan_out(webhook, actor, after=after, newest=newest)
        self._start(served)
        return bool(webhooks)

    def finish(self) -> None:
        """Write down the results that come soon; the other deliveries are sent again later."""
        end = time.monotonic() + LAST_SECONDS
        while self._sending and time.monotonic() < end:
            self._settle_finished()
            time.sleep(0.01)

    @property
    def is_sending(self) -> bool:
        """Tell whether some try is under way."""
        return bool(self._sending)

    def _wait(self, tail: Tail) -> None:
        """Wait for a change of the database, for a result, or for a while: some row is due."""
        end = time.monotonic() + IDLE_SECONDS
        while time.monotonic() < end and not self._stop():
            if self._sending:
                finished = wait(self._sending, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
                if finished.done or tail.wait(0):
                    return
            elif tail.wait(_LOOK_SECONDS):
                return

    def _start(self, webhooks: Sequence[Webhook]) -> None:
        now = timezone.now()
        ready = [each.pk for each in webhooks if each.not_before is None or each.not_before <= now]
        if not ready:
            return
        waiting = Delivery.objects.filter(
            webhook__in=ready, state=DeliveryState.PENDING, due_at__lte=now
        )
        wanted = sorted(waiting.values_list("webhook", flat=True).distinct())
        owners = {each.pk: each.owner_id or each.api_key_id for each in webhooks}
        under_way = Counter(owners.get(each.webhook_id) for each in self._sending.values())
        for webhook_id in random.sample(wanted, len(wanted)):  # nobody is always the last
            owner = owners[webhook_id]
            if len(self._sending) >= AT_ONCE:
                return
            if under_way[owner] >= AT_ONCE_EACH:
                continue
            taken = claim(webhook_id)
            if taken is not None:
                under_way[owner] += 1
                self._send(taken)

    def _send(self, taken: Claim) -> None:
        secret = unsealed_secret(taken.sealed_secret)
        if not secret:
            switch_off(
                taken.webhook_id,
                "Its secret can't be read any more, because the secret key of MobileSD has"
                " changed. Give it a new secret and switch it on.",
            )
            return
        body = taken.body.encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": _USER_AGENT,
            "Connection": "close",
            "X-MobileSD-Event": taken.kind,
            "X-MobileSD-Delivery": str(taken.public_id),
            "X-MobileSD-Signature": signature(secret, body, int(time.time())),
        }
        allow_local: bool = settings.WEBHOOK_ALLOW_LOCAL
        servers = ports.servers.endpoints()  # as they are now; the thread knows no database
        future: Future[Outcome] = Future()

        def work() -> None:
            future.set_result(
                post(
                    taken.url,
                    headers,
                    body,
                    allow_local=allow_local,
                    servers=servers,
                    resolver=self._resolver,
                )
            )

        self._sending[future] = taken
        # A daemon: the end of the process must not wait for an address that does not answer.
        threading.Thread(target=work, name="webhook", daemon=True).start()

    def _settle_finished(self) -> None:
        for future in [each for each in self._sending if each.done()]:
            settle(self._sending.pop(future), future.result())
