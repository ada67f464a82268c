"""What only staff may give counts only while the key's owner is of the staff."""

from typing import Any

import pytest

from apikeys import rights
from apikeys.models import SCOPES, ApiKey
from apikeys.rights import Credential
from jobs.webhooks.makers import actor_of
from tests import factories
from tests.api.conftest import Api
from tests.keys.conftest import KEYS

pytestmark = pytest.mark.django_db
MEMBERS = ["jobs:read", "jobs:write", "servers:read", "images:read", "images:write", "models:read"]


def _demote(user: Any) -> None:
    type(user).objects.filter(pk=user.pk).update(is_staff=False, is_superuser=False)


def _scopes(client: Api) -> list[str]:
    return list(client.get("/api/v2/whoami").json()["scopes"])


def test_an_administrators_key_stops_being_one_with_its_owner():
    owner = factories.staff()
    factories.job(owner=factories.user())
    key = Api(factories.key(owner, SCOPES)[1])
    assert _scopes(key) == list(SCOPES)
    assert key.get("/api/v2/jobs").json()["total"] == 1
    assert key.get(KEYS).status_code == 200
    _demote(owner)
    assert _scopes(key) == MEMBERS
    assert key.get("/api/v2/jobs").json()["total"] == 0
    refused = key.get(KEYS)
    assert (refused.status_code, refused.json()["error"]) == (403, "scope_missing")
    assert "does not count" in refused.json()["message"]
    type(owner).objects.filter(pk=owner.pk).update(is_staff=True)
    assert _scopes(key) == list(SCOPES)


def test_admin_alone_is_nothing_then():
    owner = factories.staff()
    key = Api(factories.key(owner, ["admin"])[1])
    _demote(owner)
    assert _scopes(key) == []
    assert key.get("/api/v2/jobs").status_code == 403


def test_a_key_of_the_installation_has_no_owner_to_lose():
    assert _scopes(Api(factories.key(None, ["admin"])[1])) == list(SCOPES)


def test_an_open_stream_is_told_too():
    owner = factories.staff()
    row, _ = factories.key(owner, ["jobs:read", "jobs:all"])
    credential = Credential(key_prefix=row.prefix, key_hash=row.hashed_key)
    assert rights.actors([credential])[credential].sees_all_jobs
    _demote(owner)
    assert not rights.actors([credential])[credential].sees_all_jobs


def test_a_webhook_is_told_no_more_than_its_key_may_see():
    from jobs.models import Webhook

    owner = factories.staff()
    row, _ = factories.key(owner, ["jobs:read", "jobs:all"])
    hook = Webhook(owner=owner, api_key=row, sees_all_jobs=True)
    assert actor_of(hook).sees_all_jobs
    _demote(owner)
    hook.api_key = ApiKey.objects.get(pk=row.pk)
    assert not actor_of(hook).sees_all_jobs


@pytest.mark.parametrize("scope", ["admin", "jobs:all", "models:write"])
def test_a_member_is_given_no_key_whose_scopes_do_not_count(anna, boss, member, scope):
    body = {"name": "phone", "owner": "ben", "scopes": ["jobs:read", scope]}
    for client in (anna, boss):
        refused = client.send("POST", KEYS, body)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_field_value")
        assert list(refused.json()["details"]["fields"]) == ["scopes"]
    row, _ = factories.key(scopes=["jobs:read", scope])
    assert anna.send("PATCH", f"{KEYS}/{row.prefix}", {"owner": "ben"}).status_code == 400
    assert ApiKey.objects.get(prefix=row.prefix).owner is None
    assert anna.send("POST", KEYS, {**body, "owner": "anna"}).status_code == 201


def test_what_a_demoted_owners_key_has_may_be_sent_back(anna):
    owner = factories.staff("carl")
    row, _ = factories.key(owner, ["jobs:read", "admin"])
    _demote(owner)
    body = {"name": "old", "scopes": ["jobs:read", "admin"]}
    assert anna.send("PATCH", f"{KEYS}/{row.prefix}", body).status_code == 200


def test_the_key_page_shows_what_counts(client):
    owner = factories.staff()
    row, _ = factories.key(owner, ["jobs:read", "admin"])
    client.force_login(owner)
    assert "Not counted" not in client.get(f"/keys/{row.prefix}").text
    _demote(owner)
    assert "Not counted, because its owner is not of the staff: Everything" in (
        client.get(f"/keys/{row.prefix}").text
    )


def test_the_admin_pages_say_so_at_the_field(client, member):
    client.force_login(factories.staff())
    form = {"name": "phone", "owner": member.pk, "scopes": ["admin"], "rate_limit": 5}
    answer = client.post("/admin/apikeys/apikey/add/", form)
    assert "count only while the key" in answer.text
    assert not ApiKey.objects.exists()
