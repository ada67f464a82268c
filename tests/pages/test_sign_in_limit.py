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


def test_the_administration_has_no_form_of_its_own_to_guess_at(client: Client) -> None:
    factories.staff("anna")
    tried = client.post(
        reverse("admin:login"), {"username": "anna", "password": factories.PASSWORD}
    )
    assert tried.status_code == 405
    assert "_auth_user_id" not in client.session
    page = client.get(reverse("admin:index"), follow=True)
    assert page.redirect_chain[-1][0] == f"{reverse('sign-in')}?next=/admin/"


def test_members_are_not_sent_round_in_circles_by_the_administration(client: Client) -> None:
    client.force_login(factories.user())
    assert client.get(reverse("admin:index"), follow=True).status_code == 403
    client.force_login(factories.staff())
    assert client.get(reverse("admin:login"), follow=True).status_code == 200
