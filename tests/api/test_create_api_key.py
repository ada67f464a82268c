"""`create_api_key` prints a key once, alone on the last line."""

import io

import pytest
from django.core.management import CommandError, call_command

from apikeys.models import DEFAULT_SCOPES, ApiKey
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db


def _make(*args: str) -> str:
    out = io.StringIO()
    call_command("create_api_key", *args, stdout=out)
    return out.getvalue().rstrip("\n").splitlines()[-1]


def test_the_last_line_is_a_key_that_works():
    token = _make("phone")
    assert Api(token).get("/api/v2/jobs").status_code == 200
    key = ApiKey.objects.get()
    assert (key.name, key.owner, key.scopes) == ("phone", None, list(DEFAULT_SCOPES))
    assert token.partition(".")[2] not in key.hashed_key


def test_the_owner_is_the_only_superuser():
    boss = factories.staff()
    factories.staff(is_active=False)
    _make("phone")
    assert ApiKey.objects.get().owner == boss


def test_with_two_superusers_it_is_the_installation():
    factories.staff()
    factories.staff()
    _make("phone")
    assert ApiKey.objects.get().owner is None


def test_owner_and_scopes_can_be_named():
    factories.staff()
    member = factories.user("ann")
    _make("phone", "--owner", "ann", "--scopes", "jobs:read, images:read,jobs:read")
    key = ApiKey.objects.get()
    assert (key.owner, key.scopes) == (member, ["jobs:read", "images:read"])


@pytest.mark.parametrize(
    ("args", "rate"),
    [((), 120), (("--rate", "30/m"), 30), (("--rate", "unlimited"), 0)],
)
def test_the_rate_can_be_named(args, rate):
    _make("phone", *args)
    assert ApiKey.objects.get().rate_limit == rate


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("phone", "--owner", "nobody"), "nobody"),
        (("phone", "--scopes", "jobs:read,fly"), "jobs:write"),
        (("phone", "--scopes", ","), "jobs:write"),
        (("",), "1 to 50"),
        (("x" * 51,), "1 to 50"),
        (("phone", "--owner", ""), "--owner"),
        (("phone", "--rate", "many"), "--rate"),
        (("phone", "--rate", "120/h"), "--rate"),
        (("phone", "--rate", "0/m"), "--rate"),
        (("phone", "--rate", "999999/m"), "rate_limit"),
    ],
)
def test_what_can_not_be_is_refused_with_what_could(args, says):
    with pytest.raises(CommandError, match=says):
        _make(*args)
    assert ApiKey.objects.count() == 0
