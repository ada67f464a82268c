"""An extension that is too old is told so, with where the new one is, before anything else."""

import pytest

from jobs.models import Job
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db

ORDER = {"generation_params": {"positive_prompt": "a lighthouse", "steps": 4}}
OLD = {"User-Agent": "mobilesd-forge-extension/1.9.9"}


@pytest.fixture(autouse=True)
def minimum(settings):
    settings.MINIMUM_EXTENSION_VERSION = "2.0.0"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/v2/generate", ORDER),
        ("POST", "/api/v1/generate", ORDER),
        ("POST", "/api/v2/generate/bulk", {**ORDER, "bulk_quantity": 2}),
        ("GET", "/api/v2/jobs", None),
        ("GET", "/api/v2/servers", None),
        ("GET", "/api/v2/events", None),
    ],
)
def test_it_says_what_is_wrong_and_where_the_new_one_is(api, method, path, body):
    answer = api.send(method, path, body, **OLD)
    assert answer.status_code == 400
    found = answer.json()
    assert found["error"] == "extension_too_old"
    assert found["message"] == (
        "This extension (version 1.9.9) is too old for this MobileSD, which needs 2.0.0 or newer."
    )
    details = found["details"]
    assert "Download" in details["hint"]
    assert (details["version"], details["minimum_version"]) == ("1.9.9", "2.0.0")
    assert details["url"] == "/extensions/forge/"
    assert not Job.objects.exists()


@pytest.mark.parametrize("path", ["/api/v2/whoami", "/extensions/forge.zip"])
def test_what_it_needs_to_be_replaced_is_open_to_it(folder, api, path):
    answer = api.get(path, headers=OLD)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "version",
    ["2.0.0", "2", "2.0", "2.0.1", "10.0", "1.9.9-dev", "1.0rc1", "nightly", "1.2.3.4.5", "9" * 39],
)
def test_new_ones_and_what_is_no_version_are_let_through(api, version):
    headers = {"User-Agent": f"mobilesd-forge-extension/{version} (requests)"}
    assert api.send("POST", "/api/v2/generate", ORDER, **headers).status_code == 202
    body = {**ORDER, "source_info": f"forge-extension/{version} f3a9"}
    assert api.send("POST", "/api/v2/generate", body).status_code == 202


@pytest.mark.parametrize(
    "agent", ["curl/1.0", "my-forge-extension/1.0", "mobilesd-other-extension/1.0", ""]
)
def test_other_programs_have_versions_of_their_own(api, agent):
    body = {**ORDER, "source_info": "other-extension/1.0"}
    answer = api.send("POST", "/api/v2/generate", body, **{"User-Agent": agent})
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/api/v2/generate", {}),
        ("/api/v1/generate", {}),
        ("/api/v2/generate/bulk", {"bulk_quantity": 2}),
    ],
)
def test_an_order_says_it_as_well_where_the_request_does_not(api, path, more):
    body = {**ORDER, **more, "source_info": "forge-extension/1.9 f3a9"}
    answer = api.send("POST", path, body)
    assert (answer.status_code, answer.json()["error"]) == (400, "extension_too_old")
    assert not Job.objects.exists()


def test_what_was_written_down_before_an_update_is_taken_after_it(api):
    body = {**ORDER, "source_info": "forge-extension/1.9.9 f3a9", "idempotency_key": "one"}
    new = {"User-Agent": "mobilesd-forge-extension/2.0.0"}
    assert api.send("POST", "/api/v2/generate", body, **new).status_code == 202
    assert api.send("POST", "/api/v2/generate", body, **new).status_code == 200
    assert Job.objects.get().source_info == "forge-extension/1.9.9 f3a9"


def test_a_wrong_key_comes_first(db):
    answer = Api("nobody.knows").send("GET", "/api/v2/jobs", None, **OLD)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_api_key")


def test_it_is_told_before_what_a_key_may_not_do(member):
    client = Api(factories.key(member, ["models:read"])[1])
    answer = client.send("POST", "/api/v2/generate", ORDER, **OLD)
    assert answer.json()["error"] == "extension_too_old"
