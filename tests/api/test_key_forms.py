"""The four header forms of a key, and what is said about a key that is no good."""

import base64
from datetime import timedelta

import pytest
from django.utils import timezone

from apikeys.models import ApiKey
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
JOBS = "/api/v2/jobs"


def _forms(token: str) -> dict[str, dict[str, str]]:
    prefix, _, secret = token.partition(".")
    pair = base64.b64encode(f"{prefix}:{secret}".encode()).decode()
    return {
        "api-key": {"Authorization": f"Api-Key {token}"},
        "lower case": {"Authorization": f"api-key {token}"},
        "bearer": {"Authorization": f"Bearer {token}"},
        "bearer base64": {"Authorization": f"Bearer {pair}"},
        "bearer base64 without padding": {"Authorization": f"Bearer {pair.rstrip('=')}"},
        "pair": {"X-API-Key": prefix, "X-API-Secret": secret},
    }


@pytest.mark.parametrize("form", list(_forms("P.S")))
def test_each_form_of_a_key_is_taken(form):
    _, token = factories.key()
    assert Api().get(JOBS, headers=_forms(token)[form]).status_code == 200


@pytest.mark.parametrize("form", list(_forms("P.S")))
def test_each_form_with_a_wrong_secret_is_refused(form):
    row, _ = factories.key()
    answer = Api().get(JOBS, headers=_forms(f"{row.prefix}.{'x' * 32}")[form])
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_api_key"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Api-Key"},
        {"Authorization": "Api-Key nodot"},
        {"Authorization": "Api-Key .secret"},
        {"Authorization": "Api-Key prefix."},
        {"Authorization": "Api-Key " + "x" * 300 + ".y"},
        {"Authorization": "Bearer !!!"},
        {"Authorization": "Bearer " + base64.b64encode(b"\xff\xfe").decode()},
        {"X-API-Key": "onlyhalf"},
        {"X-API-Secret": "onlyhalf"},
        {"Authorization": "Api-Key ä.ö"},
    ],
)
def test_a_malformed_key_is_refused_with_what_to_send(headers):
    answer = Api().get(JOBS, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_api_key"
    assert "Api-Key P.S" in answer.json()["message"]


def test_without_a_key_the_answer_says_how_to_sign_in():
    answer = Api().get(JOBS)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Api-Key"
    assert answer.json()["error"] == "authentication_required"
    assert "X-API-Key" in answer.json()["details"]["hint"]


def test_credentials_of_a_proxy_are_no_key():
    _, token = factories.key()
    basic = {"Authorization": "Basic " + base64.b64encode(b"me:pw").decode()}
    assert Api().get(JOBS, headers=basic).json()["error"] == "authentication_required"
    prefix, _, secret = token.partition(".")
    both = {**basic, "X-API-Key": prefix, "X-API-Secret": secret}
    assert Api().get(JOBS, headers=both).status_code == 200


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"revoked": True}, "api_key_revoked"),
        ({"expiry_date": timezone.now() - timedelta(seconds=1)}, "api_key_expired"),
        ({"is_active": False}, "invalid_api_key"),
    ],
)
def test_a_key_that_is_no_good_any_more_says_why(fields, code):
    _, token = factories.key(**fields)
    answer = Api(token).get(JOBS)
    assert answer.status_code == 401
    assert answer.json()["error"] == code
    assert answer.headers["WWW-Authenticate"] == "Api-Key"


def test_who_lacks_the_secret_does_not_learn_why_a_key_is_no_good():
    row, _ = factories.key(revoked=True)
    answer = Api(f"{row.prefix}.{'x' * 32}").get(JOBS)
    assert answer.json()["error"] == "invalid_api_key"
    assert "revoked" not in answer.text


def test_a_key_of_somebody_who_may_not_sign_in_is_refused():
    _, token = factories.key(factories.user(is_active=False))
    assert Api(token).get(JOBS).json()["error"] == "invalid_api_key"


def test_the_last_use_is_noted_at_most_once_a_minute():
    _, token = factories.key()
    Api(token).get(JOBS)
    first = ApiKey.objects.get().last_used_at
    assert first is not None
    Api(token).get(JOBS)
    assert ApiKey.objects.get().last_used_at == first
    ApiKey.objects.update(last_used_at=first - timedelta(seconds=61))
    Api(token).get(JOBS)
    assert ApiKey.objects.get().last_used_at > first - timedelta(seconds=61)


def test_a_key_costs_one_query(django_assert_num_queries):
    _, token = factories.key(factories.user(), last_used_at=timezone.now())
    with django_assert_num_queries(1):
        answer = Api(token).get("/api/v2/generate")
    assert answer.status_code == 405
