"""The page of presets, and presets on the New page."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from jobs.models import Job, Preset
from jobs.services import presets
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(anna) -> Client:
    client = Client()
    client.force_login(anna)
    return client


@pytest.fixture
def preset(actor) -> Preset:
    params = {
        "prompt": "a boat",
        "steps": 9,
        "loras": [{"name": "soft", "weight": 0.5}],
        "tiling": True,
    }
    return presets.create(actor, {"name": "Soft", "generation_params": params})


def test_the_page_shows_what_one_may_use(page, preset):
    text = page.get("/presets/").content.decode()
    assert "Soft" in text
    assert "a boat" in text
    assert f"/new?preset={preset.pk}" in text
    assert "There is no preset yet" not in text


def test_an_empty_page_says_what_to_do(page):
    assert "There is no preset yet" in page.get("/presets/").content.decode()


def test_new_is_filled_from_a_preset(page, preset):
    text = page.get(f"/new?preset={preset.pk}").content.decode()
    assert 'data-fixed="prompt steps loras"' in text
    assert "a boat</textarea>" in text
    assert "Keep: tiling" in text


def test_what_a_preset_says_besides_comes_with_the_order(page, preset):
    form = {"prompt": "x", "steps": "9", "keep_extras": "1", "preset": str(preset.pk)}
    page.post("/new", form)
    assert Job.objects.get().generation_params["tiling"] is True


def test_a_strangers_preset_is_not_there(page):
    theirs = Preset.objects.create(
        name="x",
        owner=factories.user(),
        app_type="forge",
        generation_params={"tiling": True},
        created_at=factories.timezone.now(),
        updated_at=factories.timezone.now(),
    )
    assert page.get(f"/new?preset={theirs.pk}").status_code == 404
    page.post("/new", {"prompt": "x", "keep_extras": "1", "preset": str(theirs.pk)})
    assert "tiling" not in Job.objects.get().generation_params
    assert page.post(f"/presets/{theirs.pk}/delete").status_code == 404


def test_the_new_pages_form_is_saved_without_picture_and_seed(page, anna):
    form = {
        "prompt": "a cat",
        "steps": "12",
        "denoising": "0.3",
        "preset_name": "Cat",
        "count": "2",
    }
    answer = page.post("/presets/save", form, headers={"HX-Request": "true"})
    assert answer.status_code == 204
    saved = Preset.objects.get()
    assert saved.owner == anna
    assert saved.generation_params == {"positive_prompt": "a cat", "steps": 12, "n_iter": 2}


def test_what_is_wrong_is_a_toast_and_saves_nothing(page):
    form = {"prompt": "a cat", "steps": "many", "preset_name": "Cat"}
    answer = page.post("/presets/save", form, headers={"HX-Request": "true"})
    assert answer.status_code == 400
    assert "steps" in answer.headers["HX-Trigger"]
    assert not Preset.objects.exists()


def test_a_job_is_saved_under_a_name(page, anna, preset):
    job = factories.job(owner=anna)
    assert "Save as a preset" in page.get(f"/jobs/{job.pk}/preset").content.decode()
    taken = page.post(f"/jobs/{job.pk}/preset", {"preset_name": "Soft"})
    assert taken.status_code == 422
    assert "already" in taken.content.decode()
    page.post(f"/jobs/{job.pk}/preset", {"preset_name": "Mine"})
    assert Preset.objects.get(name="Mine").generation_params["steps"] == 4


def test_it_is_shared_and_deleted(page, preset):
    page.post(f"/presets/{preset.pk}/share", {"to": "all"})
    assert Preset.objects.get().shared
    page.post(f"/presets/{preset.pk}/delete")
    assert not Preset.objects.exists()


def test_a_file_goes_out_and_comes_in(page, preset):
    answer = page.get(f"/presets/export?id={preset.pk}")
    assert "attachment" in answer.headers["Content-Disposition"]
    document = json.loads(answer.content)
    document["presets"][0]["name"] = "Other"
    file = SimpleUploadedFile("p.json", json.dumps(document).encode())
    page.post("/presets/import", {"file": file, "on_conflict": "refuse"})
    assert set(Preset.objects.values_list("name", flat=True)) == {"Soft", "Other"}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_file_that_is_broken_is_refused_with_a_sentence(page, content):
    for url in ("/presets/import", "/queue/import"):
        file = SimpleUploadedFile("p.json", content)
        answer = page.post(url, {"file": file}, headers={"HX-Request": "true"})
        assert answer.status_code in (400, 413)
        assert page.post(url, headers={"HX-Request": "true"}).status_code == 400


def test_a_file_of_the_queue_comes_in(page, anna):
    factories.job(owner=anna)
    content = page.get("/api/v2/queue/export").content
    Job.objects.all().delete()
    page.post("/queue/import", {"file": SimpleUploadedFile("q.json", content)})
    assert Job.objects.get().owner == anna
