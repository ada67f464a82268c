"""The page of presets, and presets on the New page."""

import html
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from jobs.models import Job, JobInput, Preset
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


# --- Changing one -------------------------------------------------------------------------


def _form(page, preset, **changes):
    """Return the edit form as a browser would send it, with some fields typed anew."""
    shown = page.get(f"/presets/{preset.pk}/edit").context
    was = {f"was_{name}": text.replace("\n", "\r\n") for name, text in shown["was"].items()}
    return {**was, **shown["typed"], "as_of": shown["as_of"], **changes}


def test_name_description_and_parameters_are_changed(page, preset):
    text = json.dumps({"positive_prompt": "a ship", "steps": 11})
    sent = _form(page, preset, name="Ship", description="For the sea.", parameters=text)
    assert page.post(f"/presets/{preset.pk}/edit", sent).status_code == 303
    changed = Preset.objects.get()
    assert (changed.name, changed.description) == ("Ship", "For the sea.")
    assert changed.generation_params == {"positive_prompt": "a ship", "steps": 11}
    assert "For the sea." in page.get("/presets/").content.decode()


def test_saving_what_was_shown_changes_nothing(page, preset):
    assert page.post(f"/presets/{preset.pk}/edit", _form(page, preset)).status_code == 303
    assert Preset.objects.get().updated_at == preset.updated_at


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("name", " ", "It is empty."),
        ("description", "x" * 501, "It is longer than 500 characters."),
        ("parameters", "{", "It must be JSON; it can"),
        ("parameters", "[1]", "It must be an object."),
        ("parameters", '{"steps": "many"}', "steps must be"),
    ],
)
def test_a_wrong_value_is_said_at_its_field_and_changes_nothing(page, preset, name, value, words):
    answer = page.post(f"/presets/{preset.pk}/edit", _form(page, preset, **{name: value}))
    assert answer.status_code == 422
    assert words in html.unescape(answer.content.decode())
    assert Preset.objects.get().updated_at == preset.updated_at


def test_a_name_that_is_there_is_refused_in_words(page, preset, actor):
    presets.create(actor, {"name": "Hard", "generation_params": {"steps": 3}})
    answer = page.post(f"/presets/{preset.pk}/edit", _form(page, preset, name="Hard"))
    assert answer.status_code == 422
    assert "already" in answer.content.decode()


def test_a_change_of_somebody_else_meanwhile_is_not_overwritten(page, preset, actor):
    sent = _form(page, preset, name="Mine")
    presets.change(preset.pk, actor, {"name": "Theirs"})
    answer = page.post(f"/presets/{preset.pk}/edit", sent)
    assert "Somebody changed or deleted this preset meanwhile." in answer.content.decode()
    assert Preset.objects.get().name == "Theirs"


def test_a_preset_of_others_is_not_edited(page):
    theirs = Preset.objects.create(
        name="x",
        owner=factories.user(),
        shared=True,
        app_type="forge",
        generation_params={"tiling": True},
        created_at=factories.timezone.now(),
        updated_at=factories.timezone.now(),
    )
    assert page.get(f"/presets/{theirs.pk}/edit").status_code == 403
    assert f"/presets/{theirs.pk}/edit" not in page.get("/presets/").content.decode()


def test_a_description_is_saved_with_a_new_preset(page, anna):
    job = factories.job(owner=anna)
    sent = {"preset_name": "Mine", "preset_description": "For portraits."}
    page.post(f"/jobs/{job.pk}/preset", sent)
    page.post("/presets/save", {"prompt": "x", **sent, "preset_name": "Other"})
    assert set(Preset.objects.values_list("description", flat=True)) == {"For portraits."}


# --- The queue as a file ------------------------------------------------------------------


def test_a_file_of_the_queue_can_be_looked_at_first(page, anna):
    factories.job(owner=anna)
    content = page.get("/queue/export/file").content
    Job.objects.all().delete()
    sent = {"file": SimpleUploadedFile("q.json", content), "dry_run": "1"}
    answer = page.post("/queue/import", sent, headers={"HX-Request": "true"})
    toast = json.loads(answer.headers["HX-Trigger"])["toast"]["text"]
    assert toast == "Jobs: 1 new. Nothing was taken."
    assert not Job.objects.exists()


def test_the_export_says_what_is_left_out(page, anna):
    factories.job(owner=anna)
    lost = factories.job(owner=anna)
    JobInput.objects.create(job=lost, sha256="0" * 64, mime="image/png", bytes=3)
    text = page.get("/queue/export").content.decode()
    assert "1 job with its pictures" in text
    assert "1 job is left out:" in text
    assert "is not on the disk any more" in text
    answer = page.get("/queue/export/file")
    assert "mobilesd-queue.json" in answer.headers["Content-Disposition"]
    assert len(json.loads(answer.content)["left_out"]) == 1


def test_a_queue_that_is_too_large_for_a_file_is_said_on_a_page(page, anna, settings):
    settings.MAX_BODY_BYTES = 1000
    factories.job(owner=anna, generation_params={"positive_prompt": "a" * 2000, "seed": 1})
    answer = page.get("/queue/export")
    assert answer.status_code == 413
    assert "export_queue FILE" in answer.content.decode()
    assert answer.headers["Content-Type"].startswith("text/html")
