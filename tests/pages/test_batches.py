"""A batch on the pages: one card while it waits and when it is done, and its own page."""

import json
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs.choices import Status
from jobs.models import Batch
from jobs.ports import QueueForecast, ports
from tests import factories
from tests.pages.conftest import HTMX


def _batch(owner, name="", **counts):
    """Make a batch with so many jobs of each status, all submitted at one moment."""
    now = timezone.now()
    batch = Batch.objects.create(total=sum(counts.values()), owner=owner, created_at=now, name=name)
    jobs = []
    for status, count in counts.items():
        for n in range(count):
            fields = {"error_message": f"why {n}"} if status == Status.FAILED else {}
            job = factories.job(
                status,
                owner=owner,
                batch=batch,
                created_at=now,
                generation_params={"positive_prompt": "the same"},
                **fields,
            )
            if status == Status.COMPLETED:
                factories.image(job)
            jobs.append(job)
    return batch, jobs


def _ids(part):
    return re.findall(r'<li class="[^"]*" id="((?:job|done-batch|ended-batch)-[^"]+)"', part)


def test_a_finished_batch_is_one_card_with_its_results(browser, member):
    batch, _ = _batch(member, completed=5)
    single = factories.job(Status.COMPLETED, owner=member)
    part = browser.get("/queue/done", headers=HTMX).text
    assert _ids(part) == [f"job-{single.pk}", f"done-batch-{batch.pk}"]
    assert part.count("thumbnail?size=256") == 5
    assert "5 of 5 done" in part
    assert '<span class="count">6</span>' in part  # jobs, not cards
    assert f'href="/batches/{batch.pk}"' in part
    assert "<progress" not in part


def test_what_failed_of_a_batch_is_one_entry_that_says_how_many(browser, member):
    batch, _ = _batch(member, "Castles", failed=3, cancelled=2, completed=1)
    part = browser.get("/queue/ended", headers=HTMX).text
    assert _ids(part) == [f"ended-batch-{batch.pk}"]
    assert "Castles" in part
    assert "3 of 6 failed, 2 cancelled." in part
    assert f'href="/batches/{batch.pk}"' in part


def test_pages_of_a_list_show_each_batch_once_and_miss_nothing(browser, member):
    now, wanted = timezone.now(), set()
    for n in range(20):
        batch, jobs = _batch(member, completed=3)
        for job in jobs:
            job.created_at = now - timedelta(seconds=2 * n)
            job.save()
        single = factories.job(
            Status.COMPLETED, owner=member, created_at=now - timedelta(seconds=2 * n + 1)
        )
        wanted |= {f"done-batch-{batch.pk}", f"job-{single.pk}"}
    seen, address = [], "/queue/done"
    while address:
        part = browser.get(address, headers=HTMX).text
        seen += _ids(part)
        more = re.search(r'hx-get="(/queue/done[^"]*)"', part)
        address = more[1].replace("&amp;", "&") if more else ""
    assert len(seen) == len(wanted)
    assert set(seen) == wanted


def test_jobs_of_a_batch_lead_to_it(browser, member):
    batch, [job] = _batch(member, completed=1)
    assert f'href="/batches/{batch.pk}"' in browser.get(f"/jobs/{job.pk}").text
    alone = factories.job(owner=member)
    assert "/batches/" not in browser.get(f"/jobs/{alone.pk}").text


def test_the_page_of_a_finished_batch_shows_all_results(browser, member):
    batch, _ = _batch(member, completed=15, failed=1)
    page = browser.get(f"/batches/{batch.pk}").text
    assert page.count("thumbnail?size=256") == 15
    assert "why 0" in page


@pytest.mark.parametrize("path", ["/queue/active", "/queue/done", "/queue/ended"])
def test_the_number_of_queries_does_not_grow_with_the_batches(browser, member, monkeypatch, path):
    # Kept for seconds: how many queries they cost depends on the time.
    monkeypatch.setattr(ports, "forecast", lambda jobs: {})
    monkeypatch.setattr(ports.servers, "queue_forecast", QueueForecast)

    def queries():
        with CaptureQueriesContext(
            connection,
        ) as seen:
            assert browser.get(path, headers=HTMX).status_code == 200
        return len(seen)

    for _ in range(2):
        _batch(member, completed=2, failed=2, pending=2)
    browser.get(path, headers=HTMX)
    few = queries()
    for _ in range(4):
        _batch(member, completed=2, failed=2, pending=2)
    assert queries() == few


def test_a_batch_shows_its_newest_results_first_and_the_first_prompt_as_its_title(browser, member):
    batch, _ = _batch(member, pending=1)
    made = []
    for n in range(14):
        job = factories.job(
            Status.COMPLETED,
            owner=member,
            batch=batch,
            created_at=timezone.now() + timedelta(seconds=n),
            generation_params={"positive_prompt": f"later {n}"},
        )
        factories.image(job)
        made.append(job)
    part = browser.get("/queue/active", headers=HTMX).text
    shown = re.findall(r'class="tile"><a href="/jobs/([^"]+)"', part)
    assert shown == [str(job.pk) for job in reversed(made[2:])]
    assert "the same" in part


def test_what_failed_of_a_batch_is_retried_by_its_button_and_undone_by_the_toast(browser, member):
    batch, _ = _batch(member, failed=2, completed=1)
    path = f"/batches/{batch.pk}/retry"
    for page in (f"/batches/{batch.pk}", "/queue/ended", "/queue/done"):
        part = browser.get(page, headers=HTMX).text
        assert path in part
        assert "Retry the 2 that failed" in part
    toast = json.loads(browser.post(path, headers=HTMX).headers["HX-Trigger"])["toast"]
    assert toast["text"] == "2 jobs back in the queue."
    assert path not in browser.get(f"/batches/{batch.pk}").text
    assert browser.post(path, headers=HTMX).status_code == 409
    browser.post(toast["undo"]["url"], headers=HTMX)
    assert path in browser.get(f"/batches/{batch.pk}").text
