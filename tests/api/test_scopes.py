"""What a key or a member may do: by scope, route and method, and nothing that is not named."""

import pytest
from django.test import Client, RequestFactory
from rest_framework.response import Response

from apikeys.models import SCOPES, ApiKey
from jobs.models import Job
from mobilesd.http.views import ApiView
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
ORDER = {"generation_params": {"positive_prompt": "a cat"}}
SERVER = {"alias": "new", "apiUrl": "http://10.0.0.1:7860"}


@pytest.mark.parametrize(
    ("method", "path", "body", "scope"),
    [
        ("GET", "/api/v2/jobs", None, "jobs:read"),
        ("POST", "/api/v2/generate", ORDER, "jobs:write"),
        ("GET", "/api/v1/servers", None, "servers:read"),
        ("POST", "/api/v1/servers", SERVER, "admin"),
        ("PUT", "/api/v1/servers/x", SERVER, "admin"),
        ("DELETE", "/api/v1/servers/x", None, "admin"),
        ("GET", "/api/v1/gallery/images", None, "images:read"),
    ],
)
def test_a_key_without_the_scope_is_refused(method, path, body, scope):
    lacking = [s for s in SCOPES if s not in {scope, "admin"}]
    answer = Api(factories.key(scopes=lacking)[1]).send(method, path, body)
    assert answer.status_code == 403
    assert answer.json()["error"] == "scope_missing"
    assert answer.json()["details"]["scope"] == scope
    assert Job.objects.count() == 0
    only = Api(factories.key(scopes=[scope])[1]).send(method, path, body)
    assert only.status_code in {200, 201, 202, 404, 400}


def test_admin_includes_all_scopes():
    assert Api(factories.key(scopes=["admin"])[1]).get("/api/v2/jobs").status_code == 200


def test_a_key_without_any_scope_may_do_nothing():
    assert Api(factories.key(scopes=[])[1]).get("/api/v2/jobs").status_code == 403


def test_members_read_servers_and_staff_change_them():
    member, boss = Client(), Client()
    member.force_login(factories.user())
    boss.force_login(factories.staff())
    assert member.get("/api/v1/servers").status_code == 200
    refused = member.post("/api/v1/servers", SERVER, content_type="application/json")
    assert (refused.status_code, refused.json()["error"]) == (403, "scope_missing")
    taken = boss.post("/api/v1/servers", SERVER, content_type="application/json")
    assert taken.status_code == 201


class _Forgetful(ApiView):
    required_scopes = {"GET": "jobs:read"}

    def get(self, request):
        return Response({})

    def post(self, request):
        ApiKey.objects.all().delete()
        return Response({})


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("HEAD", 200), ("POST", 405)])
def test_a_method_without_a_scope_is_refused_even_to_admins(method, status):
    _, token = factories.key(scopes=SCOPES)
    request = RequestFactory().generic(method, "/", headers={"Authorization": f"Api-Key {token}"})
    assert _Forgetful.as_view()(request).status_code == status
    assert ApiKey.objects.count() == 1


class _Blank(ApiView):
    def get(self, request):
        return Response({})


def test_a_view_that_names_no_scopes_is_closed():
    _, token = factories.key(scopes=SCOPES)
    request = RequestFactory().get("/", headers={"Authorization": f"Api-Key {token}"})
    assert _Blank.as_view()(request).status_code == 405
