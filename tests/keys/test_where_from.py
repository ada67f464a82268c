"""A key with a list of addresses works from there only, and who lacks its secret learns nothing."""

from ipaddress import ip_network

import pytest

from apikeys.models import ApiKey
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
WHOAMI = "/api/v2/whoami"


@pytest.mark.parametrize(
    ("allowed", "address", "taken"),
    [
        (["192.168.1.0/24"], "192.168.1.7", True),
        (["192.168.1.0/24"], "::ffff:192.168.1.7", True),
        (["192.168.1.0/24"], "192.168.2.7", False),
        (["10.0.0.5", "192.168.1.7"], "192.168.1.7", True),
        (["2001:db8::/32"], "2001:db8::7", True),
        (["2001:db8::/32"], "2001:db9::7", False),
        (["2001:db8::/32"], "192.168.1.7", False),
        (["0.0.0.0/0"], "2001:db8::7", False),
        (["192.168.1.0/24"], "", False),
        ([], "", True),
        ([], "192.168.1.7", True),
    ],
)
def test_the_address_decides(allowed, address, taken):
    _, token = factories.key(allowed_ips=allowed)
    answer = Api(token).get(WHOAMI, REMOTE_ADDR=address)
    if taken:
        assert answer.status_code == 200
        return
    assert (answer.status_code, answer.json()["error"]) == (403, "ip_not_allowed")
    assert address in answer.json()["message"]
    assert ApiKey.objects.get().last_used_at is None


def test_a_header_that_no_trusted_proxy_wrote_opens_nothing(settings):
    _, token = factories.key(allowed_ips=["192.168.1.7"])
    forged = {"REMOTE_ADDR": "203.0.113.9", "HTTP_X_FORWARDED_FOR": "192.168.1.7"}
    assert Api(token).get(WHOAMI, **forged).status_code == 403
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.1")]
    assert Api(token).get(WHOAMI, **forged).status_code == 403
    through = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "192.168.1.7"}
    assert Api(token).get(WHOAMI, **through).status_code == 200
    made_up = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "192.168.1.7, 203.0.113.9"}
    assert Api(token).get(WHOAMI, **made_up).status_code == 403


def test_who_lacks_the_secret_does_not_learn_of_the_list():
    row, _ = factories.key(allowed_ips=["10.0.0.1"])
    answer = Api(f"{row.prefix}.{'x' * 32}").get(WHOAMI)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_api_key")


def test_a_list_costs_no_further_query(django_assert_num_queries):
    from django.utils import timezone

    _, token = factories.key(allowed_ips=["127.0.0.1"], last_used_at=timezone.now())
    with django_assert_num_queries(1):
        assert Api(token).get("/api/v2/generate").status_code == 405
