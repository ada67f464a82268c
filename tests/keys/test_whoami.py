"""What a program may ask first: who it is, what it may do, and with whom it speaks."""

import tomllib
from pathlib import Path

import pytest

import mobilesd
from apikeys.models import SCOPES
from jobs.choices import Status
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
WHOAMI = "/api/v2/whoami"
ROOT = Path(__file__).resolve().parents[2]


def test_a_key_learns_what_it_may_do(member):
    row, token = factories.key(
        member,
        ["jobs:write", "jobs:read"],
        name="forge extension",
        rate_limit=60,
        jobs_per_day=3,
        allowed_app_types=["forge"],
    )
    factories.job(Status.COMPLETED, owner=member, api_key=row)
    body = Api(token).get(WHOAMI).json()
    assert body == {
        "success": True,
        "kind": "key",
        "name": "forge extension",
        "prefix": row.prefix,
        "owner": "ben",
        "expires_at": None,
        "scopes": ["jobs:read", "jobs:write"],
        "allowed_app_types": ["forge"],
        "limits": {
            "submissions": {"limit": 60, "per_seconds": 60},
            "requests": {"limit": 600, "per_seconds": 60},
            "jobs_per_day": {"limit": 3, "used": 1, "remaining": 2, "frees_at": None},
            "gpu_seconds_per_day": {
                "limit": None,
                "used": 0,
                "remaining": None,
                "frees_at": None,
            },
        },
        "server_version": mobilesd.VERSION,
        "minimum_extension_version": "1.0.0",
    }


def test_a_quota_that_is_used_up_says_when_it_frees():
    row, token = factories.key(jobs_per_day=1)
    factories.job(api_key=row)
    quota = Api(token).get(WHOAMI).json()["limits"]["jobs_per_day"]
    assert (quota["remaining"], quota["frees_at"] is None) == (0, False)


def test_every_key_may_ask_and_unlimited_is_null():
    body = Api(factories.key(scopes=[], rate_limit=0)[1]).get(WHOAMI).json()
    assert body["scopes"] == []
    assert body["limits"]["submissions"]["limit"] is None
    assert body["limits"]["requests"]["limit"] is None
    assert body["owner"] is None


def test_admin_is_shown_as_everything(boss):
    assert boss.get(WHOAMI).json()["scopes"] == list(SCOPES)


def test_somebody_who_is_signed_in_may_ask_too(ben, anna):
    body = ben.get(WHOAMI).json()
    assert (body["kind"], body["name"], body["owner"]) == ("session", "ben", "ben")
    assert "admin" not in body["scopes"]
    assert anna.get(WHOAMI).json()["scopes"] == list(SCOPES)


def test_nobody_else(db):
    assert Api().get(WHOAMI).status_code == 401


def test_the_version_has_one_source():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "mobilesd.VERSION"}
