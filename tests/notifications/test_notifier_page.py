"""The page of notifications: list, add, test, switch off; each for its owner."""

import pytest

from jobs.models import Notice, Notifier
from jobs.notifications.addresses import unsealed
from jobs.notifications.words import KINDS
from tests import factories

pytestmark = pytest.mark.django_db

FORM = {
    "url": "ntfys://ntfy.sh/a-secret-topic",
    "name": "My phone",
    "kinds": ["done", "queue_empty"],
    "quiet_hours": "23:00-07:00",
    "time_zone": "Europe/Berlin",
}


@pytest.fixture
def me(client):
    user = factories.user("anna")
    client.force_login(user)
    return user


@pytest.fixture
def made(client, me):
    assert client.post("/notifications/add", FORM).status_code == 303
    return Notifier.objects.get()


def test_the_navigation_leads_there_and_an_empty_list_says_what_to_do(client, me) -> None:
    assert 'href="/notifications"' in client.get("/").content.decode()
    assert "Nobody is told yet" in client.get("/notifications").content.decode()
    assert client.get("/notifications/add").status_code == 200


def test_what_was_added_is_listed_without_its_address(client, me, made) -> None:
    assert (made.owner, made.kinds) == (me, ["done", "queue_empty"])
    page = client.get("/notifications").content.decode()
    for words in ("My phone", "ntfy", "queue empty", "quiet 23:00-07:00"):
        assert words in page
    assert "a-secret-topic" not in page


def test_a_wrong_form_comes_back_with_what_was_typed_and_is_not_kept(client, me) -> None:
    answer = client.post("/notifications/add", {**FORM, "url": "syslog://x", "kinds": []})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "syslog://x" in page
    assert "It names no service" in page
    assert "no-store" in answer.headers["Cache-Control"]
    assert not Notifier.objects.exists()


def test_the_buttons_work(client, me, made) -> None:
    client.post(f"/notifications/{made.pk}/test")
    assert Notice.objects.get().kind == "test"
    assert "1 message waits" in client.get("/notifications").content.decode()
    client.post(f"/notifications/{made.pk}/switch")
    assert not Notifier.objects.get().is_active
    client.post(f"/notifications/{made.pk}/switch", {"to": "on"})
    assert Notifier.objects.get().is_active
    client.post(f"/notifications/{made.pk}/delete")
    assert not Notifier.objects.exists()


def test_an_error_is_shown(client, me, made) -> None:
    Notifier.objects.update(last_error="The service answered with status 401.")
    page = client.get("/notifications").content.decode()
    assert "Failing" in page
    assert "status 401" in page


def test_those_of_others_are_not_there(client, me, made) -> None:
    client.force_login(factories.staff("root"))
    assert "My phone" not in client.get("/notifications").content.decode()
    assert client.post(f"/notifications/{made.pk}/delete").status_code == 404
    assert Notifier.objects.exists()


def test_all_but_the_address_is_changed_and_the_address_kept(client, me, made) -> None:
    page = client.get(f"/notifications/{made.pk}/edit").content.decode()
    assert "a-secret-topic" not in page
    assert "Kept as it is: ntfy" in page
    form = {**FORM, "url": "", "name": "Tablet", "kinds": ["stalled"], "quiet_hours": ""}
    assert client.post(f"/notifications/{made.pk}/edit", form).status_code == 303
    row = Notifier.objects.get()
    assert (row.name, row.kinds, row.quiet_hours) == ("Tablet", ["stalled"], "")
    assert unsealed(row.sealed_url) == FORM["url"]


def test_an_address_that_is_typed_anew_replaces_the_old_one(client, me, made) -> None:
    client.post(f"/notifications/{made.pk}/edit", {**FORM, "url": "ntfys://ntfy.sh/another"})
    assert unsealed(Notifier.objects.get().sealed_url) == "ntfys://ntfy.sh/another"


def test_a_wrong_change_is_said_and_changes_nothing(client, me, made) -> None:
    form = {**FORM, "url": "syslog://x", "kinds": [], "name": "Other"}
    answer = client.post(f"/notifications/{made.pk}/edit", form)
    assert answer.status_code == 422
    assert "no-store" in answer.headers["Cache-Control"]
    row = Notifier.objects.get()
    assert (row.name, unsealed(row.sealed_url)) == (FORM["name"], FORM["url"])


def test_the_notifier_of_somebody_else_is_not_edited(client, made) -> None:
    client.force_login(factories.user())
    assert client.get(f"/notifications/{made.pk}/edit").status_code == 404


def test_what_only_administrators_are_told_is_offered_to_them_alone(client, me) -> None:
    assert 'value="backup_failed"' not in client.get("/notifications/add").content.decode()
    client.force_login(factories.staff("root"))
    assert 'value="backup_failed"' in client.get("/notifications/add").content.decode()


def test_the_form_shows_what_is_set_and_what_was_typed_wrong(client, me, made) -> None:
    page = client.get(f"/notifications/{made.pk}/edit").content.decode()
    for name in ("name", "quiet_hours", "time_zone"):
        assert f'name="{name}" value="{FORM[name]}"' in page
    assert [kind for kind in KINDS if f'value="{kind}" checked' in page] == FORM["kinds"]
    wrong = {**FORM, "name": "Tablet", "quiet_hours": "soon", "kinds": ["stalled"]}
    page = client.post(f"/notifications/{made.pk}/edit", wrong).content.decode()
    for words in ('value="Tablet"', 'value="soon"', 'value="stalled" checked'):
        assert words in page


def test_a_new_address_clears_the_error_of_the_old_one(client, me, made) -> None:
    Notifier.objects.update(last_error="The service answered with status 401.")
    client.post(f"/notifications/{made.pk}/edit", {**FORM, "url": ""})
    assert Notifier.objects.get().last_error
    client.post(f"/notifications/{made.pk}/edit", {**FORM, "url": "ntfys://ntfy.sh/another"})
    assert not Notifier.objects.get().last_error
