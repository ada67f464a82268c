"""kind "upscale": one picture, an upscaler, a factor; and nothing that would lie about the rest."""

import base64

import pytest

from apikeys.actors import SYSTEM
from jobs.choices import Kind, Status
from jobs.models import Job
from jobs.params import normalise
from jobs.services import BulkOrder, Order, duplicate, retry, submit, submit_bulk
from jobs.services.variations import Variations
from mobilesd.errors import InvalidInput
from tests import factories


def picture(width=8, height=8):
    return base64.b64encode(factories.png(width, height)).decode()


def upscale(**changes):
    given = {
        "kind": "upscale",
        "init_images": [picture()],
        "upscaler": "Lanczos",
        "upscale_by": 2,
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


def read(**changes):
    return normalise(upscale(**changes), app_type="forge")


def refusal(**changes):
    with pytest.raises(InvalidInput) as refused:
        read(**changes)
    return refused.value.fields


def test_it_is_an_upscale_of_one_picture_that_needs_no_checkpoint_and_no_seed():
    found = read(checkpoint_name="x.safetensors", n_iter=4, seed=-1)
    assert (found.kind, found.images_wanted, found.checkpoint) == (Kind.UPSCALE, 1, "")
    assert found.params["kind"] == "upscale"
    assert "seed" not in found.params
    assert found.warnings == ["checkpoint_name, n_iter have no effect in an upscale job."]


def test_reading_its_own_result_again_changes_nothing():
    once = read(positive_prompt="a cat")
    again = normalise(once.params, app_type="forge")
    assert (again.params, again.kind, again.warnings) == (once.params, once.kind, [])


def test_the_old_name_of_the_hires_upscaler_is_taken_as_well():
    found = read(upscaler=None, upscaler_model="ESRGAN_4x")
    assert found.params["upscaler"] == "ESRGAN_4x"
    assert "hr_upscaler" not in found.params
    assert found.warnings == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"init_images": None}, "init_images"),
        ({"init_images": [picture(), picture()]}, "init_images"),
        ({"upscaler": None}, "upscaler"),
        ({"upscaler": ""}, "upscaler"),
        ({"upscaler": 4}, "upscaler"),
        ({"upscale_by": 0.5}, "upscale_by"),
        ({"upscale_by": 8.1}, "upscale_by"),
        ({"upscale_by": "twice"}, "upscale_by"),
        ({"kind": "workflow"}, "kind"),
        ({"kind": 3}, "kind"),
    ],
)
def test_what_is_wrong_is_named(changes, field):
    assert f"generation_params.{field}" in refusal(**changes)


def test_nothing_is_said_twice():
    [sentences] = refusal(upscaler=4).values()
    assert sentences == ["upscaler must be a name, but is 4."]


def test_other_kinds_must_fit_what_is_there():
    with pytest.raises(InvalidInput) as refused:
        normalise({"kind": "txt2img", "init_images": [picture()]}, app_type="forge")
    assert "generation_params.kind" in refused.value.fields
    with pytest.raises(InvalidInput) as refused:
        normalise({"kind": "img2img", "positive_prompt": "a cat"}, app_type="forge")
    assert "generation_params.init_images" in refused.value.fields


@pytest.mark.parametrize("kind", ["txt2img", "TXT2IMG"])
def test_other_kinds_are_not_kept_as_they_follow_from_the_rest(kind):
    found = normalise({"kind": kind, "positive_prompt": "a cat"}, app_type="forge")
    assert found.kind == Kind.TXT2IMG
    assert "kind" not in found.params


def test_an_upscaler_of_another_kind_of_job_is_no_silent_wish():
    found = normalise({"positive_prompt": "a cat", "upscale_by": 2}, app_type="forge")
    assert found.kind == Kind.TXT2IMG
    [warning] = found.warnings
    assert "upscale_by has no effect" in warning and '"kind": "upscale"' in warning


# --- Submitted ----------------------------------------------------------------------------


def ordered(**changes):
    return submit(Order(generation_params=upscale(**changes)), SYSTEM).job


@pytest.mark.django_db
def test_it_is_stored_as_an_upscale():
    job = ordered()
    job.refresh_from_db()
    assert (job.kind, job.images_wanted, job.checkpoint) == (Kind.UPSCALE, 1, "")


@pytest.mark.django_db
@pytest.mark.parametrize("form", ["{}", "data:image/png;base64,{}", "\n{}"])
def test_a_result_of_more_than_64_megapixels_is_refused_with_the_factor_that_fits(form):
    large = form.format(picture(2000, 1000))
    with pytest.raises(InvalidInput) as refused:
        ordered(init_images=[large], upscale_by=8)
    [sentence] = refused.value.fields["generation_params.upscale_by"]
    assert "16000 × 8000" in sentence and "at most 5.65" in sentence
    assert not Job.objects.exists()
    assert ordered(init_images=[large], upscale_by=5.65) is not None


@pytest.mark.django_db
def test_a_picture_of_the_gallery_is_measured_too():
    image = factories.image(content=factories.png(2000, 1000))
    with pytest.raises(InvalidInput):
        ordered(init_images=[{"image_id": str(image.pk)}], upscale_by=8)


@pytest.mark.django_db
def test_a_picture_that_is_not_made_yet_is_taken():
    parent = factories.job()
    job = ordered(init_images=[{"job": str(parent.pk), "image": 0}], upscale_by=8)
    assert [str(need.parent_id) for need in job.needs.all()] == [str(parent.pk)]


@pytest.mark.django_db
def test_a_change_is_measured_with_the_picture_that_is_there():
    from jobs.services import patch

    job = ordered(init_images=[picture(2000, 1000)])
    with pytest.raises(InvalidInput):
        patch(job.pk, SYSTEM, {}, {"upscale_by": 8})
    assert patch(job.pk, SYSTEM, {}, {"upscale_by": 4}).generation_params["upscale_by"] == 4


@pytest.mark.django_db
def test_several_at_once_have_no_seeds():
    varied = Variations({"upscale_by": [2, 4], "upscaler": ["Lanczos", "Nearest"]})
    order = Order(generation_params=upscale(upscaler=None, upscale_by=None))
    made = submit_bulk(BulkOrder(order, seed_variation="random", variations=varied), SYSTEM)
    jobs = Job.objects.filter(batch=made.batch)
    assert jobs.count() == 4
    assert {job.kind for job in jobs} == {Kind.UPSCALE}
    assert not any("seed" in job.generation_params for job in jobs)


@pytest.mark.django_db
def test_a_new_seed_is_no_wish_that_it_could_fulfil():
    job = ordered()
    assert "seed" not in duplicate(job.pk, SYSTEM, seed="new").job.generation_params
    Job.objects.filter(pk=job.pk).update(status=Status.FAILED, finished_at=job.created_at)
    assert "seed" not in retry(job.pk, SYSTEM, seed="new").generation_params
