"""null in a request means absent (contracts/api.md, "Common"): the document says so everywhere."""

from typing import Any

import pytest

from jobs.choices import Status
from tests import factories

pytestmark = pytest.mark.django_db
PARAMS = {"positive_prompt": "a lighthouse"}


def _objects(schema: Any, shape: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the objects that a shape may be."""
    if "$ref" in shape:
        name = shape["$ref"].rpartition("/")[2]
        return _objects(schema, schema.document["components"]["schemas"][name])
    parts = [part for word in ("oneOf", "anyOf") for part in shape.get(word, [])]
    inner = [found for part in parts for found in _objects(schema, part)]
    return [shape, *inner] if "properties" in shape else inner


def test_every_field_that_may_be_left_out_may_be_null(schema):
    strict = []
    for path, method, operation in schema.operations():
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        for found in _objects(schema, body["schema"]) if body else []:
            strict += [
                f"{method} {path} {name}"
                for name, shape in found["properties"].items()
                if name not in found.get("required", []) and schema.errors(None, shape)
            ]
    assert not strict


def test_nor_is_the_document_looser_where_null_means_missing(schema):
    shape = schema.document["paths"]["/api/v2/generate"]["post"]["requestBody"]["content"]
    order = shape["application/json"]["schema"]
    assert schema.errors({"generation_params": None}, order)
    assert schema.errors({"generation_info_raw": None, "generation_params": None}, order)
    assert not schema.errors({"generation_info_raw": "a cat", "generation_params": None}, order)
    assert not schema.errors({"generation_info_raw": None, "generation_params": PARAMS}, order)


BODIES = {
    "/api/v2/generate": [
        ({"generation_params": PARAMS, "generation_info_raw": None, "priority": None}, 202),
        ({"generation_params": None, "generation_info_raw": "a cat\nSteps: 3"}, 202),
        ({"generation_params": {"positive_prompt": "x", "steps": None}, "lane": None}, 202),
        (
            {
                "generation_params": {
                    **PARAMS,
                    "loras": [{"name": "a", "weight": None, "hash": None}],
                }
            },
            202,
        ),
        ({"generation_params": None}, 400),
    ],
    "/api/v1/generate": [
        ({"generation_params": PARAMS, "target_server_alias": None}, 202),
        ({"generation_params": None}, 400),
    ],
    "/api/v2/generate/bulk": [
        ({"generation_params": PARAMS, "bulk_quantity": 2, "variations": None}, 202),
        (
            {
                "generation_params": PARAMS,
                "variations": {"mode": None, "fields": {"steps": [3, 4], "seeds": None}},
            },
            202,
        ),
        ({"generation_params": PARAMS, "variations": {"steps": [3], "mode": None}}, 202),
    ],
    "/api/v2/jobs/{job_id}/move": [
        ({"to": "top", "before": None, "after": None}, 200),
        ({"to": None, "before": None}, 400),
        ({"to": "top", "before": "01234567-89ab-cdef-0123-456789abcdef"}, 400),
    ],
}


@pytest.mark.parametrize(
    ("path", "body", "status"), [(path, *each) for path, all_ in BODIES.items() for each in all_]
)
def test_the_document_and_the_server_agree(schema, boss, path, body, status):
    job = factories.job(Status.PENDING)
    operation = schema.document["paths"][path]["post"]
    shape = operation["requestBody"]["content"]["application/json"]["schema"]
    answer = boss.send("POST", path.replace("{job_id}", str(job.pk)), body)
    assert answer.status_code == status, answer.json()
    assert bool(schema.errors(body, shape)) == (status == 400)
