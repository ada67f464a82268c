"""Admin pages: all models, no query per row, no secrets, changes through the services only."""

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apikeys.models import Access, ApiKey, KeyDay
from dispatch.models import ExpectedStart, Inventory, Server, Timing
from jobs import events, wording
from jobs.choices import Status
from jobs.models import (
    Batch,
    Delivery,
    Epoch,
    Event,
    Idempotency,
    JobDependency,
    JobInput,
    JobProgress,
    Notice,
    Notifier,
    Preset,
    QueueSettings,
    Retention,
    Retry,
    Turn,
    Undo,
    Webhook,
)
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
OURS = {"jobs", "dispatch", "gallery", "apikeys"}
MODELS = sorted(
    (m for m in admin.site._registry if m._meta.app_label in OURS), key=lambda m: m._meta.label
)


@pytest.fixture
def page() -> Client:
    client = Client()
    client.force_login(factories.staff())
    return client


def _url(model, what: str, *args) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{what}", args=args)


def _some_of_each() -> None:
    now = timezone.now()
    Epoch.objects.get_or_create()
    job = factories.job(Status.PROCESSING, owner=factories.user(), server_alias="a")
    factories.attempt(job)
    factories.image(job)
    key = factories.key(factories.user())[0]
    Access.objects.create(at=now, method="GET", route="x", status=200, milliseconds=1)
    KeyDay.objects.create(key=key, day=now.date())
    Batch.objects.create(owner=job.owner, total=1, created_at=now)
    QueueSettings.current().save()
    Retry.objects.create(job=job, at=now)
    JobDependency.objects.create(job=job, parent=factories.job())
    Preset.objects.create(owner=job.owner, name=str(job.pk), created_at=now, updated_at=now)
    Undo.objects.create(scope="x", action="cancel", expires_at=now)
    Turn.objects.create(scope=str(job.pk), lane_class="interactive", at=now)
    notifier = Notifier.objects.create(
        owner=job.owner, name="x", sealed_url="hunter2", created_at=now
    )
    Notice.objects.create(notifier=notifier, event_id=1, kind="job", title="x", due_at=now)
    Retention.objects.update_or_create(kind="jobs", defaults={"updated_at": now})
    wording.add([job])
    hook = Webhook.objects.create(owner=job.owner, url="http://x", created_at=now)
    Delivery.objects.create(webhook=hook, kind="job.created", due_at=now, created_at=now)
    server = factories.server(f"server{Server.objects.count()}", password="hunter2")
    Inventory.objects.create(server=server, updated_at=now)
    Timing.objects.create(server=server, checkpoint="x")
    ExpectedStart.objects.create(job=job, at=now, told_at=now)
    JobProgress.objects.create(job=job, attempt=job.pk, updated_at=now)
    JobInput.objects.create(job=job, sha256="0" * 64, mime="image/png", bytes=1)
    Idempotency.objects.create(scope="x", key=str(job.pk), body_sha256="0" * 64, job=job, at=now)
    events.emit_for_job("job.created", job, {})
    events.emit_live("job.progress", {}, job_id=job.pk, owner_id=None)


def test_all_models_have_a_page():
    from django.apps import apps

    every = {m for app in OURS for m in apps.get_app_config(app).get_models()}
    assert every == set(MODELS)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m._meta.label)
def test_a_list_costs_the_same_for_more_rows(page, model):
    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            assert page.get(_url(model, "changelist")).status_code == 200
        return len(found)

    _some_of_each()
    few = queries()
    _some_of_each()
    _some_of_each()
    assert queries() == few


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m._meta.label)
def test_each_row_can_be_looked_at_and_shows_no_secret(page, model):
    _some_of_each()
    row = model.objects.first()
    answer = page.get(_url(model, "change", row.pk))
    assert answer.status_code == 200
    assert "hunter2" not in answer.text
    server = Server.objects.get()
    assert server.sealed_password not in answer.text


@pytest.mark.parametrize("model", [m for m in MODELS if m is not ApiKey], ids=str)
def test_history_can_not_be_written(page, model):
    _some_of_each()
    assert page.get(_url(model, "add")).status_code == 403
    row = model.objects.first()
    assert page.post(_url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert page.post(_url(model, "change", row.pk), {}).status_code == 403


def _act(page: Client, model, action: str, *rows):
    data = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    return page.post(_url(model, "changelist"), data, follow=True)


def test_jobs_are_cancelled_and_retried_through_the_services(page):
    from jobs.models import Job

    pending, done = factories.job(), factories.job(Status.COMPLETED)
    answer = _act(page, Job, "cancel_jobs", pending, done)
    assert "1 cancelled." in answer.text
    assert "already completed" in answer.text
    pending.refresh_from_db()
    assert pending.status == Status.CANCELLED
    _act(page, Job, "retry_jobs", pending)
    pending.refresh_from_db()
    assert pending.status == Status.PENDING
    kinds = list(Event.objects.values_list("kind", flat=True))
    assert kinds == ["job.status", "queue.empty", "job.status"]
    _act(page, Job, "delete_jobs", pending)
    pending.refresh_from_db()
    assert pending.deleted_at is not None


def test_servers_are_switched_and_removed_through_the_services(
    page, django_capture_on_commit_callbacks
):
    server = factories.server("a")
    with django_capture_on_commit_callbacks(execute=True):
        _act(page, Server, "pause_them", server)
    server.refresh_from_db()
    assert (server.paused, server.wake_seq) == (True, 1)
    factories.attempt(server_alias="a")
    assert "making a picture" in _act(page, Server, "remove", server).text
    assert Server.objects.exists()


def test_a_key_is_shown_once(page):
    data = {"name": "phone", "scopes": ["jobs:read"], "is_active": "on", "rate_limit": "120"}
    answer = page.post(_url(ApiKey, "add"), data, follow=True)
    key = ApiKey.objects.get()
    token = f"{key.prefix}.{answer.text.partition(f'>{key.prefix}.')[2][:32]}"
    assert Api(token).get("/api/v2/jobs").status_code == 200
    for again in (_url(ApiKey, "changelist"), _url(ApiKey, "change", key.pk)):
        assert token.partition(".")[2] not in page.get(again).text


def test_members_have_no_admin():
    client = Client()
    client.force_login(factories.user())
    assert client.get(_url(ApiKey, "changelist")).status_code == 302
