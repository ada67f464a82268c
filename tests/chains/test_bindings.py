"""A job is made from a picture that another job makes first."""

import base64

import pytest

from apikeys.actors import SYSTEM, Actor
from dispatch.dispatchers.base import BackendError, ErrorClass
from dispatch.dispatchers.registry import dispatcher_for
from dispatch.lanes.claims import Claimer
from gallery.models import Image
from jobs import inputs
from jobs.inputs import restore
from jobs.models import Attempt, Job, JobDependency, JobInput
from jobs.outputs import OutputMissing, with_outputs
from jobs.services import patch, submit
from mobilesd.errors import InvalidInput
from tests import factories
from tests.chains.making import cancel, fail, finish, order, start, waiting

pytestmark = pytest.mark.django_db(transaction=True)


def made_from(job, image=0, **fields):
    return {
        "init_images": [{"job": str(job.pk), "image": image}],
        "denoising_strength": 0.5,
        **fields,
    }


def params_of(job):
    return Job.objects.get(pk=job.pk).generation_params


def test_a_picture_that_is_not_made_yet_is_a_dependency():
    first = factories.job()
    second = waiting(params=made_from(first))
    row = JobDependency.objects.get()
    assert (row.job_id, row.parent_id, row.on_failure) == (second.pk, first.pk, "cancel")
    assert second.kind == "img2img"
    assert params_of(second)["init_images"] == [{"job": str(first.pk), "image": 0}]


def test_the_picture_is_put_in_its_place_when_it_is_sent():
    first = factories.job()
    second = waiting(params=made_from(first))
    picture = factories.png(color="blue")
    finish(start(first), picture)
    sent = restore(with_outputs(params_of(second)))
    assert base64.b64decode(sent["init_images"][0]) == picture


def test_a_mask_may_be_one_as_well():
    first, other = factories.job(), factories.job()
    params = made_from(first, mask={"job": str(other.pk)})
    second = waiting(params=params)
    assert set(JobDependency.objects.values_list("parent", flat=True)) == {first.pk, other.pk}
    finish(start(first), factories.png(color="red"))
    finish(start(other), factories.png(color="white"))
    sent = with_outputs(params_of(second))
    assert base64.b64decode(sent["mask"]) == factories.png(color="white")


def test_a_picture_that_is_there_is_taken_at_once():
    first = factories.job("completed")
    factories.image(first, factories.png(64, 64))
    second = waiting(params=made_from(first))
    assert inputs.MARK in params_of(second)["init_images"][0]
    assert not JobDependency.objects.exists()
    assert JobInput.objects.filter(job=second).exists()


def test_one_that_was_not_what_was_asked_for_is_no_result():
    first = factories.job()
    second = waiting(params=made_from(first))
    attempt = start(first)
    factories.image(first, factories.png(color="black"), index=0, rejected=True)
    finish(attempt, factories.png(color="green"))
    Image.objects.filter(attempt=attempt.token).update(index=0)
    sent = with_outputs(params_of(second))
    assert base64.b64decode(sent["init_images"][0]) == factories.png(color="green")


def test_a_picture_that_was_deleted_meanwhile_fails_the_job_clearly(server):
    first = factories.job()
    second = waiting(params=made_from(first))
    finish(start(first))
    Image.objects.all().delete()
    with pytest.raises(OutputMissing, match=str(first.pk)):
        with_outputs(params_of(second))
    second.refresh_from_db()
    claimer = Claimer.__new__(Claimer)
    claimer._inventory, claimer._inventory_at = None, 0.0
    with pytest.raises(BackendError) as refused:
        claimer._prepare(server, Attempt(job=second), dispatcher_for(server))
    assert refused.value.error_class is ErrorClass.PERMANENT
    assert refused.value.code == "input_missing"
    assert str(first.pk) in refused.value.message


@pytest.mark.parametrize("end", [cancel, lambda job: fail(start(job))])
def test_a_job_that_came_to_nothing_has_no_picture(end):
    first = factories.job()
    end(first)
    with pytest.raises(InvalidInput, match=r"init_images\.0"):
        submit(order(params=made_from(first)), SYSTEM)


def test_a_picture_beyond_those_of_the_job_is_refused():
    first = factories.job(images_wanted=2)
    with pytest.raises(InvalidInput, match="picture 2 of a job that makes 2"):
        submit(order(params=made_from(first, image=2)), SYSTEM)


def test_somebody_elses_job_is_as_good_as_none(member):
    theirs = factories.job(owner=factories.user())
    with pytest.raises(InvalidInput, match="no such picture"):
        submit(order(params=made_from(theirs)), Actor.of_user(member))
    with pytest.raises(InvalidInput, match="names no job"):
        submit(order(theirs), Actor.of_user(member))


def test_it_can_t_run_without_the_picture():
    first = factories.job()
    with pytest.raises(InvalidInput, match="made from"):
        submit(order(first, on_failure="run", params=made_from(first)), SYSTEM)


def test_a_change_of_the_picture_changes_what_it_waits_for():
    first, other = factories.job(), factories.job()
    second = waiting(params=made_from(first))
    patch(second.pk, SYSTEM, {"depends_on": ()}, made_from(other))
    assert list(JobDependency.objects.values_list("parent", flat=True)) == [other.pk]


def test_a_change_of_something_else_leaves_both():
    first = factories.job()
    second = waiting(params=made_from(first))
    patch(second.pk, SYSTEM, {"priority": 1}, {"steps": 9})
    assert JobDependency.objects.get().parent_id == first.pk
    assert params_of(second)["init_images"] == [{"job": str(first.pk), "image": 0}]
