"""The contract's "Common": who may ask without a key, and how everything is refused."""

import base64
import re
from typing import Any

import pytest
from django.core.cache import caches
from django.test import Client

from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
UUID = "00000000-0000-4000-8000-000000000000"


def address(path: str) -> str:
    path = re.sub(r"\{\w+_id\}", UUID, path)
    return path.replace("{alias}", "none").replace("{prefix}", "none")


def test_the_four_forms_of_a_key_and_the_session(member, schema):
    _, token = factories.key(member)
    prefix, _, secret = token.partition(".")
    pair = base64.b64encode(f"{prefix}:{secret}".encode()).decode()
    for headers in (
        {"Authorization": f"Api-Key {token}"},
        {"Authorization": f"Bearer {token}"},
        {"Authorization": f"Bearer {pair}"},
        {"X-API-Key": prefix, "X-API-Secret": secret},
    ):
        schema.check(Client(headers=headers).get("/api/v2/jobs"), "GET", "/api/v2/jobs")
    signed_in = Client()
    signed_in.force_login(member)
    schema.check(signed_in.get("/api/v2/jobs"), "GET", "/api/v2/jobs")
    schemes = schema.document["components"]["securitySchemes"]
    assert set(schemes) == {"ApiKey", "Bearer", "BearerPair", "KeyPrefix", "KeySecret", "Session"}


def test_without_a_key_only_the_public_addresses_answer(schema):
    for path, method, operation in schema.operations():
        caches["ratelimit"].clear()  # it slows down who is refused so often
        answer = Api().send(method.upper(), address(path))
        if operation["security"]:
            assert answer.status_code == 401, f"{method} {path}"
            assert schema.check(answer, method, path)["error"] == "authentication_required"
            assert answer.headers["WWW-Authenticate"] == "Api-Key"
        else:
            assert answer.status_code in {200, 503}, f"{method} {path}"


def test_a_key_that_is_wrong_expired_or_revoked_is_told_so(schema):
    for fields, error in (
        ({"is_active": False}, "invalid_api_key"),
        ({"revoked": True}, "api_key_revoked"),
        ({"expiry_date": "2020-01-01T00:00:00Z"}, "api_key_expired"),
    ):
        _, token = factories.key(**fields)
        answer = Api(token).get("/api/v2/jobs")
        assert answer.status_code == 401
        assert schema.check(answer, "GET", "/api/v2/jobs")["error"] == error


def test_a_key_without_any_scope_is_refused_by_each_operation_that_names_one(schema):
    _, token = factories.key(scopes=[], rate_limit=0)
    for path, method, operation in schema.operations():
        if not operation.get("x-scope"):
            continue
        answer = Api(token).send(method.upper(), address(path), {})
        assert answer.status_code == 403, f"{method} {path} {answer.content}"
        found = schema.check(answer, method, path)
        assert found["error"] == "scope_missing"
        assert found["details"]["scope"] == operation["x-scope"]


def test_every_operation_refuses_a_body_of_another_kind(schema):
    token = factories.key(scopes=["admin"], rate_limit=0)[1]
    for path, method, operation in schema.operations():
        if "requestBody" not in operation:
            continue
        text = Api(token).generic(method.upper(), address(path), b"x=1", "text/plain")
        found = schema.check(text, method, path)
        assert _is_one_of(found, "unsupported_media_type"), f"{method} {path}"
        broken = Api(token).send(method.upper(), address(path), b"{")
        assert _is_one_of(schema.check(broken, method, path), "invalid_json"), f"{method} {path}"


def _is_one_of(found: dict[str, Any], error: str) -> bool:
    """Tell whether it is this error, or the id that was made up is looked for first."""
    return found["error"] == error or found["error"].endswith("not_found")


def test_every_list_refuses_a_part_that_there_is_not(schema):
    token = factories.key(scopes=["admin"], rate_limit=0)[1]
    seen = 0
    for path, method, operation in schema.operations():
        names = {parameter["name"] for parameter in operation["parameters"]}
        if "limit" not in names or "{" in path:
            continue
        seen += 1
        for query in ("limit=-1", "limit=0", "limit=201", "limit=x", "order=up", "cursor=made-up"):
            answer = Api(token).get(f"{path}?{query}")
            assert answer.status_code == 400, f"{path}?{query}"
            found = schema.check(answer, method, path)
            assert set(found["details"]["fields"]) == {query.partition("=")[0]}
    assert seen >= 5


def test_the_session_needs_the_pages_token_to_change_something(member, schema):
    client = Client(enforce_csrf_checks=True)
    client.force_login(member)
    answer = client.post("/api/v2/generate", {}, content_type="application/json")
    assert schema.check(answer, "POST", "/api/v2/generate")["error"] == "csrf_failed"


def test_an_accept_that_takes_no_json_is_406(boss, schema):
    for path, method, operation in schema.operations():
        media = next(iter(operation["responses"].values())).get("content", {})
        if not operation["security"] or "application/json" not in media or method != "get":
            continue
        answer = boss.get(address(path), headers={"Accept": "text/csv"})
        assert schema.check(answer, method, path)["error"] == "not_acceptable", path
