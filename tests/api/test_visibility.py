"""What one may not see is 404, never 403: all routes are walked by everybody who must not see."""

import re
import uuid

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from apikeys.models import DEFAULT_SCOPES, SCOPES
from mobilesd.http.views import ApiView
from mobilesd.unknown import UnknownPath
from tests import factories
from tests.api.conftest import Api
from tests.theirs import MARK, stored, theirs

pytestmark = pytest.mark.django_db


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
    (path, method)
    for path, view in ROUTES
    if "<uuid:" in path or "<str:prefix>" in path
    for method in view.required_scopes
]
# Servers belong to the installation, and everybody may know of them.
OF_ALL = {"alias"}
LISTS = [
    path
    for path, view in ROUTES
    if "<" not in path
    and "GET" in view.required_scopes
    and path != "api/v2/events"  # has no end; tests/streams/test_events.py asks who sees what
]


@pytest.fixture
def rows(data_dir):
    return theirs()


def _strangers() -> dict[str, Client]:
    member = factories.user("stranger")
    page = Client()
    page.force_login(member)
    many = [scope for scope in SCOPES if scope not in ("admin", "jobs:all")]
    return {
        "key of another member": Api(factories.key(member)[1]),
        "key of another member with more scopes": Api(factories.key(member, many)[1]),
        "another key of the installation": Api(factories.key(scopes=many)[1]),
        "another member's page": page,
        "key of a member of the staff without jobs:all": Api(factories.key(factories.staff())[1]),
    }


def _filled(template: str, ids) -> str:
    """Return a path with these ids in it, and ids of nothing for the rest."""
    nothing = uuid.uuid4()
    return "/" + re.sub(
        r"<(uuid|str|slug):(\w+)>",
        lambda found: str(ids.get(found[2], nothing if found[1] == "uuid" else "nothing0")),
        template,
    )


def _named(template: str) -> set[str]:
    return set(re.findall(r"<\w+:(\w+)>", template)) - OF_ALL


def _said(answer) -> tuple[int, str, str]:
    body = answer.json()
    return answer.status_code, body["error"], body["message"]


def test_the_walk_has_a_row_for_everything_that_a_route_names(rows):
    named = {name for path, _ in ABOUT_ONE for name in _named(path)}
    made = {name for each in rows for name in each.ids} | {"job_id", "image_id"}
    assert named == made
    assert len(ABOUT_ONE) >= 40
    assert {"GET", "POST", "PATCH", "DELETE"} <= {method for _, method in ABOUT_ONE}


@pytest.mark.parametrize(("template", "method"), ABOUT_ONE)
def test_what_belongs_to_somebody_else_is_not_there(template, method, rows):
    before, refused = stored(rows), set()
    for who, client in _strangers().items():
        nothing = _said(client.generic(method, _filled(template, {}), b"", "application/json"))
        for each in rows:
            if not _named(template) <= {"job_id", "image_id", *each.ids}:
                continue
            for ids in each.each():
                path = _filled(template, ids)
                answer = client.generic(method, path, b"", "application/json")
                assert _said(answer) == nothing, (who, each.whose)
                assert MARK not in answer.text
        # Only a key that may do nothing at such a place is told so, whatever is there.
        assert nothing[0] == 404 or nothing[:2] == (403, "scope_missing"), who
        refused.add(nothing[0])
    assert 404 in refused
    assert stored(rows) == before


@pytest.mark.parametrize("template", LISTS)
def test_lists_show_nothing_of_others(template, rows):
    path, before = f"/{template}", stored(rows)
    for who, client in _strangers().items():
        whole = client.get(path)
        queries = [{}, {"q": MARK}]
        for each in rows:
            queries += [{"job": str(job.pk)} for job in each.jobs]
            queries += [{"batch": str(each.ids["batch_id"]), "api_key": each.ids.get("prefix", "")}]
        for query in queries:
            answer = client.get(path, query)
            shown = answer.text.replace(f'"q":"{MARK}"', "")  # the filters are told again
            for each in rows:
                for secret in each.secrets:
                    told = shown
                    for value in query.values():
                        told = told.replace(f'"{value}"', "")
                    assert secret not in told, (who, each.whose, query)
        body = whole.json()
        if path != "/api/v1/api-keys" and isinstance(body, dict):  # they have keys of their own
            assert (body.get("total", 0), body.get("count", 0)) == (0, 0), who
    assert stored(rows) == before


def test_the_queue_counts_only_what_one_sees(rows):
    for who, client in _strangers().items():
        answer = client.get("/api/v2/queue")
        assert answer.status_code == 200
        assert set(answer.json()["counts"].values()) == {0}, who


@pytest.mark.parametrize(
    "name", ["init_images by picture", "init_images by job", "depends_on", "move"]
)
def test_an_order_can_not_name_what_belongs_to_somebody_else(name, rows):
    for who, client in _strangers().items():

        def send(job_id, image_id, name=name, client=client):
            params = {"positive_prompt": "x"}
            path, body = "/api/v2/generate", {"generation_params": params}
            if name == "init_images by picture":
                params["init_images"] = [{"image_id": str(image_id)}]
            elif name == "init_images by job":
                params["init_images"] = [{"job": str(job_id), "image": 0}]
            elif name == "depends_on":
                body["depends_on"] = [str(job_id)]
            else:
                path, body = "/api/v2/queue/move", {"jobs": [str(job_id)], "to": "top"}
            return client.post(path, body, content_type="application/json")

        nothing = send(uuid.uuid4(), uuid.uuid4())
        for each in rows:
            for ids in each.each():
                answer = send(ids["job_id"], ids["image_id"])
                assert answer.status_code == nothing.status_code, (who, each.whose)
                if name == "move":
                    assert answer.json()["moved"] == []
                    continue
                assert answer.status_code in (400, 404)
                assert re.sub(r"[0-9a-f-]{36}", "", answer.json()["message"]) == re.sub(
                    r"[0-9a-f-]{36}", "", nothing.json()["message"]
                )


def test_staff_and_a_key_with_jobs_all_see_everything(rows):
    page = Client()
    page.force_login(factories.staff())
    every = Api(factories.key(scopes=[*DEFAULT_SCOPES, "jobs:all"])[1])
    jobs = [job for each in rows for job in each.jobs]
    for client in (page, every):
        assert client.get("/api/v2/jobs").json()["total"] == len(jobs)
        assert client.get("/api/v2/jobs", {"q": MARK}).json()["total"] == len(jobs)
        for path in ("/api/v1/gallery/images", "/api/v2/images"):
            assert client.get(path).json()["total"] == len(jobs)
        assert client.get(f"/api/v2/jobs/{jobs[0].pk}/status").status_code == 200
        assert sum(client.get("/api/v2/queue").json()["counts"].values()) == len(jobs)
    assert page.get("/api/v2/webhooks").json()["total"] == len(rows)


def test_keys_of_one_owner_see_the_same_jobs(member, api):
    job = factories.job(owner=member, api_key=factories.key(member)[0])
    assert api.get(f"/api/v2/jobs/{job.pk}/status").status_code == 200


@pytest.mark.parametrize(("template", "view"), ROUTES)
def test_every_route_asks_who_is_there(template, view):
    path = _filled(template, {"alias": "a"})
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert Api().send(method, path).status_code == 401, method
