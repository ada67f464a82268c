"""Each filter of the contract, for each kind of reader: the jobs, their order, the total."""

import itertools
import uuid
from datetime import timedelta

import pytest
from django.http import QueryDict
from django.utils import timezone

from apikeys.actors import Actor
from jobs import narrowing, wording
from jobs.api.filters import read_filter
from jobs.choices import Status
from jobs.models import Batch, Job
from jobs.querysets import SourceOf
from jobs.sources import of_program
from mobilesd.http.paging import PageRequest
from tests import factories

V1, V2 = "/api/v1/queue/jobs", "/api/v2/jobs"


@pytest.fixture
def readers(db, member):
    """A member, the key of the installation, somebody without jobs, and one who sees all."""
    key, _ = factories.key()
    made_by = {"member": {"owner": member}, "key": {"api_key": key}}
    actors = {
        "member": Actor(user_id=member.pk),
        "key": Actor.of_key(key),
        "nobody": Actor(user_id=factories.user().pk),
        "staff": Actor(sees_all_jobs=True),
    }
    return made_by, actors


@pytest.fixture
def many(readers):
    """Jobs of every mixture of what can be filtered by, of two readers."""
    made_by, _ = readers
    batch = Batch.objects.create(total=1, created_at=timezone.now())
    start = timezone.now() - timedelta(hours=1)
    mixtures = itertools.product(
        ["member", "key"],
        [Status.COMPLETED, Status.FAILED, Status.PENDING],
        ["forge", "other"],
        [("gpu", ""), ("", "gpu"), ("attic", "gpu")],
        [("", None), ("a phone/2 of anna", batch), ("a phone", batch)],
    )
    jobs = []
    for number, (who, status, app_type, (server, target), (source, of)) in enumerate(mixtures):
        made = factories.job(
            status,
            app_type=app_type,
            server_alias=server,
            target_server_alias=target,
            source_info=source,
            batch=of,
            created_at=start + timedelta(seconds=number // 2),
            **made_by[who],
        )
        made.reader = who
        jobs.append(made)
    factories.job(deleted_at=timezone.now(), batch=batch, **made_by["member"])
    jobs.sort(key=lambda job: (job.created_at, job.pk), reverse=True)
    wording.add(reversed(jobs))
    return jobs


def _server(job) -> str:
    return job.server_alias or job.target_server_alias


def _checks(jobs) -> dict[str, tuple]:
    batch = next(job.batch_id for job in jobs if job.batch_id)
    key = next(job.api_key_id for job in jobs if job.api_key_id)
    middle = jobs[len(jobs) // 2].created_at
    return {
        "status": (["failed", "pending"], lambda job: job.status in {"failed", "pending"}),
        "app_type": ("other", lambda job: job.app_type == "other"),
        "server": ("gpu", lambda job: _server(job) == "gpu"),
        "source_info": ("a phone", lambda job: job.source_info == "a phone"),
        "source": ("a phone/1.9 of anna", lambda job: job.source_info == "a phone/2 of anna"),
        "api_key": (key, lambda job: job.api_key_id == key),
        "batch": (str(batch), lambda job: job.batch_id == batch),
        "created_after": (middle.isoformat(), lambda job: job.created_at > middle),
        "created_before": (middle.isoformat(), lambda job: job.created_at < middle),
    }


NAMES = [
    "status",
    "app_type",
    "server",
    "source_info",
    "source",
    "api_key",
    "batch",
    "created_after",
    "created_before",
]
PAIRS = list(itertools.combinations(NAMES, 2))


@pytest.mark.parametrize("words", ["", "lighthouse"], ids=["listed", "searched"])
@pytest.mark.parametrize("reader", ["member", "key", "nobody", "staff"])
def test_any_two_filters_keep_what_matches_both(many, readers, reader, words, monkeypatch):
    if words:
        monkeypatch.setattr("jobs.api.filters.FEW", -1)  # along the index of words
    checks = _checks(many)
    mine = [job for job in many if reader in {"staff", job.reader}]
    for names in [(), *((name,) for name in NAMES), *PAIRS]:
        expected = [job.pk for job in mine if all(checks[name][1](job) for name in names)]
        query = QueryDict(mutable=True)
        for name in names:
            value = checks[name][0]
            query.setlist(name, value if isinstance(value, list) else [value])
        if words:
            query["q"] = words
        asked = read_filter(query, readers[1][reader])
        page = asked.page(PageRequest(limit=200))
        assert [job.pk for job in page.rows] == expected, query
        assert (page.total, page.total_is_exact) == (len(expected), True), query
        assert set(asked.used) == set(query)


@pytest.mark.parametrize("few", [0, 3])
def test_the_way_to_the_jobs_does_not_change_them(many, api, monkeypatch, few):
    """Whichever index leaves the fewest, or when all leave too many to tell."""
    query = {"status": ["failed", "pending"], "app_type": "other", "server": "gpu"}
    expected = api.get(V2, query).json()["jobs"]
    monkeypatch.setattr(narrowing, "_FEW", few)
    assert expected
    assert api.get(V2, query).json()["jobs"] == expected


@pytest.mark.parametrize(
    ("sent", "asked", "used"),
    [
        ("forge-extension/1.0.0 f3a9", "forge-extension/2.1 f3a9", "forge-extension f3a9"),
        ("forge-extension/1.0.0 f3a9", "forge-extension f3a9", "forge-extension f3a9"),
        ("postman", "postman/7", "postman"),
        ("postman/7", "postman", "postman"),
    ],
)
def test_a_source_is_found_whatever_its_version(api, job, member, sent, asked, used):
    job(owner=member, source_info=sent)
    for other in ("forge-extension/1.0.0 0000", "forge-extension", "Postman", "postman 7", ""):
        job(owner=member, source_info=other)
    found = api.get(V2, {"source": asked}).json()
    assert [row["source_info"] for row in found["jobs"]] == [sent]
    assert found["filters"] == {"source": used}
    assert api.get(V1, {"source": asked}).json()["total"] == 1


def test_the_version_is_left_out_alike_in_sql_and_python(job):
    """The index and the value that is looked for in it must agree on every text."""
    texts = ["", "/", "//", "a/", "a/ ", "/1 b", "a/1/2 b/3 c", "a b/1", "ä/ö ü", "a/1\u00a0b", "a"]
    for text in texts:
        made = job(source_info=text)
        told = Job.objects.annotate(told=SourceOf()).values_list("told", flat=True)
        assert told.get(pk=made.pk) == of_program(text), text


def test_several_statuses_are_paged_as_one_list(many, api):
    for order in ("asc", "desc"):
        query = {"status": "failed,completed,processing", "order": order}
        expected = api.get(V2, {**query, "limit": 200}).json()["jobs"]
        seen, cursor = [], ""
        while cursor is not None:
            page = api.get(V2, {**query, "limit": 7, "cursor": cursor}).json()
            seen += page["jobs"]
            cursor = page["next_cursor"]
        assert seen == expected
        offset = api.get(V2, {**query, "limit": 5, "offset": 9}).json()["jobs"]
        assert offset == expected[9:14]


def test_v1_filters_as_v2_does(many, api):
    query = {"status": "failed", "app_type": "other", "limit": 5, "order": "asc", "offset": 2}
    v1, v2 = api.get(V1, query).json(), api.get(V2, query).json()
    assert v1["jobs"] == v2["jobs"]
    assert v1["total"] == v2["total"] == 9


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"batch": "5"}, "batch"),
        ({"batch": f"{uuid.UUID(int=1)}; DROP"}, "batch"),
        ({"batch": "\x00"}, "batch"),
        ({"q": "***"}, "q"),
        ({"q": "x" * 10_000}, "q"),
        ({"q": "a*"}, "q"),
        ({"q": "a b c d e f g h i j k l m n o p q"}, "q"),
        ({"app_type": "x" * 501}, "app_type"),
        ({"server": "\x00"}, "server"),
        ({"api_key": "\x00"}, "api_key"),
        ({"created_after": "0000-00-00T00:00:00Z"}, "created_after"),
        ({"created_before": "2026-01-01"}, "created_before"),
        ({"q": "a", "cursor": "x"}, "cursor"),
    ],
)
def test_a_wrong_filter_is_named(api, query, name):
    answer = api.get(V2, query)
    assert answer.status_code == 400
    assert name in answer.json()["details"]["fields"]


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+14:00"]
)
@pytest.mark.parametrize("name", ["created_after", "created_before"])
@pytest.mark.parametrize("words", [{}, {"q": "lighthouse"}], ids=["listed", "searched"])
def test_the_ends_of_time_are_no_accident(api, job, member, moment, name, words):
    job(owner=member)
    answer = api.get(V2, {name: moment, **words})
    assert answer.status_code in {200, 400}, answer.content
    if answer.status_code == 200:
        assert answer.json()["total"] == int((name == "created_after") == moment.startswith("0001"))


def test_a_batch_is_told_with_the_job(many, boss):
    told = {job["mobilesd_job_id"]: job["batch_id"] for job in boss.get(V2).json()["jobs"]}
    for job in many[:50]:
        assert told[str(job.pk)] == (str(job.batch_id) if job.batch_id else None)
