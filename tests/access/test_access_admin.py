"""The access log in the admin: filters, and no query that reads the whole table."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apikeys import access_admin
from apikeys.models import Access, KeyDay
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(factories.staff())
    return client


def line(number: int, status: int = 200, **fields: object) -> Access:
    given = {
        "at": timezone.now() - timedelta(minutes=number),
        "key_prefix": "abcdefgh",
        "method": "GET",
        "route": f"route-{number}",
        "milliseconds": 1,
        "request_id": "r",
    }
    return Access.objects.create(status=status, **given | fields)


def shown(admin: Client, **query: str) -> list[str]:
    page = admin.get(reverse("admin:apikeys_access_changelist"), query)
    assert page.status_code == 200
    return [row.route for row in page.context["cl"].result_list]


@pytest.mark.parametrize(
    ("query", "routes"),
    [
        ({}, "0 1 2 3 4 5"),
        ({"answer": "refused"}, "2 4"),
        ({"answer": "ok"}, "0 1"),
        ({"answer": "error"}, "2 3 4 5"),
        ({"answer": "4xx"}, "2 3 4"),
        ({"answer": "5xx"}, "5"),
        ({"answer": "nonsense"}, "0 1 2 3 4 5"),
        ({"hours": "1"}, "0 1 2 3 4"),
        ({"hours": "x"}, "0 1 2 3 4 5"),
        ({"method": "POST"}, "1"),
        ({"key": "otherkey"}, "3"),
        ({"q": " otherkey "}, "3"),
        ({"q": "other"}, ""),
    ],
)
def test_each_filter_leaves_its_lines(admin, query, routes):
    line(0)
    line(1, method="POST")
    line(2, 401)
    line(3, 404, key_prefix="otherkey")
    line(4, 429)
    line(5, 500, at=timezone.now() - timedelta(hours=2))
    assert shown(admin, **query) == [f"route-{number}" for number in routes.split()]


def test_lines_can_only_be_looked_at(admin):
    row = line(0)
    page = admin.get(reverse("admin:apikeys_access_change", args=[row.pk]))
    assert page.status_code == 200
    assert b'name="_save"' not in page.content
    assert admin.get(reverse("admin:apikeys_access_add")).status_code == 403
    path = reverse("admin:apikeys_access_delete", args=[row.pk])
    assert admin.post(path, {"post": "yes"}).status_code == 403


def test_it_says_what_a_crash_can_lose(admin):
    page = admin.get(reverse("admin:apikeys_access_changelist"))
    assert b"loses those of the last second" in page.content


def test_no_more_than_the_newest_are_counted(admin, monkeypatch):
    monkeypatch.setattr(access_admin, "_MAX_ROWS", 3)
    monkeypatch.setattr(access_admin.AccessAdmin, "list_per_page", 2)
    for number in range(5):
        line(number)
    assert shown(admin) == ["route-0", "route-1"]
    assert shown(admin, p="2") == ["route-2"]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the plans are SQLite's")
@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({}, "access_at"),
        ({"answer": "refused"}, "access_errors_at"),
        ({"answer": "5xx"}, "access_errors_at"),
        ({"answer": "refused", "hours": "24"}, "access_errors_at"),
        ({"hours": "24"}, "access_at"),
        ({"key": "abcdefgh"}, "access_key_at"),
        ({"key": "abcdefgh", "hours": "24"}, "access_key_at"),
        ({"q": "abcdefgh"}, "access_key_at"),
        ({"method": "DELETE"}, "access_method_at"),
    ],
)
def test_lines_come_from_an_index_in_their_order(admin, query, index):
    line(0)
    with CaptureQueriesContext(connection) as queries:
        shown(admin, **query)
    listing = [
        one["sql"]
        for one in queries.captured_queries
        if 'FROM "apikeys_access"' in one["sql"] and "ORDER BY" in one["sql"]
    ]
    assert len(listing) == 1
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN QUERY PLAN " + listing[0])
        plan = " ".join(row[3] for row in cursor.fetchall())
    assert f"USING INDEX {index}" in plan, plan
    assert "TEMP B-TREE" not in plan


def test_the_sums_of_a_key_are_there(admin):
    key, _ = factories.key()
    KeyDay.objects.create(key=key, day=timezone.now().date(), requests=12)
    page = admin.get(reverse("admin:apikeys_keyday_changelist"), {"q": key.prefix})
    assert page.status_code == 200
    assert key.prefix.encode() in page.content
