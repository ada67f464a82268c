"""The rows of the contract about servers: fields, types, statuses and errors, in v1 and v2."""

import pytest

from dispatch.models import Server
from jobs.choices import Status
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
V1, V2 = "/api/v1/servers", "/api/v2/servers"

NULL = type(None)
SERVER_V1 = {
    "alias": str,
    "apiUrl": str,
    "app_type": str,
    "description": str,
    "enabled": bool,
    "healthy": bool,
}
SERVER_V2 = {  # as the contract names them; more fields are fine
    "alias": str,
    "app_type": str,
    "host": str,
    "port": int,
    "description": str,
    "healthy": bool,
    "busy": bool,
    "queue_length": int,
    "loaded_checkpoint": (str, NULL),
    "gpu": (dict, NULL),
}
BODY = {
    "alias": "gaming-pc",
    "apiUrl": "http://10.0.0.2:7860",
    "app_type": "forge",
    "description": "upstairs",
    "auth": {"username": "me", "password": "hunter2"},
}
SHOWN = {
    "alias": "gaming-pc",
    "apiUrl": "http://10.0.0.2:7860",
    "app_type": "forge",
    "description": "upstairs",
    "enabled": True,
    "healthy": False,
}


@pytest.fixture
def reader(db):
    return Api(factories.key(scopes=["servers:read"])[1])


def typed(found, fields):
    for name, kind in fields.items():
        assert isinstance(found[name], kind), name


def test_v1_lists_servers_as_a_bare_array(reader):
    factories.server("a", description="x")
    factories.server("b", url="http://127.0.0.1:10", enabled=False)
    answer = reader.get(V1)
    assert answer.status_code == 200
    body = answer.json()
    assert isinstance(body, list)
    assert [set(server) for server in body] == [set(SERVER_V1)] * 2
    for server in body:
        typed(server, SERVER_V1)
    assert [server["enabled"] for server in body] == [True, False]
    assert reader.get(f"{V1}/a").json() == body[0]


def test_v1_adds_a_server(boss):
    answer = boss.send("POST", V1, BODY)
    assert answer.status_code == 201
    body = answer.json()
    assert set(body) == {"message", "server"}
    assert isinstance(body["message"], str)
    assert body["server"] == SHOWN
    assert Server.objects.get().password == "hunter2"
    assert "hunter2" not in answer.text


def test_v1_takes_host_and_port_instead_of_an_address(boss):
    body = {**BODY, "host": "10.0.0.2", "port": 7860}
    del body["apiUrl"]
    assert boss.send("POST", V1, body).json()["server"] == SHOWN


def test_v1_changes_a_server(boss):
    boss.send("POST", V1, BODY)
    change = {**SHOWN, "description": "downstairs", "enabled": False}
    answer = boss.send("PUT", f"{V1}/gaming-pc", change)
    assert answer.status_code == 200
    assert set(answer.json()) == {"message", "server"}
    assert answer.json()["server"] == change
    assert boss.get(f"{V1}/gaming-pc").json() == change
    assert Server.objects.get().password == "hunter2"


def test_v1_deletes_a_server(boss):
    boss.send("POST", V1, BODY)
    answer = boss.send("DELETE", f"{V1}/gaming-pc")
    assert (answer.status_code, set(answer.json())) == (200, {"message", "undo"})
    answer = boss.get(f"{V1}/gaming-pc")
    assert (answer.status_code, answer.json()["error"]) == (404, "server_not_found")


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"alias": None}, 400, "missing_required_field"),
        ({"alias": "with space"}, 400, "invalid_field_value"),
        ({"apiUrl": "not an address"}, 400, "invalid_field_value"),
        ({"app_type": "paint"}, 400, "invalid_field_value"),
        ({"alias": "there"}, 409, "already_exists"),
    ],
)
def test_v1_refuses_what_it_can_not_take(boss, change, status, error):
    factories.server("there")
    answer = boss.send("POST", V1, {**BODY, **change})
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    body = answer.json()
    assert set(body) == {"success", "error", "message", "details"}
    assert body["success"] is False
    assert {"code", "timestamp", "hint", "request_id"} <= set(body["details"])


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_v1_answers_404_for_no_server(boss, method):
    answer = boss.send(method, f"{V1}/nowhere", {} if method == "PUT" else None)
    assert (answer.status_code, answer.json()["error"]) == (404, "server_not_found")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", V1), ("PUT", f"{V1}/a"), ("DELETE", f"{V1}/a")]
)
def test_servers_are_changed_with_admin_only(reader, method, path):
    factories.server("a")
    answer = reader.send(method, path, BODY)
    assert (answer.status_code, answer.json()["error"]) == (403, "scope_missing")
    assert answer.json()["details"]["scope"] == "admin"


@pytest.mark.parametrize("path", [V1, f"{V1}/a", V2])
def test_servers_are_seen_with_their_scope_only(db, path):
    assert Api().get(path).status_code == 401
    answer = Api(factories.key(scopes=["jobs:read"])[1]).get(path)
    assert (answer.status_code, answer.json()["error"]) == (403, "scope_missing")


def test_v2_lists_servers_with_what_they_are_doing(reader):
    factories.server("a", loaded_checkpoint="x.safetensors", description="cellar")
    factories.server("b", url="https://host.example/forge")
    factories.attempt(factories.job(Status.PROCESSING, server_alias="a"))
    factories.job(target_server_alias="b")
    answer = reader.get(V2)
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"success", "servers"}
    assert body["success"] is True
    for server in body["servers"]:
        typed(server, SERVER_V2)
    a, b = body["servers"]
    assert (a["alias"], a["busy"], a["queue_length"]) == ("a", True, 0)
    assert (a["loaded_checkpoint"], a["description"]) == ("x.safetensors", "cellar")
    assert (b["host"], b["port"], b["busy"], b["queue_length"]) == ("host.example", 443, False, 1)
