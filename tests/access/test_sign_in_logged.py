"""Wrong passwords are in the access log; what was typed is not."""

import json

import pytest
from django.test import Client

from apikeys.limits import WRONG_TRIES_A_MINUTE
from apikeys.models import Access
from tests import factories

pytestmark = pytest.mark.django_db


def try_to_sign_in(password: str) -> int:
    form = {"username": "anna-nobody-else", "password": password}
    headers = {"User-Agent": "panel/1.2"}
    answer = Client().post("/sign-in", form, REMOTE_ADDR="10.0.0.7", headers=headers)
    return answer.status_code


def test_a_wrong_password_is_one_line_without_the_name(logged):
    factories.user("anna-nobody-else")
    assert try_to_sign_in("hunter-eleven") == 403
    (line,) = logged()
    assert (line.method, line.route, line.status) == ("POST", "sign-in", 403)
    assert (line.error, line.address, line.user_agent) == (
        "sign_in_failed",
        "10.0.0.7",
        "panel/1.2",
    )
    kept = json.dumps(list(Access.objects.values()), default=str)
    assert "anna" not in kept
    assert "hunter" not in kept


def test_what_is_refused_for_its_number_is_one_line_a_second(logged):
    for _ in range(WRONG_TRIES_A_MINUTE + 5):
        try_to_sign_in("guess")
    *wrong, refused = logged()
    assert len(wrong) == WRONG_TRIES_A_MINUTE
    assert (refused.status, refused.error, refused.times) == (429, "rate_limited", 5)


def test_who_signs_in_is_no_line(logged):
    factories.user("anna-nobody-else")
    assert try_to_sign_in(factories.PASSWORD) == 302
    assert logged() == []
