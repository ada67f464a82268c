"""What one may not see is 404, never 403: all routes are walked by everybody who must not see."""

import re
import uuid

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from apikeys.models import DEFAULT_SCOPES
from jobs.choices import Status
from jobs.models import Batch, Job
from mobilesd.http.views import ApiView
from mobilesd.unknown import UnknownPath
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db

OPEN_TO_ALL = {"status", "healthz", "readyz"}


def _api_routes(patterns=None, prefix="") -> list[tuple[str, type[ApiView]]]:
    """Return path template and view class of each API view that is routed."""
    found = []
    for pattern in patterns if patterns is not None else get_resolver().url_patterns:
        if isinstance(pattern, URLResolver):
            found += _api_routes(pattern.url_patterns, prefix + str(pattern.pattern))
        elif isinstance(pattern, URLPattern):
            view = getattr(pattern.callback, "cls", None)
            if isinstance(view, type) and issubclass(view, ApiView) and view is not UnknownPath:
                found.append((prefix + str(pattern.pattern), view))
    return found


ROUTES = sorted(_api_routes(), key=lambda route: route[0])
ABOUT_ONE = [
    (path, method) for path, view in ROUTES if "<uuid:" in path for method in view.required_scopes
]


def _batch(**whose):
    return Batch.objects.create(total=1, created_at=timezone.now(), **whose)


@pytest.fixture
def theirs(data_dir):
    """A job of each kind of owner, with picture and preview; nobody below may see any."""
    owner = factories.user("owner")
    other_key, _ = factories.key()
    jobs = [
        factories.job(status, **whose, batch=_batch(**whose))
        for whose in ({"owner": owner}, {"api_key": other_key}, {})
        for status in (Status.COMPLETED, Status.PENDING, Status.PROCESSING)
    ]
    (data_dir / "previews").mkdir()
    for job in jobs:
        factories.image(job)
        (data_dir / "previews" / f"{job.pk}.jpg").write_bytes(b"\xff\xd8\xff")
    return jobs


def _strangers() -> dict[str, Client]:
    member = factories.user("stranger")
    page = Client()
    page.force_login(member)
    return {
        "key of another member": Api(factories.key(member)[1]),
        "another key of the installation": Api(factories.key()[1]),
        "another member's page": page,
        "key of a member of the staff without jobs:all": Api(factories.key(factories.staff())[1]),
    }


def _filled(template: str, **ids: object) -> str:
    """Return a path with these ids in it, and ids of nothing for the rest."""
    return "/" + re.sub(
        r"<(?:uuid|str):(\w+)>", lambda found: str(ids.get(found[1], uuid.uuid4())), template
    )


def _path(template: str, job: Job) -> str:
    image = job.images.get()
    return _filled(template, job_id=job.pk, image_id=image.pk, batch_id=job.batch_id)


def test_the_walk_knows_the_routes():
    assert len(ABOUT_ONE) >= 11
    assert {"GET", "POST", "DELETE"} <= {method for _, method in ABOUT_ONE}


@pytest.mark.parametrize(("template", "method"), ABOUT_ONE)
def test_what_belongs_to_somebody_else_is_not_there(template, method, theirs):
    before = list(Job.objects.order_by("pk").values_list("pk", "status", "deleted_at"))
    absent = _filled(template)
    for who, client in _strangers().items():
        nothing = client.generic(method, absent, b"", "application/json")
        assert nothing.status_code == 404, who
        for job in theirs:
            answer = client.generic(method, _path(template, job), b"", "application/json")
            assert answer.status_code == 404, (who, job)
            assert answer.json()["error"] == nothing.json()["error"]
            assert answer.json()["message"] == nothing.json()["message"]
    assert list(Job.objects.order_by("pk").values_list("pk", "status", "deleted_at")) == before


@pytest.mark.parametrize("path", ["/api/v1/queue/jobs", "/api/v2/jobs", "/api/v1/gallery/images"])
def test_lists_show_nothing_of_others(path, theirs):
    for who, client in _strangers().items():
        answer = client.get(path).json()
        assert answer["total"] == 0, who
        assert answer.get("jobs", answer.get("images")) == []
        for job in theirs:
            filtered = client.get(path, {"api_key": job.api_key_id or "", "job": str(job.pk)})
            assert filtered.json()["total"] == 0, who


def test_staff_and_a_key_with_jobs_all_see_everything(theirs):
    page = Client()
    page.force_login(factories.staff())
    every = Api(factories.key(scopes=[*DEFAULT_SCOPES, "jobs:all"])[1])
    for client in (page, every):
        assert client.get("/api/v2/jobs").json()["total"] == len(theirs)
        assert client.get("/api/v1/gallery/images").json()["total"] == len(theirs)
        assert client.get(f"/api/v2/jobs/{theirs[0].pk}/status").status_code == 200


def test_keys_of_one_owner_see_the_same_jobs(member, api):
    job = factories.job(owner=member, api_key=factories.key(member)[0])
    assert api.get(f"/api/v2/jobs/{job.pk}/status").status_code == 200


@pytest.mark.parametrize(("template", "view"), ROUTES)
def test_every_route_asks_who_is_there(template, view):
    path = _filled(template, alias="a")
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert Api().send(method, path).status_code == 401, method
