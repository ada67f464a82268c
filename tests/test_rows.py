"""Statements that are made once give the rows that querysets give."""

import uuid

import pytest
from django.db import connection
from django.utils import timezone

from apikeys.actors import SYSTEM, Actor
from apikeys.models import ApiKey
from dispatch.models import Server
from jobs.choices import Kind, Status
from jobs.models import Event, Job
from mobilesd.rows import Reader, Rows, converted, insert, param
from tests import factories

pytestmark = pytest.mark.django_db


def values(row):
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def some_rows():
    owner = factories.user()
    key = factories.key(owner, expiry_date=timezone.now(), allowed_ips=["10.0.0.0/8"])[0]
    factories.server("b", password="secret", loaded_since=timezone.now())
    factories.server("a", enabled=False)
    factories.job(Status.FAILED, owner=owner, api_key=key, error_code="x", warnings=["é", "ü"])
    factories.job(not_before=timezone.now())


@pytest.mark.parametrize("model", [Job, ApiKey, Server])
def test_each_field_is_read_as_a_queryset_reads_it(model):
    some_rows()
    read = Reader(model, "ORDER BY t.created_at" if model is not ApiKey else "").all()
    wanted = {row.pk: values(row) for row in model.objects.all()}
    assert len(wanted) == len(read) > 0
    assert {row.pk: values(row) for row in read} == wanted
    assert [type(value) for row in read for value in values(row).values()] == [
        type(value) for row in read for value in wanted[row.pk].values()
    ]


def test_values_of_some_columns_become_those_of_the_fields():
    now = timezone.now()
    owner = factories.user()
    job = factories.job(not_before=now, avoid_servers=["é"], owner=owner)
    names = ("id", "avoid_servers", "not_before", "owner", "retry_at")
    with connection.cursor() as cursor:
        statement = "SELECT id, avoid_servers, not_before, owner_id, retry_at FROM jobs_job"
        cursor.execute(
            f"{statement} WHERE id = %s AND not_before <= %s", [param(job.pk), param(now)]
        )
        rows = list(converted(Job, names, cursor.fetchall()))
    assert rows == [[job.pk, ["é"], now, owner.pk, None]]


def test_a_row_that_was_read_can_be_changed_and_saved():
    job = factories.job()
    read = Reader(Job, "WHERE t.id = %s").first(job.pk)
    read.source_info = "changed"
    read.save(update_fields=["source_info"])
    assert Job.objects.get().source_info == "changed"


def test_no_row_is_none_and_further_columns_come_as_they_are():
    assert Reader(Job, "WHERE t.id = %s").first(uuid.uuid4()) is None
    factories.job(priority=3)
    assert [more for _, more in Reader(Job, "", "t.priority", "7").with_more()] == [[3, 7]]


def test_an_inserted_row_is_what_saving_would_have_made():
    job = Job(app_type="x", generation_params={"a": [1, "é"]}, created_at=timezone.now())
    job.updated_at = job.created_at
    insert(job)
    saved = Job.objects.get()
    assert values(saved) == values(job)
    insert(Event(kind="x", payload={"a": None}, at=timezone.now()))
    assert Event.objects.get().payload == {"a": None}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", "7"),  # a number as text
        ("priority", True),
        ("held", 1),
        ("source_info", 12),
        ("source_info", Kind.UPSCALE),  # a text of another class
        ("status", Status.FAILED),
        ("loras", "is made of generation_params"),
        ("owner_id", None),
        ("deadline", "2030-01-01T00:00:00Z"),
        ("batch_id", None),
    ],
)
def test_a_value_of_any_type_is_stored_as_saving_stores_it(field, value):
    def made() -> Job:
        now = timezone.now()
        return Job(app_type="x", created_at=now, updated_at=now, **{field: value})

    made().save(force_insert=True)
    insert(made())
    Rows([made()]).insert()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {field} FROM jobs_job")
        stored = [value for (value,) in cursor.fetchall()]
    assert len(stored) == 3
    assert len({(type(value), value) for value in stored}) == 1


def test_who_may_see_a_job_is_the_same_for_one_and_for_many():
    owner, other = factories.user(), factories.user()
    own, free, foreign = factories.key(owner)[0], factories.key()[0], factories.key()[0]
    for row in ({"owner": owner}, {"owner": owner, "api_key": own}, {"api_key": free}, {}):
        factories.job(**row)
    factories.job(owner=other, api_key=free)
    actors = [
        SYSTEM,
        Actor(),
        *(Actor.of_user(user) for user in (owner, other, factories.staff())),
        *(Actor.of_key(key) for key in (own, free, foreign)),
    ]
    for actor in actors:
        seen = {job.pk for job in Job.objects.visible_to(actor)}
        one_by_one = {j.pk for j in Job.objects.all() if actor.may_see(j.owner_id, j.api_key_id)}
        assert one_by_one == seen, actor
