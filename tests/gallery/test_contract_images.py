"""The rows of the contract about pictures: fields, types and errors, in v1 and v2."""

import re
import uuid
from datetime import datetime

import pytest

from gallery.files import image_store
from jobs.choices import Status
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
V1, V2 = "/api/v1/gallery/images", "/api/v2/images"

NULL = type(None)
# As the contract names them; more fields are fine.
IMAGE = {
    "id": str,
    "filename": str,
    "url": str,
    "thumbnail_url": str,
    "width": int,
    "height": int,
    "bytes": int,
    "sha256": str,
    "created": str,
    "mobilesd_job_id": (str, NULL),
    "server_alias": str,
    "app_type": str,
    "positive_prompt": str,
    "negative_prompt": str,
    "checkpoint_name": (str, NULL),
    "loras": list,
    "seed": (int, NULL),
    "parameters": dict,
    "favourite": bool,
    "rating": (int, NULL),
    "tags": list,
    "albums": list,
}
COUNTS = {"total": int, "total_is_exact": bool, "next_cursor": (str, NULL)}


@pytest.fixture
def member(db):
    return factories.user("member")


@pytest.fixture
def api(member):
    return Api(factories.key(member, scopes=["images:read"])[1])


@pytest.fixture
def image(member):
    job = factories.job(Status.COMPLETED, owner=member)
    params = {"positive_prompt": "a cat", "negative_prompt": "no", "steps": 4}
    return factories.image(
        job,
        factories.png(1024, 512),
        width=1024,
        height=512,
        seed="18446744073709551615",
        parameters=params,
        checkpoint="random_a.safetensors",
        infotext="a cat\nSteps: 4",
    )


def has(found, fields):
    for name, kind in fields.items():
        assert isinstance(found[name], kind), name
        assert not (kind is int and isinstance(found[name], bool)), name


def answered(api, path, query=None):
    answer = api.get(path, query)
    assert answer.status_code == 200, answer.content
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json()


def test_v1_lists_pictures(api, image):
    body = answered(api, V1)
    assert set(body) == {*COUNTS, "images"}
    has(body, COUNTS)
    (shown,) = body["images"]
    has(shown, IMAGE)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown["created"])
    assert datetime.fromisoformat(shown["created"])
    assert uuid.UUID(shown["id"]) == image.pk
    assert (shown["seed"], shown["checkpoint_name"]) == (2**64 - 1, "random_a.safetensors")
    assert (shown["positive_prompt"], shown["negative_prompt"]) == ("a cat", "no")


def test_v2_lists_the_same_in_an_envelope(api, image):
    assert answered(api, V2) == {"success": True, **answered(api, V1)}


def test_one_picture(api, image):
    flat = answered(api, f"{V1}/{image.pk}")
    has(flat, IMAGE)
    assert flat == answered(api, V1)["images"][0]
    assert answered(api, f"{V2}/{image.pk}") == {"success": True, "image": flat}


@pytest.mark.parametrize("version", [V1, V2])
def test_the_file_and_the_thumbnails(api, image, version):
    answer = api.get(f"{version}/{image.pk}/file")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.getvalue() == image_store().read(image.sha256)
    for query in ({}, {"size": 256}, {"size": 512}):
        answer = api.get(f"{version}/{image.pk}/thumbnail", query)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/webp")
    answer = api.get(f"{version}/{image.pk}/thumbnail", {"size": 128})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_field_value")


def test_the_addresses_in_a_picture_work(api, image):
    shown = answered(api, f"{V2}/{image.pk}")["image"]
    assert api.get(shown["url"]).headers["Content-Type"] == "image/png"
    assert api.get(shown["thumbnail_url"]).headers["Content-Type"] == "image/webp"


def test_the_info_adds_the_raw_metadata(api, image):
    flat = answered(api, f"{V1}/{image.pk}/info")
    raw = flat.pop("metadata")
    assert flat == answered(api, f"{V1}/{image.pk}")
    assert flat["infotext"] == "a cat\nSteps: 4"
    assert raw == {"format": "png", "text": {}, "complete": True}
    enveloped = answered(api, f"{V2}/{image.pk}/info")
    assert enveloped == {"success": True, "image": {**flat, "metadata": raw}}


@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"q": "cat"}, "unsupported_parameter"),
        ({"sort": "rating"}, "unsupported_parameter"),
        ({"job": "x"}, "invalid_field_value"),
        ({"from": "yesterday"}, "invalid_field_value"),
        ({"to": "2026-01-01"}, "invalid_field_value"),
        ({"limit": "0"}, "invalid_field_value"),
        ({"limit": "201"}, "invalid_field_value"),
        ({"cursor": "made up"}, "invalid_field_value"),
    ],
)
def test_a_filter_that_can_not_be_taken_is_named(api, image, version, query, error):
    answer = api.get(version, query)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert list(answer.json()["details"]["fields"]) == list(query)


@pytest.mark.parametrize("version", [V1, V2])
def test_filters_and_pages(api, member, image, version):
    job = factories.job(Status.COMPLETED, owner=member)
    other = factories.image(job, server_alias="b", app_type="comfyui")

    def ids(**query):
        return [shown["id"] for shown in answered(api, version, query)["images"]]

    first, second = str(image.pk), str(other.pk)
    assert ids() == [second, first]
    assert ids(job=job.pk) == ids(server="b") == ids(app_type="comfyui") == [second]
    assert ids(**{"from": other.created_at.isoformat()}) == [second]
    assert ids(to=other.created_at.isoformat()) == [first]
    page = answered(api, version, {"limit": 1})
    assert ids(limit=1, cursor=page["next_cursor"]) == [first]


@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize("rest", ["", "/file", "/thumbnail", "/info"])
def test_no_such_picture_no_key_no_scope(api, image, version, rest):
    foreign = factories.image(factories.job(Status.COMPLETED, owner=factories.user()))
    for missing in (uuid.uuid4(), foreign.pk):
        answer = api.get(f"{version}/{missing}{rest}")
        assert (answer.status_code, answer.json()["error"]) == (404, "image_not_found")
    path = f"{version}/{image.pk}{rest}"
    assert Api().get(path).status_code == 401
    answer = Api(factories.key(scopes=["jobs:read"])[1]).get(path)
    assert (answer.status_code, answer.json()["error"]) == (403, "scope_missing")
    assert api.send("POST", path, {}).status_code == 405


@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize("rest", ["/file", "/thumbnail", "/info"])
def test_a_file_that_is_gone_is_told(api, image, version, rest):
    image_store().path(image.sha256).unlink()
    answer = api.get(f"{version}/{image.pk}{rest}")
    assert (answer.status_code, answer.json()["error"]) == (404, "image_not_found")
    assert "gone" in answer.json()["message"]
