"""A change without a body changes nothing, and is not answered as if it did."""

import pytest

from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", "/api/v2/servers/gpu"), ("PUT", "/api/v1/servers/gpu"), ("PUT", "/api/v1/settings")],
)
def test_a_change_without_a_body_is_refused(boss, method, path):
    factories.server("gpu")
    answer = boss.send(method, path)
    assert (answer.status_code, answer.json()["error"]) == (400, "missing_required_field")
    assert "body" in answer.json()["message"]
