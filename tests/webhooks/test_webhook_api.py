"""Webhooks over REST: who may make, see and change them; nothing shows a secret twice."""

import pytest

from apikeys.models import DEFAULT_SCOPES, SCOPES
from jobs.models import Delivery, DeliveryState, Event, Webhook
from jobs.webhooks import services
from jobs.webhooks.signing import unsealed_secret
from tests import factories
from tests.api.conftest import Api
from tests.webhooks.conftest import SECRET

pytestmark = pytest.mark.django_db

URL = "https://example.com/hook"
ROOT = "/api/v2/webhooks"


def make(client: Api, **fields):
    answer = client.send("POST", ROOT, {"url": URL, "events": ["job.status"], **fields})
    assert answer.status_code == 201, answer.json()
    return answer.json()["webhook"]


def delivery(webhook_id: str, **fields) -> Delivery:
    from django.utils import timezone

    now = timezone.now()
    fields = {"kind": "job.status", "body": '{"a":1}', "due_at": now, "created_at": now, **fields}
    return Delivery.objects.create(webhook_id=webhook_id, **fields)


def test_a_secret_is_made_and_shown_once(api):
    made = make(api)
    secret = made.pop("secret")
    assert len(secret) >= 40
    row = Webhook.objects.get(pk=made["id"])
    assert secret not in row.sealed_secret
    assert unsealed_secret(row.sealed_secret) == secret
    shown = api.get(f"{ROOT}/{made['id']}")
    assert shown.json() == {"success": True, "webhook": made}
    listed = api.get(ROOT)
    assert listed.json()["webhooks"] == [made]
    assert secret not in shown.content.decode() + listed.content.decode()


def test_a_secret_can_be_chosen_and_changed(api):
    made = make(api, secret=SECRET)
    assert made["secret"] == SECRET
    other = "another secret, quite long"
    answer = api.send("PATCH", f"{ROOT}/{made['id']}", {"secret": other})
    assert answer.status_code == 200
    assert other not in answer.content.decode()
    assert unsealed_secret(Webhook.objects.get().sealed_secret) == other


def test_it_starts_with_what_happens_after_it_was_made(api):
    Event.objects.create(kind="server.status", public=True, at="2026-01-01T00:00:00Z")
    make(api)
    assert Webhook.objects.get().last_event_id == Event.objects.last_id() > 0


@pytest.mark.parametrize(
    ("body", "field", "error"),
    [
        ({"events": ["*"]}, "url", "missing_required_field"),
        ({"url": URL}, "events", "missing_required_field"),
        ({"url": URL, "events": []}, "events", "invalid_field_value"),
        ({"url": URL, "events": "*"}, "events", "invalid_field_value"),
        ({"url": URL, "events": ["job.created", "job.eaten"]}, "events", "invalid_field_value"),
        ({"url": URL, "events": [["*"]]}, "events", "invalid_field_value"),
        ({"url": URL, "events": [{}]}, "events", "invalid_field_value"),
        ({"url": URL, "events": ["job.progress"]}, "events", "invalid_field_value"),
        ({"url": 7, "events": ["*"]}, "url", "invalid_field_value"),
        ({"url": "http://127.0.0.1/", "events": ["*"]}, "url", "invalid_field_value"),
        ({"url": "http://[::1]/", "events": ["*"]}, "url", "invalid_field_value"),
        ({"url": URL, "events": ["*"], "secret": "short"}, "secret", "invalid_field_value"),
        ({"url": URL, "events": ["*"], "secret": "s" * 201}, "secret", "invalid_field_value"),
        ({"url": URL, "events": ["*"], "secret": "ä" * 20}, "secret", "invalid_field_value"),
        ({"url": URL, "events": ["*"], "secret": 7}, "secret", "invalid_field_value"),
        ({"url": URL, "events": ["*"], "is_active": "no"}, "is_active", "invalid_field_value"),
        ({"url": URL, "events": ["*"], "owner": 1}, "owner", "unsupported_parameter"),
    ],
)
def test_what_can_not_be_taken_is_named_and_makes_nothing(api, body, field, error):
    answer = api.send("POST", ROOT, body)
    assert answer.status_code == 400
    assert answer.json()["error"] == error
    assert list(answer.json()["details"]["fields"]) == [field]
    assert not Webhook.objects.exists()


def test_an_unknown_event_is_answered_with_the_known_ones(api):
    answer = api.send("POST", ROOT, {"url": URL, "events": ["nothing"]})
    assert all(kind in answer.json()["details"]["hint"] for kind in services.KINDS)


def test_bad_changes_change_nothing(api):
    made = make(api)
    for body in ({"url": "http://localhost/"}, {"events": ["x"]}, {"is_active": 1}, {"b": 1}):
        assert api.send("PATCH", f"{ROOT}/{made['id']}", body).status_code == 400
    del made["secret"]
    assert api.get(f"{ROOT}/{made['id']}").json()["webhook"] == made


def test_there_are_at_most_twenty_of_one_owner(api, boss):
    for _ in range(services.MAX_EACH):
        make(api)
    refused = api.send("POST", ROOT, {"url": URL, "events": ["*"]})
    assert (refused.status_code, refused.json()["error"]) == (409, "limit_reached")
    make(boss)  # somebody else's number is his own


def test_what_one_may_not_see_is_absent(api, boss):
    stranger = Api(factories.key(factories.user())[1])
    made = make(api)
    row = delivery(made["id"])
    paths = [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/test"),
        ("GET", "/deliveries"),
        ("GET", f"/deliveries/{row.pk}"),
        ("POST", f"/deliveries/{row.pk}/replay"),
    ]
    for method, path in paths:
        answer = stranger.send(method, f"{ROOT}/{made['id']}{path}", {})
        assert answer.status_code == 404, (method, path)
        assert answer.json()["error"] == "not_found"
    assert stranger.get(ROOT).json()["webhooks"] == []
    assert Webhook.objects.get().is_active
    assert len(boss.get(ROOT).json()["webhooks"]) == 1  # who sees all sees it


def test_a_delivery_is_found_only_under_its_own_webhook(api):
    mine, other = make(api), make(api)
    row = delivery(other["id"])
    assert api.get(f"{ROOT}/{mine['id']}/deliveries/{row.pk}").status_code == 404
    path = f"{ROOT}/{mine['id']}/deliveries/{row.pk}/replay"
    assert api.send("POST", path).status_code == 404


ALL_JOBS = ("jobs:read", "jobs:write", "jobs:all")


@pytest.mark.parametrize("scopes", [DEFAULT_SCOPES, ALL_JOBS])
def test_a_key_is_no_way_to_the_webhooks_of_its_owners_other_keys(scopes):
    owner = factories.staff()
    maker = Api(factories.key(owner, scopes)[1])
    made = make(maker)
    for other in (Api(factories.key(owner)[1]), Api(factories.key(owner, ALL_JOBS)[1])):
        assert other.get(ROOT).json()["webhooks"] == []
        assert other.get(f"{ROOT}/{made['id']}").status_code == 404
        assert other.get(f"{ROOT}/{made['id']}/deliveries").status_code == 404
        body = {"url": "https://thief.example/"}
        assert other.send("PATCH", f"{ROOT}/{made['id']}", body).status_code == 404
        assert other.send("DELETE", f"{ROOT}/{made['id']}").status_code == 404
    assert maker.get(f"{ROOT}/{made['id']}").status_code == 200


def test_an_admin_key_and_the_owner_on_the_page_have_all_of_the_owners(client):
    owner = factories.staff()
    made = make(Api(factories.key(owner)[1]))
    admin = Api(factories.key(owner, ("admin",))[1])
    assert admin.get(f"{ROOT}/{made['id']}").status_code == 200
    client.force_login(owner)
    assert client.get(f"{ROOT}/{made['id']}").status_code == 200


def test_a_key_that_lost_its_owners_rights_is_no_way_to_a_webhook_that_gets_all_jobs():
    owner = factories.staff()
    key = Api(factories.key(owner, ALL_JOBS)[1])
    made = make(key)
    assert made["all_jobs"]
    type(owner).objects.filter(pk=owner.pk).update(is_staff=False)
    assert key.get(f"{ROOT}/{made['id']}").status_code == 404


def test_scopes(member):
    reader = Api(factories.key(member, ("jobs:read",))[1])
    writer = Api(factories.key(member, ("jobs:write",))[1])
    made = make(Api(factories.key(member)[1]))
    assert reader.get(ROOT).status_code == 200
    assert reader.send("POST", ROOT, {"url": URL, "events": ["*"]}).status_code == 403
    assert reader.send("POST", f"{ROOT}/{made['id']}/test").status_code == 403
    assert writer.get(ROOT).status_code == 403
    # A webhook is another way to read jobs.
    refused = writer.send("POST", ROOT, {"url": URL, "events": ["*"]})
    assert (refused.status_code, refused.json()["error"]) == (403, "scope_missing")


def test_the_log_is_paged_and_filtered(api):
    made = make(api)
    rows = [delivery(made["id"], state="failed" if n == 1 else "delivered") for n in range(5)]
    seen, cursor = [], ""
    while True:
        page = api.get(f"{ROOT}/{made['id']}/deliveries?limit=2&cursor={cursor}").json()
        assert page["total"] == 5
        seen += [row["id"] for row in page["deliveries"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [str(row.pk) for row in reversed(rows)]
    failed = api.get(f"{ROOT}/{made['id']}/deliveries?state=failed").json()["deliveries"]
    assert [row["id"] for row in failed] == [str(rows[1].pk)]
    assert api.get(f"{ROOT}/{made['id']}/deliveries?state=lost").status_code == 400
    one = api.get(f"{ROOT}/{made['id']}/deliveries/{rows[0].pk}").json()["delivery"]
    assert one["body"] == '{"a":1}'


@pytest.mark.parametrize("state", [DeliveryState.DELIVERED, DeliveryState.FAILED])
def test_a_replay_is_a_new_line_with_the_same_body_and_id(api, state):
    made = make(api)
    first = delivery(made["id"], state=state, event_id=7, tries=8)
    answer = api.send("POST", f"{ROOT}/{made['id']}/deliveries/{first.pk}/replay")
    assert answer.status_code == 202
    told = answer.json()["delivery"]
    assert told["id"] != str(first.pk) == told["delivery_id"] == told["replay_of"]
    row = Delivery.objects.get(pk=told["id"])
    assert (row.body, row.state, row.tries, row.event_id) == (first.body, "pending", 0, 7)
    Delivery.objects.filter(pk=row.pk).update(state="failed")
    again = api.send("POST", f"{ROOT}/{made['id']}/deliveries/{row.pk}/replay").json()["delivery"]
    assert again["delivery_id"] == str(first.pk)


def test_a_replay_of_what_still_waits_sends_it_now(api):
    from datetime import timedelta

    from django.utils import timezone

    made = make(api)
    waiting = delivery(made["id"], due_at=timezone.now() + timedelta(hours=6), tries=5)
    Webhook.objects.update(not_before=waiting.due_at, failures_in_row=5)
    answer = api.send("POST", f"{ROOT}/{made['id']}/deliveries/{waiting.pk}/replay")
    assert answer.json()["delivery"]["id"] == str(waiting.pk)
    waiting.refresh_from_db()
    assert waiting.due_at <= timezone.now()
    assert Webhook.objects.get().not_before is None
    assert Delivery.objects.count() == 1


def test_nothing_is_sent_to_one_that_is_off(api):
    made = make(api, is_active=False)
    row = delivery(made["id"], state="failed")
    for path in ("test", f"deliveries/{row.pk}/replay"):
        answer = api.send("POST", f"{ROOT}/{made['id']}/{path}")
        assert (answer.status_code, answer.json()["error"]) == (409, "webhook_off")
    assert Delivery.objects.count() == 1


def test_switching_on_begins_with_what_happens_then(api):
    made = make(api, is_active=False)
    Webhook.objects.update(off_reason="It failed.", failures_in_row=9)
    Event.objects.create(kind="server.status", public=True, at="2026-01-01T00:00:00Z")
    told = api.send("PATCH", f"{ROOT}/{made['id']}", {"is_active": True}).json()["webhook"]
    assert (told["is_active"], told["off_reason"], told["failures_in_row"]) == (True, None, 0)
    assert Webhook.objects.get().last_event_id == Event.objects.last_id()


def test_a_test_makes_a_delivery(api):
    made = make(api)
    answer = api.send("POST", f"{ROOT}/{made['id']}/test")
    assert answer.status_code == 202
    assert answer.json()["delivery"]["type"] == "webhook.test"


def test_deleting_takes_the_log_along(api):
    made = make(api)
    delivery(made["id"])
    answer = api.send("DELETE", f"{ROOT}/{made['id']}")
    assert answer.status_code == 200
    assert not Webhook.objects.exists()
    assert not Delivery.objects.exists()
    assert api.send("DELETE", f"{ROOT}/{made['id']}").status_code == 404


def test_a_page_with_a_session_may_do_it_too(client, member):
    client.force_login(member)
    answer = client.post(ROOT, {"url": URL, "events": ["*"]}, "application/json")
    assert answer.status_code == 201
    assert Webhook.objects.get().owner == member


def test_the_administration_shows_no_secret(client, api):
    made = make(api, secret=SECRET)
    delivery(made["id"])
    sealed = Webhook.objects.get().sealed_secret
    client.force_login(factories.staff())
    for path in ("webhook/", f"webhook/{made['id']}/change/", "delivery/"):
        page = client.get(f"/admin/jobs/{path}")
        assert page.status_code == 200
        assert SECRET not in page.content.decode()
        assert sealed not in page.content.decode()


def test_an_administrator_switches_a_webhook_off(client, api):
    made = make(api)
    client.force_login(factories.staff())
    form = {"action": "switch_off", "_selected_action": made["id"]}
    assert client.post("/admin/jobs/webhook/", form).status_code == 302
    row = Webhook.objects.get()
    assert not row.is_active
    assert "administrator" in row.off_reason


def test_the_scopes_of_the_tests_are_those_that_exist():
    assert {"jobs:read", "jobs:write", "jobs:all"} <= set(SCOPES)
