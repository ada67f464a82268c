"""The page that changes a waiting job: lists, the picture to start from, lane, jobs to wait for."""

import base64
import re
import uuid

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apikeys.actors import Actor
from jobs import services
from jobs.choices import Status
from jobs.models import Job, JobDependency
from tests import factories
from tests.pages.conftest import HTMX

LORAS = [{"name": "grain", "weight": 0.5}, {"name": "other", "weight": 1.0}]


def _picture(color="blue"):
    return SimpleUploadedFile("a.png", factories.png(64, 64, color), content_type="image/png")


@pytest.fixture
def job(member):
    params = {"positive_prompt": "a lighthouse", "steps": 4, "seed": 1, "loras": LORAS}
    return services.submit(services.Order(params), Actor.of_user(member)).job


@pytest.fixture
def started(browser, member):
    """Return a job that starts from a picture."""
    browser.post("/new", {"prompt": "a boat", "denoising": "0.6", "init_file": _picture()})
    return Job.objects.get(kind="img2img")


def _typed(browser, job):
    """Return what a browser would send of the form as it is shown."""
    page = browser.get(f"/jobs/{job.pk}/edit").text
    sent = dict(re.findall(r'name="(was_[a-z_]+)" value="([^"]*)"', page))
    sent |= {name.removeprefix("was_"): value for name, value in sent.items()}
    page = re.sub(r"<template.*?</template>", "", page, flags=re.DOTALL)
    for name in ("lora_name", "lora_weight", "need_job"):
        sent[name] = re.findall(f'name="{name}" value="([^"]*)"', page)
    sent["need_on_failure"] = ["cancel"] * len(sent["need_job"])
    for name in ("init_image", "init_job", "init_source"):
        sent[name] = re.findall(f'name="{name}" id="[a-z-]+" value="([^"]*)"', page)[0]
    return sent


def _save(browser, job, **changes):
    return browser.post(f"/jobs/{job.pk}/edit", _typed(browser, job) | changes, headers=HTMX)


def _params(job):
    return Job.objects.get(pk=job.pk).generation_params


def _needs(job):
    return {row.parent_id: row.on_failure for row in JobDependency.objects.filter(job=job)}


@pytest.mark.parametrize("of", ["job", "started"])
def test_an_untouched_form_changes_nothing(browser, request, of):
    job = request.getfixturevalue(of)
    before = Job.objects.filter(pk=job.pk).values().get()
    assert _save(browser, job).headers["HX-Redirect"] == "/"
    assert Job.objects.filter(pk=job.pk).values().get() == before
    assert "As it was." in browser.get("/").text


def test_loras_are_changed_added_and_removed(browser, job):
    _save(browser, job, lora_name=["other", "new"], lora_weight=["0.25", ""])
    assert _params(job)["loras"] == [
        {"name": "other", "weight": 0.25},
        {"name": "new", "weight": 1.0},
    ]
    _save(browser, job, lora_name=[], lora_weight=[])
    assert "loras" not in _params(job)


def test_loras_that_nobody_touched_are_left_to_others(browser, member, job):
    typed = _typed(browser, job)
    services.patch(job.pk, Actor.of_user(member), {}, {"loras": LORAS[:1]})
    browser.post(f"/jobs/{job.pk}/edit", typed | {"prompt": "a castle"})
    assert _params(job)["loras"] == LORAS[:1]
    assert _params(job)["positive_prompt"] == "a castle"


def test_the_lane_is_changed(browser, job):
    _save(browser, job, lane="background")
    job.refresh_from_db()
    assert job.lane_class == "background"


def test_jobs_to_wait_for_are_added_changed_and_removed(browser, member, job):
    first, second = factories.job(owner=member), factories.job(owner=member)
    both = [str(first.pk), str(second.pk)]
    _save(browser, job, need_job=both, need_on_failure=["cancel", "run"])
    assert _needs(job) == {first.pk: "cancel", second.pk: "run"}
    page = browser.get(f"/jobs/{job.pk}/edit").text
    assert f'name="need_job" value="{first.pk}"' in page
    _save(browser, job, need_job=both, need_on_failure=["run", "run"])
    assert _needs(job) == {first.pk: "run", second.pk: "run"}
    _save(browser, job, need_job=[], need_on_failure=[])
    assert _needs(job) == {}


def test_a_circle_is_told_at_the_list(browser, member, job):
    child = factories.job(owner=member)
    JobDependency.objects.create(job=child, parent=job)
    answer = _save(browser, job, need_job=[str(child.pk)], need_on_failure=["cancel"])
    assert answer.status_code == 422
    _, _, rest = answer.text.partition('id="error-needs"')
    assert "in a circle" in rest.partition("</p>")[0]
    assert _needs(job) == {}


def test_a_picture_to_start_from_is_added_and_taken_away(browser, job):
    _save(browser, job, init_file=_picture(), denoising="0.35")
    changed = Job.objects.get(pk=job.pk)
    assert changed.kind == "img2img"
    assert changed.generation_params["denoising_strength"] == 0.35
    assert len(changed.generation_params["init_images"]) == 1
    _save(browser, job, init_job="")
    changed.refresh_from_db()
    assert changed.kind == "txt2img"
    assert {"init_images", "denoising_strength"} & set(changed.generation_params) == set()


def test_a_picture_to_start_from_is_replaced(browser, member, started):
    before = _params(started)["init_images"]
    image = factories.image(factories.job(Status.COMPLETED, owner=member), factories.png(32, 32))
    _save(browser, started, init_job="", init_image=str(image.pk))
    after = _params(started)["init_images"]
    assert after != before
    assert _params(started)["denoising_strength"] == 0.6


def test_a_picture_yet_to_be_made_is_started_from(browser, member, job):
    source = factories.job(owner=member)
    _save(browser, job, init_source=str(source.pk))
    assert _params(job)["init_images"] == [{"job": str(source.pk), "image": 0}]
    assert _needs(job) == {source.pk: "cancel"}


def test_denoising_alone_is_changed(browser, started):
    pictures = _params(started)["init_images"]
    _save(browser, started, denoising="0.2")
    assert _params(started)["denoising_strength"] == 0.2
    assert _params(started)["init_images"] == pictures


def test_without_a_picture_denoising_is_not_sent(browser, job):
    _save(browser, job, denoising="0.2")
    assert "denoising_strength" not in _params(job)


def test_a_mask_goes_with_its_picture(browser, member):
    picture = factories.png(64, 64)
    params = {
        "positive_prompt": "a boat",
        "init_images": [_encoded(picture)],
        "mask": _encoded(picture),
    }
    job = services.submit(services.Order(params), Actor.of_user(member)).job
    assert _save(browser, job, init_job="").status_code == 204
    assert "mask" not in _params(job)


def _encoded(picture):
    return base64.b64encode(picture).decode()


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"lane": "fast"}, "lane", "The lane must be"),
        ({"denoising": "2", "init_file": "picture"}, "denoising", "Denoising must be"),
        ({"init_file": "text"}, "init", "The picture to start from"),
        ({"init_image": str(uuid.UUID(int=7))}, "init", "is not there any more"),
        ({"lora_name": ["grain"], "lora_weight": ["heavy"]}, "loras", "weight"),
        ({"need_job": ["x"], "need_on_failure": ["cancel"]}, "needs", "must be the id of a job"),
        (
            {"need_job": [str(uuid.UUID(int=7))], "need_on_failure": ["cancel"]},
            "needs",
            "names no job",
        ),
    ],
)
def test_an_error_stands_at_its_field_and_changes_nothing(browser, job, change, field, words):
    if kind := change.get("init_file"):
        file = _picture() if kind == "picture" else SimpleUploadedFile("a.png", b"no picture")
        change = {**change, "init_file": file}
    before = Job.objects.filter(pk=job.pk).values().get()
    answer = _save(browser, job, **change)
    assert answer.status_code == 422
    _, _, rest = answer.text.partition(f'id="error-{field}"')
    assert words in rest.partition("</p>")[0]
    assert Job.objects.filter(pk=job.pk).values().get() == before


def test_a_job_that_failed_is_told_at_the_list(browser, member, job):
    failed = factories.job(Status.FAILED, owner=member)
    answer = _save(browser, job, need_job=[str(failed.pk)], need_on_failure=["cancel"])
    assert answer.status_code == 422
    assert "names a job that is failed" in answer.text
    assert _needs(job) == {}


def test_without_scripts_what_was_typed_stays(browser, member, job):
    parent = factories.job(owner=member)
    typed = _typed(browser, job) | {
        "steps": "many",
        "lora_name": ["grain"],
        "lora_weight": ["0.75"],
        "lane": "background",
        "need_job": [str(parent.pk)],
        "need_on_failure": ["run"],
    }
    answer = browser.post(f"/jobs/{job.pk}/edit", typed)
    assert answer.status_code == 422
    for part in (
        "Steps must be",
        'value="0.75"',
        '<option value="background" selected>',
        f'name="need_job" value="{parent.pk}"',
        '<option value="run" selected>',
    ):
        assert part in answer.text, part
