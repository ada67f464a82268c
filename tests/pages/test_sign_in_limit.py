"""Guessing passwords gets slow; the owner is never locked out."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.test import Client
from django.urls import reverse

from apikeys import limits
from apikeys.limits import WRONG_TRIES_A_MINUTE
from mobilesd import first_run
from tests import factories

pytestmark = pytest.mark.django_db

START = 1_800_000_000


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch):
    """Stop the clock of the limits: no window ends in the middle of a test."""

    class Clock:
        now = float(START)

        def time(self) -> float:
            return self.now

    made = Clock()
    for module in ("django_ratelimit.core", "django.core.cache.backends.locmem"):
        monkeypatch.setattr(f"{module}.time", made)
    monkeypatch.setattr("django.core.cache.backends.base.time", made)
    return made


def sign_in(client: Client, password: str, address: str = "10.0.0.1", name: str = "anna"):
    return client.post(
        reverse("sign-in"),
        {"username": name, "password": password},
        REMOTE_ADDR=address,
    )


def use_up(client: Client, address: str = "10.0.0.1", name: str = "anna") -> None:
    for _ in range(WRONG_TRIES_A_MINUTE):
        assert sign_in(client, "guess", address, name).status_code == 403
    assert sign_in(client, "guess", address, name).status_code == 429


def known(name: str = "anna") -> Client:
    """Return a browser that this name signed in with, and out again."""
    browser = Client()
    assert sign_in(browser, factories.PASSWORD, "10.9.9.9", name).status_code == 302
    assert browser.post("/sign-out").status_code == 302
    return browser


def test_wrong_tries_from_an_address_are_refused_after_a_while(client: Client, clock) -> None:
    factories.user("anna")
    use_up(client)
    refused = sign_in(client, factories.PASSWORD)
    assert refused.status_code == 429
    wait = int(refused["Retry-After"])
    assert 1 <= wait <= 60
    assert f"Wait {wait} s" in refused.content.decode()
    assert 'value="anna"' in refused.content.decode()
    assert "_auth_user_id" not in client.session
    clock.now += wait - 1
    assert sign_in(client, factories.PASSWORD)["Retry-After"] == "1"
    clock.now += 1
    assert sign_in(client, factories.PASSWORD).status_code == 302


def test_another_address_is_not_slowed_down(client: Client) -> None:
    factories.user("anna")
    use_up(client)
    assert sign_in(client, factories.PASSWORD, "10.0.0.2").status_code == 302


def test_hosts_of_one_ipv6_network_are_one_place(client: Client) -> None:
    factories.user("anna")
    use_up(client, "2001:db8::1")
    assert sign_in(client, factories.PASSWORD, "2001:db8::2").status_code == 429


def test_right_passwords_do_not_count() -> None:
    factories.user("anna")
    for _ in range(WRONG_TRIES_A_MINUTE + 2):
        assert sign_in(Client(), factories.PASSWORD).status_code == 302
    for _ in range(WRONG_TRIES_A_MINUTE):
        assert sign_in(Client(), "guess").status_code == 403


def test_a_browser_that_signed_in_before_is_let_in_while_its_address_is_refused() -> None:
    factories.user("anna")
    browser = known()
    use_up(Client())
    assert sign_in(browser, factories.PASSWORD).status_code == 302


def test_the_browser_of_the_first_account_is_known_as_well(client: Client) -> None:
    password = "a horse that nobody knows"
    form = {"username": "anna", "password1": password, "password2": password}
    assert client.post(f"/first-run/{first_run.issue()}", form).status_code == 302
    client.post("/sign-out")
    use_up(Client())
    assert sign_in(client, password).status_code == 302


def test_wrong_tries_of_a_known_browser_are_slowed_down_by_themselves() -> None:
    factories.user("anna")
    browser, another = known(), known()
    use_up(browser)
    assert sign_in(browser, factories.PASSWORD).status_code == 429
    assert sign_in(another, factories.PASSWORD).status_code == 302
    assert sign_in(Client(), factories.PASSWORD).status_code == 302


def test_having_signed_in_with_one_name_gives_no_more_guesses_at_another() -> None:
    factories.user("anna")
    factories.user("ben")
    use_up(Client())
    browser = known("ben")
    assert sign_in(browser, factories.PASSWORD).status_code == 429
    stolen = next(c for n, c in browser.cookies.items() if n.startswith("known_"))
    made_up = Client()
    for name in {n for n in known().cookies if n.startswith("known_")}:
        made_up.cookies[name] = stolen.value
    assert sign_in(made_up, factories.PASSWORD).status_code == 429


def test_the_cookie_of_a_known_browser_opens_and_tells_nothing() -> None:
    factories.user("anna")
    browser = known()
    (cookie,) = [c for name, c in browser.cookies.items() if name.startswith("known_")]
    assert "anna" not in cookie.output()
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["path"] == reverse("sign-in")
    assert int(cookie["max-age"]) > 60 * 60 * 24 * 300
    assert browser.get("/").status_code == 302


@pytest.mark.parametrize("name", ["", "anna", "\u00e9\u0000", "x" * 5000])
def test_a_made_up_cookie_is_no_known_browser(client: Client, name: str) -> None:
    factories.user("anna")
    for cookie in {n for n in known().cookies if n.startswith("known_")}:
        client.cookies[cookie] = f"device:{name}"
    use_up(Client())
    assert sign_in(client, factories.PASSWORD).status_code == 429


def test_tries_at_the_same_time_do_not_all_pass() -> None:
    together = threading.Barrier(40)

    def one(_: int) -> bool:
        together.wait()
        return limits.try_to_sign_in("10.0.0.1") is None

    with ThreadPoolExecutor(40) as pool:
        assert sum(pool.map(one, range(40))) == WRONG_TRIES_A_MINUTE


def test_a_try_is_counted_before_its_password_is_looked_at(client: Client, monkeypatch) -> None:
    """Else all tries that arrive while the first is looked at would be."""
    factories.user("anna")
    for _ in range(WRONG_TRIES_A_MINUTE - 1):
        sign_in(client, "guess")
    seen = []

    def meanwhile(*_: object, **__: object) -> None:
        seen.append(limits.try_to_sign_in("10.0.0.1"))

    monkeypatch.setattr("django.contrib.auth.forms.authenticate", meanwhile)
    sign_in(client, "guess")
    assert seen[0] is not None


def test_what_is_missing_is_no_wrong_password(client: Client) -> None:
    answer = sign_in(client, "")
    assert answer.status_code == 422
    assert "belong together" not in answer.content.decode()


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
