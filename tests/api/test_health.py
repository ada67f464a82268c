"""`/status`, `/healthz` and `/readyz` answer without a key and say what is wrong."""

import json

import pytest
from django.db import DatabaseError

from mobilesd import health
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db


def test_status_is_text_and_asks_nothing(django_assert_num_queries):
    with django_assert_num_queries(0):
        answer = Api().get("/status")
    assert (answer.status_code, answer.text) == (200, "ok\n")
    assert answer.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(("path", "word"), [("/healthz", "healthy"), ("/readyz", "ready")])
def test_all_is_well(path, word):
    answer = Api().get(path)
    assert (answer.status_code, answer.json()) == (200, {"status": word, "problems": []})


@pytest.mark.parametrize("path", ["/status", "/healthz", "/readyz"])
def test_they_are_for_reading(path):
    assert Api().head(path).status_code == 200
    assert Api().post(path).status_code == 405


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_dead_database_is_said(path, monkeypatch):
    def fail(*_, **__):
        raise DatabaseError("disk I/O error at /secret/path")

    monkeypatch.setattr(health.connection, "cursor", fail)
    answer = Api().get(path)
    assert answer.status_code == 503
    assert "database" in answer.json()["problems"][0]
    assert "secret" not in answer.text


def test_a_relay_that_stands_still_under_open_pages_is_said(monkeypatch):
    monkeypatch.setattr(health.relay, "lag_seconds", lambda: 6.0)
    answer = Api().get("/healthz")
    assert answer.status_code == 503
    assert "Live events" in answer.json()["problems"][0]


def test_ready_says_what_the_supervisor_found(settings):
    file = settings.RUN_DIR / "supervisor.json"
    file.write_text(json.dumps({"trouble": "dispatch died 5 times in a minute."}))
    answer = Api().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["problems"] == ["dispatch died 5 times in a minute."]
    assert Api().get("/healthz").status_code == 200
    file.write_text(json.dumps({"trouble": None}))
    assert Api().get("/readyz").status_code == 200


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"'])
def test_a_broken_supervisor_file_is_no_500(settings, content):
    (settings.RUN_DIR / "supervisor.json").write_text(content)
    assert Api().get("/readyz").status_code == 503


def test_missing_migrations_are_said(monkeypatch):
    monkeypatch.setattr(health, "_applied", False)
    monkeypatch.setattr(health.MigrationExecutor, "migration_plan", lambda *_: [object()])
    answer = Api().get("/readyz")
    assert answer.status_code == 503
    assert "migrate" in answer.json()["problems"][0]
