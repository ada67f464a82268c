"""The OpenAPI document: whole, valid, and true to its own examples."""

import json

import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, get_resolver

from jobs.api.schema.params import COMPONENTS
from jobs.params import normalise
from jobs.params.fields import BY_NAME, FIELDS
from mobilesd.errors import CATALOGUE, InvalidInput
from mobilesd.schema import generator
from mobilesd.schema.operations import SECURITY

URL = "/api/schema/"


def test_the_document_is_valid_and_nothing_in_it_is_doubtful(tmp_path):
    file = tmp_path / "schema.yml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(file))
    assert yaml.safe_load(file.read_text())["openapi"].startswith("3.1")


def _routed(patterns, before=""):
    for entry in patterns:
        path = before + str(entry.pattern)
        if not isinstance(entry, URLPattern):
            yield from _routed(entry.url_patterns, path)
        elif path.startswith("api/") and path not in {"api/schema/", "api/docs/"}:
            yield path, entry.callback


def test_every_route_is_described(schema):
    """By a walk of its own over the url configuration."""
    described = {
        (method.upper(), path.replace("{", "<").replace("}", ">"))
        for path, method, _ in schema.operations()
    }
    missing = []
    for path, view in _routed(get_resolver().url_patterns):
        name = "/" + path
        for converter in ("uuid:", "str:", "int:", "slug:"):
            name = name.replace("<" + converter, "<")
        cls = getattr(view, "cls", None)
        methods = getattr(cls or view, "required_scopes", None) or ["any"]
        missing += [
            f"{method} {name}"
            for method in methods
            if (method, name) not in described
            and not (method == "any" and any(path == name for _, path in described))
        ]
    assert not missing, "not described in <app>/api/schema.py:\n" + "\n".join(missing)


def test_a_route_without_a_description_and_the_other_way_round_are_noticed(monkeypatch, capsys):
    found = generator.described()
    found["GET", "/api/v2/nowhere"] = found.pop(("GET", "/api/v2/jobs"))
    monkeypatch.setattr(generator, "described", lambda: found)
    generator.Generator().get_schema(public=True)
    said = capsys.readouterr().err
    assert "GET /api/v2/nowhere is described, but there is no such route" in said
    assert "GET /api/v2/jobs is not described" in said
    assert said.count("Warning") == 2


def test_anybody_may_read_it_as_json_and_as_yaml(db):
    as_json = Client().get(URL)
    assert as_json.headers["Content-Type"] == "application/json"
    as_yaml = Client().get(URL, headers={"Accept": "application/yaml"})
    assert as_yaml.headers["Content-Type"] == "application/yaml"
    assert Client().get(URL + "?format=yaml").content == as_yaml.content
    assert as_json.json() == yaml.safe_load(as_yaml.content)
    browser = Client().get(URL, headers={"Accept": "text/html,*/*;q=0.8"})
    assert browser.headers["Content-Type"] == "application/json"


def test_it_is_built_once_a_process(db, monkeypatch):
    Client().get(URL)
    monkeypatch.setattr(generator, "compiled", None)
    assert Client().get(URL).status_code == 200


def test_who_has_it_already_gets_no_body(db):
    etag = Client().get(URL).headers["ETag"]
    again = Client().get(URL, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(("method", "status"), [("POST", 405), ("PUT", 405), ("HEAD", 200)])
@pytest.mark.parametrize("url", [URL, "/api/docs/"])
def test_it_can_only_be_read(db, url, method, status):
    answer = Client().generic(method, url)
    assert answer.status_code == status
    if status == 405:
        assert answer.json()["error"] == "method_not_allowed"
        assert answer.headers["Allow"] == "GET, HEAD"


def test_an_unknown_form_is_refused(db):
    answer = Client().get(URL + "?format=xml")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_field_value")


def test_there_is_one_form_of_errors_with_every_code(schema):
    shape = schema.document["components"]["schemas"]["Error"]
    assert shape["properties"]["error"]["enum"] == list(CATALOGUE)
    for path, method, operation in schema.operations():
        for status, answer in operation["responses"].items():
            if status < "400" or path in {"/healthz", "/readyz"}:
                continue
            media = answer["content"]["application/json"]
            assert media["schema"] == {"$ref": "#/components/schemas/Error"}, (method, path)
            assert {CATALOGUE[code].status for code in media["examples"]} == {int(status)}
    for code, kind in CATALOGUE.items():
        assert f"| {kind.status} | `{code}` |" in schema.document["info"]["description"]


def test_every_operation_says_what_it_does_and_shows_examples(schema):
    names = []
    for path, method, operation in schema.operations():
        where = f"{method} {path}"
        names.append(operation["operationId"])
        assert operation["summary"].endswith("."), where
        assert len(operation["description"]) >= len(operation["summary"]), where
        assert operation["tags"][0] in {tag["name"] for tag in schema.document["tags"]}, where
        assert operation["security"] in ([], SECURITY), where
        assert all(p["description"] and p["schema"] for p in operation["parameters"]), where
        for media in operation.get("requestBody", {}).get("content", {}).values():
            assert media["examples"], where
        for status, answer in operation["responses"].items():
            assert answer["description"], where
            for kind, media in answer.get("content", {}).items():
                wanted = kind in {"application/json", "text/event-stream"}
                assert not wanted or media["examples"], f"{where} {status}"
    assert len(names) == len(set(names))


def test_every_example_is_as_its_schema_says(schema):
    wrong = []
    for path, method, operation in schema.operations():
        medias = list(operation.get("requestBody", {}).get("content", {}).items())
        for answer in operation["responses"].values():
            medias += answer.get("content", {}).items()
        for kind, media in medias:
            for name, example in media.get("examples", {}).items():
                if "$ref" in example:
                    example = schema.document["components"]["examples"][name]
                if kind == "application/json":
                    found = schema.errors(example["value"], media["schema"])
                    wrong += [f"{method} {path} {name}: {text}" for text in found]
    assert not wrong, "\n".join(wrong)


def test_every_reference_leads_somewhere(schema):
    text = json.dumps(schema.document)
    for part in text.split('"$ref": "')[1:]:
        place = schema.document
        for step in part.partition('"')[0].removeprefix("#/").split("/"):
            place = place[step]


def test_every_scope_is_named(schema):
    for path, method, operation in schema.operations():
        if operation["security"] and "x-scope" in operation:
            assert f"`{operation['x-scope']}`" in operation["description"], (method, path)


def test_the_known_parameters_are_described_with_their_other_names(schema):
    properties = schema.document["components"]["schemas"]["GenerationParams"]["properties"]
    assert set(properties) == {field.name for field in FIELDS}
    for name, field in BY_NAME.items():
        if name != field.name:
            assert f"`{name}`" in properties[field.name]["description"]


def _bounds():
    """Give each numeric parameter with the numbers at and beyond its limits."""
    for name, shape in COMPONENTS["GenerationParams"]["properties"].items():
        for option in shape.get("anyOf", []):
            if option.get("type") in {"integer", "number"}:
                step = option.get("multipleOf", 1)
                yield name, option["minimum"], True
                yield name, option["maximum"], True
                yield name, option["maximum"] + step, False
                yield name, option["minimum"] - step, False


@pytest.mark.parametrize(("name", "value", "fine"), list(_bounds()))
def test_the_limits_are_those_that_the_code_holds(name, value, fine):
    params = {"positive_prompt": "x", name: value}
    if name in {"width", "height"} and value == 8192:
        params = {"positive_prompt": "x", "width": 64, "height": 64, name: value}
    try:
        normalise(params, app_type="forge")
        taken = True
    except InvalidInput as refused:
        taken = name not in " ".join(refused.fields) or "area" in refused.message
    assert taken == fine
