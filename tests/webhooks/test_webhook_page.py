"""The page of webhooks: list, add, deliveries, replay, test, switch off; each for its owner."""

import re

import pytest
from django.utils import timezone

from jobs.models import Delivery, Webhook
from tests import factories

pytestmark = pytest.mark.django_db

URL = "https://example.com/hook"


@pytest.fixture
def anna(client):
    user = factories.user("anna")
    client.force_login(user)
    return user


@pytest.fixture
def made(client, anna):
    answer = client.post("/webhooks/add", {"url": URL, "events": ["job.status", "job.created"]})
    assert answer.status_code == 201
    return Webhook.objects.get()


def test_adding_shows_the_secret_once_and_lets_nobody_keep_the_page(client, anna):
    answer = client.post("/webhooks/add", {"url": URL, "events": ["*"]})
    assert answer.status_code == 201
    (secret,) = re.findall(r'id="secret" value="([^"]+)"', answer.content.decode())
    assert len(secret) >= 40
    assert "no-store" in answer.headers["Cache-Control"]
    row = Webhook.objects.get()
    assert (row.owner, row.events) == (anna, ["*"])
    for path in ("/webhooks", f"/webhooks/{row.pk}"):
        assert secret not in client.get(path).content.decode()


@pytest.mark.parametrize(
    "form", [{"url": URL}, {"events": ["*"]}, {"url": "http://127.0.0.1/", "events": ["*"]}]
)
def test_a_wrong_form_comes_back_with_what_was_typed(client, anna, form):
    answer = client.post("/webhooks/add", form)
    assert answer.status_code == 422
    assert form.get("url", "") in answer.content.decode()
    assert 'role="alert"' in answer.content.decode()
    assert not Webhook.objects.exists()


def test_it_is_in_the_menu_and_shows_how_it_goes(client, made):
    assert 'href="/webhooks"' in client.get("/").content.decode()
    assert URL in client.get("/webhooks").content.decode()
    Webhook.objects.update(failures_in_row=3)
    assert "It failed 3 times in a row" in client.get("/webhooks").content.decode()
    Webhook.objects.update(is_active=False, off_reason="Nothing was delivered for days.")
    assert "Nothing was delivered for days." in client.get("/webhooks").content.decode()


def test_the_deliveries_are_shown_and_sent_again(client, made):
    now = timezone.now()
    row = Delivery.objects.create(
        webhook=made,
        kind="job.status",
        body="{}",
        state="failed",
        tries=8,
        last_status=500,
        last_error="It answered 500 Internal Server Error.",
        due_at=now,
        created_at=now,
    )
    page = client.get(f"/webhooks/{made.pk}").content.decode()
    assert "It answered 500" in page
    assert "Given up" in page
    client.post(f"/webhooks/{made.pk}/deliveries/{row.pk}/replay")
    assert Delivery.objects.exclude(pk=row.pk).get().replay_of == row.pk


def test_testing_switching_and_deleting(client, made):
    client.post(f"/webhooks/{made.pk}/test")
    assert Delivery.objects.get().kind == "webhook.test"
    client.post(f"/webhooks/{made.pk}/switch", {"to": "off"})
    assert not Webhook.objects.get().is_active
    assert client.post(f"/webhooks/{made.pk}/test").status_code == 409
    client.post(f"/webhooks/{made.pk}/switch", {"to": "on"})
    assert Webhook.objects.get().is_active
    assert client.post(f"/webhooks/{made.pk}/delete").status_code == 303
    assert not Webhook.objects.exists()


def test_somebody_elses_is_absent(client, made):
    client.force_login(factories.user())
    assert URL not in client.get("/webhooks").content.decode()
    assert client.get(f"/webhooks/{made.pk}").status_code == 404
    for action in ("test", "switch", "delete"):
        assert client.post(f"/webhooks/{made.pk}/{action}").status_code == 404
    assert Webhook.objects.get().is_active


def test_nobody_sees_it_without_signing_in(client, made):
    client.logout()
    for path in ("/webhooks", "/webhooks/add", f"/webhooks/{made.pk}"):
        assert client.get(path).status_code == 302


def test_a_list_of_many_costs_the_same_queries(client, made, django_assert_max_num_queries):
    client.get("/webhooks")
    for _ in range(9):
        client.post("/webhooks/add", {"url": URL, "events": ["*"]})
    with django_assert_max_num_queries(7):
        client.get("/webhooks")
