"""Lists of jobs: pages, filters, totals, and a cost that does not grow with the page."""

import base64
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs.choices import Status
from jobs.models import JobProgress
from mobilesd.http import paging
from tests import factories

pytestmark = pytest.mark.django_db
V1, V2 = "/api/v1/queue/jobs", "/api/v2/jobs"
# A time that there is in its zone, but not in UTC.
FIRST_HOUR = base64.urlsafe_b64encode(
    b"0001-01-01T00:00:00+14:00|00000000-0000-0000-0000-000000000000"
).decode("ascii")


def _ids(answer) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [job["mobilesd_job_id"] for job in answer.json()["jobs"]]


@pytest.fixture
def seven(member):
    """Seven jobs a second apart, oldest first; the third and fourth of the same moment."""
    start = timezone.now() - timedelta(minutes=1)
    seconds = [0, 1, 2, 2, 4, 5, 6]
    return [factories.job(owner=member, created_at=start + timedelta(seconds=s)) for s in seconds]


def test_v1_is_flat_and_v2_enveloped(api, seven):
    v1, v2 = api.get(V1).json(), api.get(V2).json()
    assert set(v1) == {"total", "total_is_exact", "jobs", "next_cursor"}
    assert set(v2) == {*v1, "success", "filters"}
    assert v1["jobs"] == v2["jobs"]
    assert v1["total"] == 7


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_by_cursor_show_each_job_once_in_order(api, seven, order):
    everything = _ids(api.get(V2, {"order": order}))
    created = [str(job.pk) for job in sorted(seven, key=lambda j: (j.created_at, j.pk.hex))]
    assert everything == (created if order == "asc" else created[::-1])
    seen, cursor = [], ""
    while cursor is not None:
        answer = api.get(V2, {"order": order, "limit": 2, "cursor": cursor})
        seen += _ids(answer)
        cursor = answer.json()["next_cursor"]
    assert seen == everything


def test_a_cursor_stays_true_while_jobs_come(api, seven, member):
    first = api.get(V2, {"limit": 3})
    factories.job(owner=member)
    rest = _ids(api.get(V2, {"cursor": first.json()["next_cursor"]}))
    assert len(set(_ids(first)) | set(rest)) == 7
    assert not set(_ids(first)) & set(rest)


def test_pages_by_offset(api, seven):
    everything = _ids(api.get(V2))
    assert _ids(api.get(V2, {"limit": 3, "offset": 5})) == everything[5:]
    assert _ids(api.get(V2, {"offset": 100})) == []
    assert api.get(V2, {"offset": 100}).json()["total"] == 7


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"limit": "٣"}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"offset": "-1"}, "offset"),
        ({"offset": "9999999"}, "offset"),
        ({"order": "sideways"}, "order"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "MjAyNi0wMS0wMXx4"}, "cursor"),
        ({"cursor": "ä"}, "cursor"),
        ({"cursor": "eA", "offset": "5"}, "cursor"),
        ({"cursor": FIRST_HOUR}, "cursor"),
        ({"status": "waiting"}, "status"),
        ({"created_after": "yesterday"}, "created_after"),
        ({"created_before": "2026-01-01T00:00:00"}, "created_before"),
        ({"source_info": "a\x00b"}, "source_info"),
        ({"q": "*"}, "q"),
        ({"batch": "x"}, "batch"),
    ],
)
def test_a_bad_question_is_named(api, query, field):
    answer = api.get(V2, query)
    assert answer.status_code == 400
    assert field in answer.json()["details"]["fields"]


def test_filters_narrow_the_list_and_are_shown(api, member):
    a = factories.job(owner=member, source_info="phone", app_type="forge", server_alias="gpu")
    b = factories.job(Status.FAILED, owner=member, app_type="other")
    c = factories.job(Status.COMPLETED, owner=member, target_server_alias="gpu")
    d = factories.job(owner=member, target_server_alias="gpu")
    every = {"a": a, "b": b, "c": c, "d": d}

    def shown(query) -> str:
        ids = _ids(api.get(V2, query))
        return "".join(sorted(name for name, job in every.items() if str(job.pk) in ids))

    assert shown({"status": "pending"}) == "ad"
    assert shown({"status": ["failed", "completed"]}) == "bc"
    assert shown({"status": "failed,completed"}) == "bc"
    assert shown({"app_type": "other"}) == "b"
    assert shown({"source_info": "phone"}) == "a"
    assert shown({"server": "gpu"}) == "acd"
    assert shown({"created_after": c.created_at.isoformat()}) == "d"
    assert shown({"created_before": b.created_at.isoformat()}) == "a"
    filters = api.get(V2, {"status": "failed", "server": "gpu"}).json()["filters"]
    assert filters == {"status": ["failed"], "server": "gpu"}


def test_a_deleted_job_is_not_listed(api, member):
    factories.job(owner=member, deleted_at=timezone.now())
    assert api.get(V2).json()["total"] == 0


def test_the_total_is_exact_up_to_its_limit(api, member, monkeypatch):
    monkeypatch.setattr(paging, "EXACT_TOTAL", 3)
    for count, total, exact in ((3, 3, True), (4, 3, False)):
        while len(_ids(api.get(V2))) < count:
            factories.job(owner=member)
        answer = api.get(V2, {"limit": 1}).json()
        assert (answer["total"], answer["total_is_exact"]) == (total, exact)


def _queries(api, path) -> int:
    with CaptureQueriesContext(connection) as found:
        assert api.get(path).status_code == 200
    return len(found)


@pytest.mark.parametrize("path", [V1, V2])
def test_fifty_jobs_cost_as_many_queries_as_three(api, member, path):
    def some(count: int) -> None:
        for _ in range(count):
            factories.job(owner=member)
            running = factories.job(Status.PROCESSING, owner=member, server_alias="gpu")
            JobProgress.objects.create(job=running, attempt=running.pk, updated_at=timezone.now())
            factories.image(factories.job(Status.COMPLETED, owner=member))

    factories.server("gpu")
    some(1)
    _queries(api, path)  # notes the key's use
    few = _queries(api, path)
    some(16)
    assert len(_ids(api.get(path))) == 50
    assert _queries(api, path) == few
    assert few <= 20


def test_only_the_first_thousand_have_a_position(api, member, monkeypatch):
    from jobs.api import serializers

    monkeypatch.setattr(serializers, "POSITIONS_SHOWN", 2)
    jobs = [factories.job(owner=member) for _ in range(4)]
    places = {j["mobilesd_job_id"]: j["queue_position"] for j in api.get(V2).json()["jobs"]}
    assert [places[str(job.pk)] for job in jobs] == [1, 2, None, None]
    alone = [api.get(f"{V2}/{job.pk}/status").json()["job"]["queue_position"] for job in jobs]
    assert alone == [1, 2, None, None]


def test_positions_follow_lane_priority_and_position_over_all_jobs(api, member):
    late = factories.job(owner=member, lane_class="background", priority=1)
    mine = factories.job(owner=member, priority=5)
    factories.job(priority=5, position=1)
    factories.job(priority=1)
    factories.job(Status.PROCESSING, priority=1)
    factories.job(priority=1, deleted_at=timezone.now())
    places = {j["mobilesd_job_id"]: j["queue_position"] for j in api.get(V2).json()["jobs"]}
    assert places == {str(late.pk): 4, str(mine.pk): 3}
    for job_id, place in places.items():  # a single job's place is counted, not listed
        assert api.get(f"{V2}/{job_id}/status").json()["job"]["queue_position"] == place
