"""A key that may submit some app types only is refused all others, whatever way they come."""

import pytest

from apikeys.actors import Actor
from jobs.models import Job
from jobs.services.checks import checked_app_type
from jobs.services.orders import Order
from mobilesd.errors import Problem
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
PARAMS = {"positive_prompt": "a lighthouse"}


@pytest.fixture(autouse=True)
def _two_app_types(settings):
    settings.DISPATCHERS = {**settings.DISPATCHERS, "other": settings.DISPATCHERS["forge"]}


@pytest.mark.parametrize("path", ["/api/v1/generate", "/api/v2/generate"])
@pytest.mark.parametrize("by", ["app_type", "target_server_alias", "default"])
def test_another_type_is_refused_and_nothing_is_written(path, by):
    _, token = factories.key(allowed_app_types=["other"])
    factories.server("pc", app_type="forge")
    named = {"app_type": "forge", "target_server_alias": "pc"}
    body = {"generation_params": PARAMS, **({by: named[by]} if by in named else {})}
    answer = Api(token).send("POST", path, body)
    assert (answer.status_code, answer.json()["error"]) == (403, "app_type_not_allowed")
    assert answer.json()["details"]["allowed_app_types"] == ["other"]
    assert Job.objects.count() == 0


def test_an_allowed_type_and_a_key_without_a_list_are_taken():
    for allowed in (["forge"], []):
        _, token = factories.key(allowed_app_types=allowed)
        answer = Api(token).send("POST", "/api/v2/generate", {"generation_params": PARAMS})
        assert answer.status_code == 202, answer.text


def test_the_check_that_every_way_of_submitting_passes_asks_the_actor():
    actor = Actor.of_key(factories.key(allowed_app_types=["other"])[0])
    with pytest.raises(Problem) as refused:
        checked_app_type(Order(generation_params=PARAMS, app_type="forge"), actor)
    assert refused.value.error == "app_type_not_allowed"
