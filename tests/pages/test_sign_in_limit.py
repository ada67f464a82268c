"""Guessing passwords gets slow; the owner is never locked out."""

import pytest
from django.test import Client
from django.urls import reverse

from mobilesd.views import WRONG_TRIES_A_MINUTE
from tests import factories

pytestmark = pytest.mark.django_db


def sign_in(client: Client, password: str, address: str = "10.0.0.1"):  # type: ignore[no-untyped-def]
    return client.post(
        reverse("sign-in"),
        {"username": "anna", "password": password},
        REMOTE_ADDR=address,
    )


def test_wrong_tries_from_an_address_are_refused_after_a_while(client: Client) -> None:
    factories.user("anna")
    for _ in range(WRONG_TRIES_A_MINUTE):
        assert sign_in(client, "guess").status_code == 200
    refused = sign_in(client, factories.PASSWORD)
    assert refused.status_code == 429
    assert refused["Retry-After"] == "60"
    assert "Wait a minute" in refused.content.decode()
    assert "_auth_user_id" not in client.session


def test_another_address_is_not_slowed_down(client: Client) -> None:
    factories.user("anna")
    for _ in range(WRONG_TRIES_A_MINUTE):
        sign_in(client, "guess")
    assert sign_in(client, factories.PASSWORD, "10.0.0.2").status_code == 302


def test_right_passwords_do_not_count() -> None:
    factories.user("anna")
    for _ in range(WRONG_TRIES_A_MINUTE + 2):
        assert sign_in(Client(), factories.PASSWORD).status_code == 302
