"""The page on which a picture is ordered."""

import base64
import json
import uuid

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from dispatch.models import Inventory, Server
from jobs import inputs
from jobs.choices import Status
from jobs.models import Job
from tests import factories
from tests.pages.conftest import HTMX

TYPED = {
    "prompt": "a lighthouse",
    "negative": "blurry",
    "width": "512",
    "height": "768",
    "steps": "12",
    "cfg": "5.5",
    "sampler": "Euler a",
    "scheduler": "Karras",
    "seed": "",
    "count": "2",
    "denoising": "0.6",
    "server": "",
    "once": "abc",
}


@pytest.fixture(autouse=True)
def server(db):
    row = factories.server("gpu")
    Inventory.objects.create(
        server=row,
        data={
            "checkpoints": [{"name": "xl/nice.safetensors"}],
            "loras": ["grain"],
            "samplers": ["Euler a"],
            "schedulers": ["Karras"],
        },
        updated_at=timezone.now(),
    )
    return row


def _job():
    return Job.objects.get()


def test_every_field_has_a_label(browser):
    page = browser.get("/new").text
    for name in (
        "prompt",
        "negative",
        "checkpoint",
        "steps",
        "cfg",
        "sampler",
        "scheduler",
        "seed",
        "count",
        "denoising",
        "server",
    ):
        assert f'<label for="{name}">' in page
        assert f'id="error-{name}"' in page


def test_the_pickers_offer_what_the_servers_have(browser):
    page = browser.get("/new").text
    assert '<option value="xl/nice.safetensors" >nice</option>' in page
    assert 'data-lora="grain"' in page
    assert '<option value="Euler a" >Euler a</option>' in page
    assert '<option value="gpu" >gpu</option>' in page


def test_what_only_one_server_has_is_marked(browser):
    factories.server("other")
    assert ">nice (gpu)</option>" in browser.get("/new").text


def test_without_a_server_the_page_says_so(browser):
    Server.objects.all().delete()
    assert "There is no server yet" in browser.get("/new").text


def test_a_sent_form_becomes_a_job(browser, member):
    sent = {
        **TYPED,
        "checkpoint": "xl/nice.safetensors",
        "server": "gpu",
        "lora_name": "grain",
        "lora_weight": "0.7",
    }
    answer = browser.post("/new", sent, follow=True)
    assert answer.redirect_chain == [("/", 303)]
    assert "Sent." in answer.text
    job = _job()
    assert job.owner == member
    assert job.target_server_alias == "gpu"
    params = dict(job.generation_params)
    assert params.pop("seed") >= 0  # drawn
    assert params == {
        "positive_prompt": "a lighthouse",
        "negative_prompt": "blurry",
        "checkpoint_name": "xl/nice.safetensors",
        "width": 512,
        "height": 768,
        "steps": 12,
        "cfg_scale": 5.5,
        "sampler_name": "Euler a",
        "scheduler": "Karras",
        "n_iter": 2,
        "loras": [{"name": "grain", "weight": 0.7}],
    }


def test_an_open_page_is_led_to_the_queue(browser):
    answer = browser.post("/new", TYPED, headers=HTMX)
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, "/")
    assert "Sent." in browser.get("/").text


def test_a_doubled_tap_makes_one_job(browser):
    for _ in range(2):
        assert browser.post("/new", TYPED, headers=HTMX).status_code == 204
    assert Job.objects.count() == 1


def test_a_changed_form_of_the_same_page_makes_another_job(browser):
    browser.post("/new", TYPED)
    browser.post("/new", {**TYPED, "prompt": "another"})
    assert Job.objects.count() == 2


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"prompt": ""}, "prompt", "Say what the picture should show."),
        ({"width": "0"}, "width", "The width must be a whole number from 64 to 8192, but is 0."),
        ({"width": "wide"}, "width", "The width must be a whole number"),
        ({"steps": "1000000000"}, "steps", "Steps must be a whole number from 1 to 500"),
        ({"seed": str(2**64)}, "seed", "The seed must be"),
        ({"count": "65"}, "count", "The number of pictures must be"),
        ({"cfg": "NaN"}, "cfg", "CFG scale must be a number"),
        ({"server": "nowhere"}, "server", "The server names no server"),
        ({"prompt": "x" * 70_000}, "prompt", "The prompt may have 64 kB"),
    ],
)
def test_an_error_stands_at_its_field_and_nothing_is_written(browser, change, field, words):
    answer = browser.post("/new", {**TYPED, **change}, headers=HTMX)
    assert answer.status_code == 422
    _, _, rest = answer.text.partition(f'id="error-{field}"')
    assert words in rest.partition("</p>")[0].replace("&#x27;", "'")
    assert not Job.objects.exists()


def test_without_scripts_what_was_typed_stays(browser):
    sent = {**TYPED, "width": "7", "lora_name": ["grain", "other"], "lora_weight": ["0.5", "1"]}
    answer = browser.post("/new", sent)
    assert answer.status_code == 422
    page = answer.text
    assert ">a lighthouse</textarea>" in page
    assert 'name="width" id="width" inputmode="numeric" pattern="[0-9]*" value="7"' in page
    assert 'value="grain"' in page
    assert 'value="other"' in page
    assert "The width must be" in page


# --- Starting from a picture ------------------------------------------------------------------


def _upload(content, name="photo.png"):
    return SimpleUploadedFile(name, content, content_type="image/png")


def test_a_file_of_this_device_becomes_the_start_picture(browser):
    browser.post("/new", {**TYPED, "init_file": _upload(factories.png(64, 64, "blue"))})
    job = _job()
    assert job.kind == "img2img"
    assert job.generation_params["denoising_strength"] == 0.6
    [restored] = inputs.restore(job.generation_params)["init_images"]
    assert base64.b64decode(restored) == factories.png(64, 64, "blue")


def test_a_file_that_is_no_picture_is_refused_at_its_field(browser):
    answer = browser.post("/new", {**TYPED, "init_file": _upload(b"no picture")}, headers=HTMX)
    assert answer.status_code == 422
    _, _, rest = answer.text.partition('id="error-init"')
    assert "The picture to start from" in rest.partition("</p>")[0]
    assert not Job.objects.exists()


def test_too_large_a_file_is_refused(browser, monkeypatch):
    monkeypatch.setattr("dispatch.start_form.MAX_FILE_BYTES", 100)
    answer = browser.post("/new", {**TYPED, "init_file": _upload(b"x" * 200)}, headers=HTMX)
    assert answer.status_code == 422
    assert "Make it smaller." in answer.text


def test_an_earlier_picture_becomes_the_start_picture(browser, member):
    image = factories.image(factories.job(Status.COMPLETED, owner=member))
    page = browser.get(f"/new?init={image.pk}").text
    assert f'id="init-image" value="{image.pk}" data-width="8" data-height="8"' in page
    browser.post("/new", {**TYPED, "init_image": str(image.pk)})
    assert Job.objects.get(kind="img2img").owner == member


def test_the_picture_of_somebody_else_is_not_there(browser):
    image = factories.image(factories.job(Status.COMPLETED, owner=factories.user()))
    assert browser.get(f"/new?init={image.pk}").status_code == 404
    browser.post("/new", {**TYPED, "init_image": str(image.pk)})
    assert not Job.objects.filter(kind="img2img").exists()


def test_without_a_start_picture_denoising_is_not_sent(browser):
    browser.post("/new", TYPED)
    assert "denoising_strength" not in _job().generation_params


def test_earlier_pictures_can_be_chosen(browser, member):
    mine = factories.image(factories.job(Status.COMPLETED, owner=member))
    other = factories.image(factories.job(Status.COMPLETED, owner=factories.user()))
    rejected = factories.image(factories.job(Status.COMPLETED, owner=member), rejected=True)
    part = browser.get("/pictures/pick", headers=HTMX).text
    assert str(mine.pk) in part
    assert str(other.pk) not in part
    assert str(rejected.pk) not in part


# --- Using a job again ------------------------------------------------------------------------


def _earlier(member, **params):
    asked = {
        "positive_prompt": "an old one",
        "width": 640,
        "height": 896,
        "steps": 9,
        "cfg_scale": 7.0,
        "seed": 77,
        "loras": [{"name": "grain", "weight": 0.35}],
        "enable_hr": True,
        "hr_scale": 1.5,
        **params,
    }
    return factories.job(Status.COMPLETED, owner=member, generation_params=asked)


def test_use_again_fills_the_form(browser, member):
    page = browser.get(f"/new?from={_earlier(member).pk}").text
    assert "data-prefilled" in page
    assert ">an old one</textarea>" in page
    assert 'name="seed" inputmode="numeric" value="77"' in page
    assert 'value="0.35"' in page
    assert "Keep: enable_hr, hr_scale" in page


def test_what_is_used_again_brings_its_priority_and_lane(browser, member):
    earlier = _earlier(member)
    page = browser.get(f"/new?from={earlier.pk}").text
    assert '<option value="5" selected>' in page
    assert '<details class="part" id="when" >' in page
    Job.objects.update(priority=2, lane_class="background")
    page = browser.get(f"/new?from={earlier.pk}").text
    assert '<option value="2" selected>' in page
    assert '<option value="background" selected>' in page
    assert '<details class="part" id="when" open>' in page


def test_use_again_with_a_new_seed_leaves_it_empty(browser, member):
    page = browser.get(f"/new?from={_earlier(member).pk}&seed=new").text
    assert 'name="seed" inputmode="numeric" value=""' in page


def test_parameters_that_the_form_does_not_have_are_kept_on_request(browser, member):
    earlier = _earlier(member)
    browser.post("/new", {**TYPED, "extras_of": str(earlier.pk), "keep_extras": "1"})
    browser.post("/new", {**TYPED, "extras_of": str(earlier.pk), "once": "other"})
    kept, plain = Job.objects.exclude(pk=earlier.pk).order_by("created_at")
    assert kept.generation_params["hr_scale"] == 1.5
    assert kept.generation_params["width"] == 512
    assert "hr_scale" not in plain.generation_params


def test_the_start_picture_of_an_earlier_job_is_used_again(browser, member):
    browser.post("/new", {**TYPED, "init_file": _upload(factories.png(64, 64, "blue"))})
    earlier = _job()
    assert "The same picture as before" in browser.get(f"/new?from={earlier.pk}").text
    browser.post("/new", {**TYPED, "init_job": str(earlier.pk), "once": "other"})
    again = Job.objects.exclude(pk=earlier.pk).get()
    assert again.generation_params["init_images"] == earlier.generation_params["init_images"]


@pytest.mark.parametrize("query", ["from", "init"])
@pytest.mark.parametrize("value", ["rubbish", str(uuid.UUID(int=7))])
def test_an_unknown_job_or_picture_is_not_there(browser, query, value):
    assert browser.get("/new", {query: value}).status_code == 404


def test_the_job_of_somebody_else_can_not_be_used(browser):
    earlier = _earlier(factories.user())
    assert browser.get(f"/new?from={earlier.pk}").status_code == 404
    browser.post("/new", {**TYPED, "extras_of": str(earlier.pk), "keep_extras": "1"})
    job = Job.objects.exclude(pk=earlier.pk).get()
    assert "hr_scale" not in job.generation_params


def test_a_fault_behind_the_form_is_told_in_a_toast(browser, monkeypatch):
    from mobilesd.errors import Unavailable

    def busy(*_):
        raise Unavailable("The database is busy.", retry_after=2)

    monkeypatch.setattr("jobs.services.submit", busy)
    answer = browser.post("/new", TYPED, headers=HTMX)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"
    assert json.loads(answer.headers["HX-Trigger"])["toast"]["text"] == "The database is busy."
