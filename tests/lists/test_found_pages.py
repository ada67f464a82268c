"""Pages of a search: the same jobs in the same order as the list without it, and to the end."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from jobs import wording
from jobs.api import filters
from jobs.choices import Status
from jobs.models import Job
from mobilesd.http import paging, search_paging
from mobilesd.search import SearchIndex
from tests import factories

V2 = "/api/v2/jobs"
STATES = [Status.COMPLETED, Status.FAILED, Status.PENDING]


@pytest.fixture
def forty(member):
    """Forty jobs of three states, several of the same moment; each third has no lighthouse."""
    start = timezone.now() - timedelta(hours=1)
    jobs = [
        factories.job(
            STATES[number // 2 % 3],
            owner=member,
            created_at=start + timedelta(seconds=number // 3),
            generation_params={"positive_prompt": "harbour" if number % 3 == 1 else "lighthouse"},
        )
        for number in range(40)
    ]
    jobs.sort(key=lambda job: (job.created_at, job.pk))
    wording.add(jobs)
    return jobs


@pytest.fixture(params=["one stretch", "many stretches", "few rows"])
def bounds(request, monkeypatch):
    """Each way in which a search goes along the index."""
    monkeypatch.setattr(filters, "FEW", 300 if request.param == "few rows" else -1)
    if request.param == "many stretches":
        monkeypatch.setattr(search_paging, "_STRETCH", 2)


def _ids(answer) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [job["mobilesd_job_id"] for job in answer.json()["jobs"]]


def _expected(jobs, order, *states) -> list[str]:
    found = [
        str(job.pk)
        for job in jobs
        if "lighthouse" in job.prompt and (not states or job.status in states)
    ]
    return found if order == "asc" else found[::-1]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("states", [(), ("failed",), ("failed", "completed")])
def test_pages_by_cursor_show_each_match_once_in_order(api, forty, bounds, order, states):
    expected = _expected(forty, order, *states)
    query = {"q": "lighthouse", "order": order, "status": states}
    whole = api.get(V2, query)
    assert _ids(whole) == expected
    assert (whole.json()["total"], whole.json()["total_is_exact"]) == (len(expected), True)
    seen, cursor = [], ""
    while cursor is not None:
        answer = api.get(V2, {**query, "limit": 3, "cursor": cursor})
        assert len(_ids(answer)) == 3 or answer.json()["next_cursor"] is None
        seen += _ids(answer)
        cursor = answer.json()["next_cursor"]
    assert seen == expected


@pytest.mark.parametrize("states", [(), ("completed",)])
def test_pages_by_offset(api, forty, bounds, states):
    expected = _expected(forty, "desc", *states)
    query = {"q": "lighthouse", "status": states, "limit": 4}
    assert _ids(api.get(V2, {**query, "offset": 5})) == expected[5:9]
    assert _ids(api.get(V2, {**query, "offset": search_paging.MAX_FOUND_OFFSET})) == []


def test_an_offset_of_a_search_is_bounded(api, forty, bounds):
    """Each row in front of the page would be looked at, a million of them if a client wished."""
    query = {"q": "lighthouse", "offset": search_paging.MAX_FOUND_OFFSET + 1}
    refused = api.get(V2, query)
    assert refused.status_code == 400
    assert list(refused.json()["details"]["fields"]) == ["offset"]
    assert "next_cursor" in refused.json()["details"]["hint"]
    assert _ids(api.get(V2, {"offset": 999_999})) == []


def test_an_offset_beyond_what_a_search_looks_at_is_refused_and_not_guessed(
    api, forty, monkeypatch
):
    """Its next_cursor would lead to rows that were to be left out."""
    monkeypatch.setattr(filters, "FEW", -1)
    monkeypatch.setattr(search_paging, "LOOKED_AT", 3)
    expected = _expected(forty, "desc", "failed")
    query = {"q": "lighthouse", "status": "failed", "limit": 1}
    near = api.get(V2, {**query, "offset": 1}).json()
    rest = _ids(api.get(V2, {**query, "limit": 50, "cursor": near["next_cursor"]}))
    assert [job["mobilesd_job_id"] for job in near["jobs"]] + rest == expected[1:][: 1 + len(rest)]
    refused = api.get(V2, {**query, "offset": len(expected) - 1})
    assert refused.status_code == 400
    assert list(refused.json()["details"]["fields"]) == ["offset"]


def test_a_span_of_time(api, forty, bounds):
    middle = forty[20].created_at
    later = [str(job.pk) for job in forty if job.created_at > middle and "light" in job.prompt]
    earlier = [str(job.pk) for job in forty if job.created_at < middle and "light" in job.prompt]
    query = {"q": "lighthouse", "order": "asc"}
    assert _ids(api.get(V2, {**query, "created_after": middle.isoformat()})) == later
    assert _ids(api.get(V2, {**query, "created_before": middle.isoformat()})) == earlier


def test_a_search_ends_in_time_and_goes_on_after_the_cursor(api, forty, monkeypatch):
    """What the index can't tell is asked of so many jobs at once; nothing is left out."""
    monkeypatch.setattr(filters, "FEW", -1)
    monkeypatch.setattr(search_paging, "_STRETCH", 2)
    monkeypatch.setattr(search_paging, "LOOKED_AT", 3)
    expected = _expected(forty, "desc", "failed")
    seen, cursor, short = [], "", 0
    while cursor is not None:
        query = {"q": "lighthouse", "status": "failed", "limit": 2, "cursor": cursor}
        answer = api.get(V2, query)
        assert answer.json()["total_is_exact"] is False
        assert answer.json()["total"] < len(expected)
        seen += _ids(answer)
        cursor = answer.json()["next_cursor"]
        short += cursor is not None and len(_ids(answer)) < 2
    assert seen == expected
    assert short


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_search_goes_on_when_its_last_job_is_deleted_meanwhile(api, member, monkeypatch, order):
    """The place to go on from is asked for after the matches were."""
    monkeypatch.setattr(filters, "FEW", -1)
    monkeypatch.setattr(search_paging, "_STRETCH", 3)
    monkeypatch.setattr(search_paging, "LOOKED_AT", 3)
    start = timezone.now() - timedelta(hours=1)
    # Pairs of one moment. Of each, the walk meets the one that is not asked for first.
    pair = [Status.COMPLETED, Status.FAILED]
    jobs = [
        factories.job(
            (pair if order == "asc" else pair[::-1])[number % 2],
            id=UUID(int=number + 1),
            owner=member,
            created_at=start + timedelta(seconds=number // 2),
            generation_params={"positive_prompt": "lighthouse"},
        )
        for number in range(8)
    ]
    wording.add(jobs)
    ranks_of, gone = SearchIndex.ranks, []

    def ranks(*args, **options):
        found = ranks_of(*args, **options)
        if len(found) == 3 and not gone:
            last = Job.objects.get(text__pk=found[-1])
            gone.append(last.status)
            last.delete()
        return found

    monkeypatch.setattr(SearchIndex, "ranks", ranks)
    seen, cursor = [], ""
    while cursor is not None:
        query = {"q": "lighthouse", "status": "failed", "order": order, "limit": 1}
        answer = api.get(V2, {**query, "cursor": cursor})
        seen += _ids(answer)
        cursor = answer.json()["next_cursor"]
    assert gone == [Status.COMPLETED]
    assert seen == _expected(jobs, order, "failed")


def test_the_total_is_the_same_on_each_page(api, forty, monkeypatch):
    monkeypatch.setattr(filters, "FEW", -1)
    monkeypatch.setattr(search_paging, "_STRETCH", 4)
    monkeypatch.setattr(search_paging, "LOOKED_AT", 18)
    totals, cursor = [], ""
    while cursor is not None:
        query = {"q": "lighthouse", "status": "failed", "limit": 2, "cursor": cursor}
        answer = api.get(V2, query).json()
        totals.append((answer["total"], answer["total_is_exact"]))
        cursor = answer["next_cursor"]
    assert len(totals) > 2
    assert len(set(totals)) == 1
    assert not totals[0][1]


def test_the_total_is_exact_up_to_its_limit(api, forty, monkeypatch):
    matches = len(_expected(forty, "asc"))
    for limit, exact in ((matches, True), (matches - 1, False)):
        monkeypatch.setattr(paging, "EXACT_TOTAL", limit)
        monkeypatch.setattr(search_paging, "EXACT_TOTAL", limit)
        answer = api.get(V2, {"q": "lighthouse", "limit": 1}).json()
        assert (answer["total"], answer["total_is_exact"]) == (limit, exact)


def test_a_cursor_stays_true_when_its_job_is_gone(api, forty):
    expected = _expected(forty, "desc")
    first = api.get(V2, {"q": "lighthouse", "limit": 3})
    Job.objects.filter(pk=_ids(first)[-1]).delete()
    rest = _ids(api.get(V2, {"q": "lighthouse", "cursor": first.json()["next_cursor"]}))
    assert rest == expected[3:]


def test_a_search_shows_what_one_may_see(job, api, boss, member):
    mine = job("lighthouse", owner=member)
    job("lighthouse", owner=factories.user())
    of_key, token = factories.key()
    keys = job("lighthouse", api_key=of_key)
    key_api = type(api)(token)
    assert _ids(api.get(V2, {"q": "lighthouse"})) == [str(mine.pk)]
    assert api.get(V2, {"q": "lighthouse"}).json()["total"] == 1
    assert _ids(key_api.get(V2, {"q": "lighthouse"})) == [str(keys.pk)]
    assert api.get(V2, {"q": "lighthouse", "api_key": of_key.prefix}).json()["total"] == 0
    assert len(_ids(boss.get(V2, {"q": "lighthouse"}))) == 3


def test_a_wrong_facet_shows_nothing_that_is_hidden(job, api, member):
    """The index makes it fast; `visible_to` decides."""
    other = job("lighthouse", owner=member)
    Job.objects.filter(pk=other.pk).update(owner=factories.user())
    assert _ids(api.get(V2, {"q": "lighthouse"})) == []
