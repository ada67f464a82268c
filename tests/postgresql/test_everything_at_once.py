"""Everybody does everything at the same time for a few seconds: nobody fails, no job is half done.

The other tests of races stop two sessions at a chosen place; this one looks for places that
nobody has thought of.
"""

import contextlib
import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import Count
from django.utils import timezone

from apikeys.actors import Actor
from dispatch import lease
from dispatch.dispatchers.base import Answer, Picture, Progress
from dispatch.lanes import reporting, store
from dispatch.lanes.run import Run
from dispatch.sweep import Sweep
from gallery.models import Image
from jobs import services, transitions
from jobs.choices import FINAL, Outcome, Status
from jobs.models import Attempt, Event, Job, JobProgress
from jobs.services import queue
from jobs.services.variations import Variations
from mobilesd.errors import Conflict, InvalidInput, NotFound, Unavailable
from tests import factories
from tests.due import due

pytestmark = pytest.mark.django_db(transaction=True)

SECONDS = 5.0
# What each may be told while others change the same rows.
REFUSALS = (Conflict, InvalidInput, NotFound, Unavailable)


class Lane:
    """Claims, tells its progress, and then stores, gives back or loses what it claimed."""

    def __init__(self, alias: str, chance: random.Random) -> None:
        self.alias = alias
        self.lease = self._taken(factories.server(alias))
        self.chance = chance

    @staticmethod
    def _taken(server: Any) -> lease.Lease:
        held = lease.take(server.pk)
        assert held is not None
        return held

    def __call__(self) -> None:
        job = due(timezone.now()).first()
        if job is None:
            return
        with self.lease.fenced():
            attempt = transitions.claim(job.pk, server_alias=self.alias, lane=self.lease.token)
        if attempt is None:
            return
        with self.lease.fenced():
            marked = transitions.mark_submitted(attempt.token, lane=self.lease.token)
        if marked:
            run = Run(attempt)
            run.progress = Progress(active=True, fraction=0.5)
            reporting.Reporter(self.lease).report(run, timezone.now() + timedelta(minutes=1))
            self._end(attempt)
        with self.lease.fenced():
            transitions.clear(attempt.token)

    def _end(self, attempt: Attempt) -> None:
        if self.chance.random() < 0.5:
            picture = Picture(factories.png(color=self.chance.choice(["red", "blue"])))
            store.complete(attempt.token, store.write_files(Answer([picture], {})))
            return
        with self.lease.fenced():
            ended = transitions.end_attempt(
                attempt.token, outcome=Outcome.LOST, lane=self.lease.token
            )
            if ended is not None:
                transitions.requeue(ended)


class Person:
    """Does something with some job that is there, or submits more."""

    def __init__(self, actor: Actor, chance: random.Random) -> None:
        self.actor = actor
        self.chance = chance

    def __call__(self) -> None:
        jobs = list(Job.objects.visible_to(self.actor).values_list("pk", "batch_id")[:50])
        act = self.chance.choice(
            [self._submit, self._bulk, self._change, self._change, self._change, self._many]
        )
        if jobs or act in (self._submit, self._bulk):
            act(jobs)

    def _submit(self, _: Any) -> None:
        key = f"k{self.chance.randrange(30)}"  # often one that somebody else sends as well
        services.submit(services.Order({"prompt": "a cat"}, idempotency_key=key), self.actor)

    def _bulk(self, _: Any) -> None:
        order = services.Order({"prompt": "a dog"})
        bulk = services.BulkOrder(order, 4, "random", variations=Variations({}))
        services.submit_bulk(bulk, self.actor)

    def _change(self, jobs: list[Any]) -> None:
        (job, _), (other, _) = self.chance.choices(jobs, k=2)
        self.chance.choice(
            [
                lambda: services.cancel(job, self.actor),
                lambda: services.retry(job, self.actor),
                lambda: services.delete(job, self.actor),
                lambda: services.move(job, services.Goal("before", other), self.actor),
                lambda: services.move(job, services.Goal("top"), self.actor),
                lambda: services.patch(job, self.actor, {"priority": 4}, {"steps": 9}),
            ]
        )()

    def _many(self, jobs: list[Any]) -> None:
        batches = [batch for _, batch in jobs if batch is not None]
        if batches and self.chance.random() < 0.7:
            services.cancel_batch(self.chance.choice(batches), self.actor)
        elif self.chance.random() < 0.5:
            queue.clear(self.actor)
        else:
            queue.pause()
            queue.resume()


def test_nobody_fails_and_nothing_is_half_done(settings: Any) -> None:
    settings.LANES = 2
    member = Actor.of_user(factories.user())
    acts: list[Callable[[], None]] = [
        *(Lane(alias, random.Random(alias)) for alias in ("a", "b")),
        *(Person(actor, random.Random(n)) for n, actor in enumerate([member] * 3)),
        Sweep().run,
    ]
    errors: list[BaseException] = []
    end = time.monotonic() + SECONDS

    def work(act: Callable[[], None]) -> None:
        try:
            while time.monotonic() < end:
                with contextlib.suppress(*REFUSALS):
                    act()
                time.sleep(0.001)
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert Job.objects.exists() and Image.objects.exists()
    check_rows()


def check_rows() -> None:
    """Check what must hold between the rows, whatever happened."""
    running = Job.objects.filter(status=Status.PROCESSING)
    assert set(Attempt.objects.open().values_list("job", flat=True)) == {job.pk for job in running}
    assert not JobProgress.objects.exclude(job__status=Status.PROCESSING).exists()
    completed = Job.objects.filter(status=Status.COMPLETED)
    assert set(Image.objects.values_list("job", flat=True)) == {job.pk for job in completed}
    outcomes = Attempt.objects.filter(outcome=Outcome.COMPLETED).values("job")
    assert set(outcomes.annotate(n=Count("pk")).values_list("n", flat=True)) <= {1}
    for job in Job.objects.filter(status__in=FINAL):
        told = Event.objects.filter(job=job, kind="job.status").order_by("-id").first()
        assert told is not None
        assert told.payload["status"] == job.status, "the last event tells how it stands"
    with transaction.atomic():
        Job.objects.all().delete()
