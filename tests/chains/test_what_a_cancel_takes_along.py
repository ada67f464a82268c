"""Whatever cancels or deletes jobs says which waiting ones can't be made then, before and after."""

import json

import pytest
from django.urls import reverse
from django.utils import timezone

from apikeys.actors import Actor
from jobs.models import Batch, Job
from jobs.services import also_taken, cancel_all, cancel_many
from tests import factories
from tests.chains.making import (
    CANCELLED,
    FAILED,
    PENDING,
    finish,
    start,
    status,
    statuses,
    waiting,
)
from tests.pages.conftest import HTMX
from tests.signed_in import browser

__all__ = ["browser"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def who(member):
    return Actor.of_user(member)


@pytest.fixture
def chain(member, who):
    """Return a waiting job, and two that need it, one by way of the other."""
    first = factories.job(owner=member)
    second = waiting(first, actor=who)
    return first, second, waiting(second, actor=who)


@pytest.fixture
def batch(member, who):
    """Return a batch of two waiting jobs, and a job outside of it that needs one of them."""
    row = Batch.objects.create(total=2, owner=member, created_at=timezone.now())
    inside = [factories.job(owner=member, batch=row) for _ in range(2)]
    return row, waiting(inside[0], actor=who)


def ids(*jobs):
    return [str(job.pk) for job in jobs]


def page(browser, name, *args, ask=False, **fields):
    url = reverse(name, args=args)
    return browser.post(f"{url}?dry_run=1" if ask else url, fields, headers=HTMX)


def toast(answer):
    return json.loads(answer.headers["HX-Trigger"])["toast"]["text"]


# --- The services -------------------------------------------------------------------------


def test_those_that_are_cancelled_themselves_are_not_named(chain, who):
    first, second, third = chain
    assert also_taken([first.pk], who) == [second.pk, third.pk]
    assert also_taken([first.pk, second.pk, third.pk], who) == []


def test_a_completed_job_takes_nobody_along(who, member):
    first, other = factories.job(owner=member), factories.job(owner=member)
    waiting(first, other, actor=who)
    finish(start(first))
    assert also_taken([first.pk], who) == []


def test_a_dry_run_counts_what_would_be_cancelled_and_changes_nothing(chain, who):
    first, second, third = chain
    done = factories.job("completed", owner_id=who.user_id)
    said = cancel_many([first.pk, done.pk], who, dry_run=True)
    assert (said.count, list(said.also)) == (1, [second.pk, third.pk])
    assert [left.job for left in said.skipped] == [done.pk]
    assert said.undo is None
    assert cancel_all(who, dry_run=True).count == 3
    assert statuses(*chain) == [PENDING] * 3


def test_what_somebody_else_has_waiting_is_not_named(who, member):
    first = factories.job(owner=member)
    waiting(first)  # of the installation, which sees all
    assert cancel_many([first.pk], who, dry_run=True).also == []


# --- The API ------------------------------------------------------------------------------


@pytest.mark.parametrize("dry_run", [True, False])
def test_cancelling_named_jobs(api, chain, dry_run):
    first, second, third = chain
    query = "?dry_run=1" if dry_run else ""
    answer = api.send("POST", f"/api/v2/queue/cancel{query}", {"jobs": ids(first)}).json()
    assert (answer["cancelled"], answer["also"]) == (1, ids(second, third))
    assert (answer["undo"] is None) == dry_run
    assert statuses(*chain) == ([PENDING] * 3 if dry_run else [CANCELLED, FAILED, FAILED])


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("path", ["/api/v2/queue/cancel", "/api/v2/generate/bulk/{}/cancel"])
def test_cancelling_a_batch(api, batch, path, dry_run):
    row, outside = batch
    query = "?dry_run=true" if dry_run else ""
    body = {"batch": str(row.pk)} if "bulk" not in path else None
    answer = api.send("POST", path.format(row.pk) + query, body).json()
    assert (answer["cancelled"], answer["also"]) == (2, ids(outside))
    assert status(outside) == (PENDING if dry_run else FAILED)


@pytest.mark.parametrize("dry_run", [True, False])
def test_clearing_the_queue_of_a_server(api, member, who, dry_run):
    alias = factories.server("b").alias
    first = factories.job(owner=member, target_server_alias=alias)
    second = waiting(first, actor=who)
    query = "?dry_run=1" if dry_run else ""
    answer = api.send("POST", f"/api/v2/queue/clear{query}", {"server": alias}).json()
    assert (answer["cancelled"], answer["also"]) == (1, ids(second))
    assert statuses(first, second) == ([PENDING] * 2 if dry_run else [CANCELLED, FAILED])


def test_dropping_the_held_rest_of_a_batch(api, batch, member, who):
    row, outside = batch
    Job.objects.filter(batch=row).update(held=True)
    answer = api.send("POST", f"/api/v2/batches/{row.pk}/nod", {"go": False}).json()
    assert (answer["cancelled"], answer["also"]) == (2, ids(outside))


@pytest.mark.parametrize("dry_run", [True, False])
def test_deleting_a_waiting_job(api, chain, dry_run):
    first, second, third = chain
    query = "?dry_run=1" if dry_run else ""
    answer = api.send("DELETE", f"/api/v2/jobs/{first.pk}{query}").json()
    assert answer["also"] == ids(second, third)
    assert Job.objects.listed().filter(pk=first.pk).exists() == dry_run
    assert status(second) == (PENDING if dry_run else FAILED)


def test_another_word_for_a_dry_run_changes_nothing(api, chain):
    answer = api.send("POST", "/api/v2/queue/cancel?dry_run=yes", {"all": True})
    assert answer.status_code == 400
    assert statuses(*chain) == [PENDING] * 3


# --- The pages ----------------------------------------------------------------------------

TWO = "2 jobs that need it can't be made then."


def test_the_page_can_ask_before_it_cancels(browser, chain):
    first, _, _ = chain
    assert page(browser, "job-cancel", first.pk, ask=True).json() == {"words": TWO}
    assert statuses(*chain) == [PENDING] * 3


def test_nothing_else_gives_no_words(browser, chain):
    assert page(browser, "job-cancel", chain[2].pk, ask=True).json() == {"words": ""}


def test_a_running_job_says_it_on_its_card(browser, chain):
    first, _, _ = chain
    start(first)
    card = browser.get(reverse("queue")).content.decode()
    form = card[card.index(reverse("job-cancel", args=[first.pk])) :][:400]
    assert "data-asks" in form
    assert page(browser, "job-cancel", first.pk, ask=True).json() == {"words": TWO}
    answer = page(browser, "job-cancel", first.pk)
    assert toast(answer) == "Cancelled. 2 jobs that needed it can't be made."


def test_selected_jobs_say_it(browser, chain):
    first, second, _ = chain
    picked = {"do": "cancel", "pick": [f"job-{first.pk}", f"job-{second.pk}"]}
    words = page(browser, "queue-many", ask=True, **picked).json()["words"]
    assert words == "1 job that needs them can't be made then."
    assert statuses(*chain) == [PENDING] * 3
    answer = page(browser, "queue-many", **picked)
    assert toast(answer) == "2 jobs cancelled. 1 job that needed them can't be made."


def test_selected_jobs_that_are_moved_are_not_moved_by_asking(browser, chain):
    first, *_ = chain
    before = Job.objects.get(pk=first.pk).position
    picked = {"do": "bottom", "pick": f"job-{first.pk}"}
    assert page(browser, "queue-many", ask=True, **picked).json() == {"words": ""}
    assert Job.objects.get(pk=first.pk).position == before


def test_a_batch_says_it(browser, batch):
    row, outside = batch
    words = page(browser, "batch-cancel", row.pk, ask=True).json()["words"]
    assert words == "1 job that needs them can't be made then."
    assert status(outside) == PENDING
    answer = page(browser, "batch-cancel", row.pk)
    assert toast(answer) == "2 jobs cancelled. 1 job that needed them can't be made."


def test_deleting_a_waiting_job_says_it(browser, chain):
    first, *_ = chain
    assert page(browser, "job-delete", first.pk, ask=True).json() == {"words": TWO}
    assert statuses(*chain) == [PENDING] * 3
    answer = page(browser, "job-delete", first.pk)
    assert toast(answer) == "Deleted. 2 jobs that needed it can't be made."
