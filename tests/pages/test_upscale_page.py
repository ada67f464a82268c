"""The upscale page, and the ways that lead from a job or a picture to what comes after it."""

import io
import re

import pytest
from django.urls import reverse

from apikeys.actors import Actor
from dispatch import inventory
from dispatch.inventory import ServerInventory
from jobs.choices import Kind, Status
from jobs.models import Job
from jobs.services import Order, submit
from tests import factories
from tests.pages.conftest import HTMX

pytestmark = pytest.mark.django_db

PARAMS = {
    "positive_prompt": "a lighthouse",
    "negative_prompt": "blurry",
    "checkpoint_name": "meadow.safetensors",
    "width": 640,
    "height": 512,
    "steps": 12,
    "seed": 73310,
    "enable_hr": True,
    "n_iter": 2,
}


@pytest.fixture
def server():
    row = factories.server()
    lists = ServerInventory(
        upscalers=("Latent", "Lanczos", "R-ESRGAN 4x+"), latent_upscalers=("Latent",)
    )
    inventory.save(row, lists)
    return row


def made(member, status=Status.PENDING, **fields):
    return factories.job(status, owner=member, generation_params=PARAMS, **fields)


def show(browser, **query):
    return browser.get(reverse("upscale"), query)


def send(browser, **fields):
    given = {"upscaler": "Lanczos", "upscale_by": "2", "once": "once", **fields}
    return browser.post(reverse("upscale"), given, headers=HTMX)


def newest():
    return Job.objects.order_by("-created_at").first()


def chosen(page, name):
    select = re.search(rf'<select id="{name}".*?</select>', page.content.decode(), re.S)[0]
    found = re.search(r'value="([^"]*)" selected', select)
    return found[1] if found else ""


# --- The form -----------------------------------------------------------------------------


def test_a_picture_to_come_is_bound_and_waited_for(browser, member, server):
    parent = made(member)
    page = show(browser, job=parent.pk)
    assert f'name="init_source" value="{parent.pk}"' in page.content.decode()
    assert "as soon as it is made" in page.content.decode()
    assert send(browser, init_source=str(parent.pk)).headers["HX-Redirect"] == reverse("queue")
    job = newest()
    assert job.kind == Kind.UPSCALE
    assert job.generation_params == {
        "kind": "upscale",
        "init_images": [{"job": str(parent.pk), "image": 0}],
        "upscaler": "Lanczos",
        "upscale_by": 2,
        "positive_prompt": "a lighthouse",
    }
    assert [need.parent_id for need in job.needs.all()] == [parent.pk]


def test_a_picture_that_is_there_is_shown_with_its_size(browser, member, server):
    image = factories.image(made(member, Status.COMPLETED), width=640, height=512)
    page = show(browser, image=image.pk).content.decode()
    assert 'data-width="640" data-height="512"' in page
    send(browser, init_image=str(image.pk))
    assert newest().kind == Kind.UPSCALE
    assert newest().generation_params["init_images"][0]["bytes"] == image.bytes


def test_a_job_that_is_done_gives_its_first_picture(browser, member, server):
    image = factories.image(made(member, Status.COMPLETED))
    page = show(browser, job=image.job_id).content.decode()
    assert f'name="init_image" value="{image.pk}"' in page


def test_a_picture_from_this_device(browser, server):
    file = io.BytesIO(factories.png(16, 16))
    file.name = "mine.png"
    send(browser, init_file=file)
    job = newest()
    assert (job.kind, job.title) == (Kind.UPSCALE, "Upscale")


def test_only_upscalers_of_pictures_are_offered_and_the_usual_one_is_chosen(browser, server):
    page = show(browser)
    assert "Latent" not in page.content.decode()
    assert chosen(page, "upscaler") == "R-ESRGAN 4x+"


def test_without_lists_the_name_is_written(browser):
    factories.server()
    page = show(browser).content.decode()
    assert '<input id="upscaler" name="upscaler"' in page


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.COMPLETED])
def test_a_job_without_a_picture_leads_nowhere(browser, member, status):
    assert show(browser, job=made(member, status).pk).status_code == 404


@pytest.mark.parametrize("query", [{"job": "x"}, {"image": "x"}, {"from": "x"}])
def test_what_is_no_id_is_absent(browser, query):
    assert show(browser, **query).status_code == 404


def test_the_jobs_and_pictures_of_others_are_absent(browser):
    image = factories.image(factories.job(Status.COMPLETED))
    assert show(browser, job=factories.job().pk).status_code == 404
    assert show(browser, image=image.pk).status_code == 404
    assert show(browser, **{"from": factories.job(kind=Kind.UPSCALE).pk}).status_code == 404
    assert send(browser, init_image=str(image.pk)).status_code == 422


@pytest.mark.parametrize(
    ("fields", "where", "says"),
    [
        ({"upscale_by": "9"}, "upscale_by", "The factor must be a number from 1 to 8"),
        ({"upscale_by": "much"}, "upscale_by", "The factor must be a number"),
        ({"upscaler": ""}, "upscaler", "The upscaler is missing"),
        ({"init_source": ""}, "init", "The picture is missing"),
        ({"server": "nowhere"}, "server", "The server names no server"),
    ],
)
def test_what_is_wrong_stands_at_its_field(browser, member, server, fields, where, says):
    given = {"init_source": str(made(member).pk), **fields}
    answer = send(browser, **given)
    assert answer.status_code == 422
    slot = re.search(rf'id="error-{where}"[^>]*>([^<]*)<', answer.content.decode())
    assert slot[1].startswith(says)
    assert Job.objects.count() == 1


def test_a_result_that_is_too_large_names_what_fits(browser, member, server):
    content = factories.png(2000, 1000)
    image = factories.image(made(member, Status.COMPLETED), content, width=2000, height=1000)
    answer = send(browser, init_image=str(image.pk), upscale_by="8")
    assert answer.status_code == 422
    assert "For this picture it may be at most 5.65." in answer.content.decode()


def test_without_scripts_the_form_comes_back_as_it_was_typed(browser, member, server):
    given = {"init_source": str(made(member).pk), "upscaler": "Lanczos", "upscale_by": "9"}
    page = browser.post(reverse("upscale"), given)
    assert page.status_code == 422
    assert 'name="upscale_by" inputmode="decimal" value="9"' in page.content.decode()
    assert chosen(page, "upscaler") == "Lanczos"


def test_a_doubled_tap_makes_one_job(browser, member, server):
    source = str(made(member).pk)
    send(browser, init_source=source)
    send(browser, init_source=source)
    assert Job.objects.filter(kind=Kind.UPSCALE).count() == 1


# --- Again, and changed -------------------------------------------------------------------


@pytest.fixture
def waiting(browser, member, server):
    send(browser, init_source=str(made(member).pk))
    return newest()


def test_use_again_leads_to_the_upscale_form(browser, waiting):
    answer = browser.get(reverse("new"), {"from": waiting.pk})
    assert answer.url == f"{reverse('upscale')}?from={waiting.pk}"
    page = browser.get(answer.url)
    assert chosen(page, "upscaler") == "Lanczos"
    send(browser, init_job=str(waiting.pk), once="another", upscale_by="3")
    again = newest()
    assert again.generation_params == {**waiting.generation_params, "upscale_by": 3}


def test_a_waiting_upscale_is_changed_by_the_same_form(browser, waiting):
    place = reverse("job-edit", args=[waiting.pk])
    assert 'id="upscale_by"' in browser.get(place).content.decode()
    given = {"init_job": str(waiting.pk), "upscaler": "R-ESRGAN 4x+", "upscale_by": "4"}
    assert browser.post(place, given, headers=HTMX).status_code == 204
    waiting.refresh_from_db()
    assert waiting.generation_params["upscaler"] == "R-ESRGAN 4x+"
    assert waiting.generation_params["upscale_by"] == 4
    assert waiting.generation_params["init_images"][0]["image"] == 0
    answer = browser.post(place, {**given, "upscale_by": "0"}, headers=HTMX)
    assert answer.status_code == 422
    assert "The factor must be" in answer.content.decode()


# --- The ways that lead there -------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.PENDING, Status.PROCESSING])
@pytest.mark.parametrize("name", ["job-menu", "job"])
def test_a_job_not_done_yet_offers_what_comes_then(browser, member, status, name):
    job = made(member, status)
    page = browser.get(reverse(name, args=[job.pk])).content.decode()
    assert f"{reverse('upscale')}?job={job.pk}" in page
    assert f"{reverse('new')}?then=img2img&amp;job={job.pk}" in page


def test_a_job_that_came_to_nothing_offers_neither(browser, member):
    job = made(member, Status.FAILED)
    for name in ("job-menu", "job"):
        page = browser.get(reverse(name, args=[job.pk])).content.decode()
        assert "then=img2img" not in page and reverse("upscale") not in page


def test_each_picture_offers_to_be_upscaled(browser, member):
    job = made(member, Status.COMPLETED)
    images = [factories.image(job) for _ in range(2)]
    page = browser.get(reverse("job", args=[job.pk])).content.decode()
    for image in images:
        assert f'data-larger="{reverse("upscale")}?image={image.pk}"' in page


def test_then_img2img_fills_the_form_from_the_job_and_binds_its_picture(browser, member, server):
    job = made(member)
    page = browser.get(reverse("new"), {"then": "img2img", "job": job.pk}).content.decode()
    assert f'name="init_source" id="init-source" value="{job.pk}"' in page
    assert ">a lighthouse</textarea>" in page
    assert 'name="steps" inputmode="numeric" value="12"' in page
    assert 'id="extras"' not in page, "hires fix was for the first step"
    assert 'value="73310"' not in page, "a new seed"


def test_then_img2img_of_an_upscale_takes_its_prompt(browser, waiting):
    page = browser.get(reverse("new"), {"then": "img2img", "job": waiting.pk}).content.decode()
    assert f'name="init_source" id="init-source" value="{waiting.pk}"' in page
    assert ">a lighthouse</textarea>" in page


def test_then_upscale_by_the_new_pages_address(browser, member):
    job = made(member)
    answer = browser.get(reverse("new"), {"then": "upscale", "job": job.pk})
    assert answer.url == f"{reverse('upscale')}?job={job.pk}"


def test_the_chain_names_an_upscale_as_one(browser, waiting):
    page = browser.get(reverse("job", args=[waiting.pk])).content.decode()
    assert "Upscale: a lighthouse" in page


def test_lists_name_an_upscale_as_one(browser, waiting):
    assert "Upscale: a lighthouse" in browser.get(reverse("queue")).content.decode()


def test_a_member_may_not_start_from_anothers_job(browser, member):
    other = factories.job()
    assert browser.get(reverse("new"), {"then": "img2img", "job": other.pk}).status_code == 404
    order = Order(
        generation_params={
            "kind": "upscale",
            "upscaler": "Lanczos",
            "init_images": [{"job": str(other.pk), "image": 0}],
        }
    )
    with pytest.raises(Exception, match="can't be resolved"):
        submit(order, Actor.of_user(member))


@pytest.mark.parametrize("status", [Status.PENDING, Status.FAILED, Status.COMPLETED])
def test_an_upscale_offers_no_new_seed_and_no_preset(browser, waiting, status):
    Job.objects.filter(pk=waiting.pk).update(status=status, finished_at=waiting.created_at)
    for name in ("job", "job-menu"):
        page = browser.get(reverse(name, args=[waiting.pk])).content.decode()
        assert "new seed" not in page.lower()
        assert "as preset" not in page


def test_a_start_picture_to_come_is_named_in_words(browser, waiting):
    page = browser.get(reverse("job", args=[waiting.pk])).content.decode()
    [need] = waiting.needs.all()
    assert f"picture 1 of the job {need.parent_id}" in page
