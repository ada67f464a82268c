"""Presets: saved, checked, seen by whom they are for, and passed on as JSON."""

import base64
import json
from typing import Any

import pytest

from jobs.models import Job, Preset
from jobs.services import presets
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
PARAMS = {"prompt": "a lighthouse", "steps": "24", "cfg_scale": 6, "sampler": "Euler a"}
URL = "/api/v2/presets"
BIG = base64.b64encode(factories.png(200, 200) + bytes(90_000)).decode()


def saved(api: Api, name: str = "Portrait", **more: Any) -> dict[str, Any]:
    answer = api.send("POST", URL, {"name": name, "generation_params": PARAMS, **more})
    assert answer.status_code == 201, answer.content
    preset: dict[str, Any] = answer.json()["preset"]
    return preset


@pytest.fixture
def other(db: None) -> Api:
    return Api(factories.key(factories.user("ben"))[1])


def test_a_preset_is_checked_and_has_canonical_names_and_no_drawn_seed(api):
    preset = saved(api)
    assert preset["generation_params"] == {
        "positive_prompt": "a lighthouse",
        "steps": 24,
        "cfg_scale": 6,
        "sampler_name": "Euler a",
    }
    assert (preset["owner"], preset["shared"], preset["may_change"]) == ("anna", False, True)
    assert api.get(f"{URL}/{preset['id']}").json()["preset"] == preset


def test_a_seed_that_was_given_stays(api):
    kept = saved(api, generation_params={**PARAMS, "seed": 7})
    assert kept["generation_params"]["seed"] == 7
    drawn = saved(api, "b", generation_params={**PARAMS, "seed": -1})
    assert "seed" not in drawn["generation_params"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"generation_params": PARAMS}, "name"),
        ({"name": "a"}, "generation_params"),
        ({"name": " ", "generation_params": PARAMS}, "name"),
        ({"name": "a" * 101, "generation_params": PARAMS}, "name"),
        ({"name": 7, "generation_params": PARAMS}, "name"),
        ({"name": "a", "generation_params": []}, "generation_params"),
        ({"name": "a", "generation_params": {}}, "generation_params"),
        ({"name": "a", "generation_params": {"steps": 10**400}}, "generation_params.steps"),
        (
            {"name": "a", "generation_params": {"init_images": [BIG]}},
            "generation_params.init_images",
        ),
        ({"name": "a", "generation_params": {"mask": "x"}}, "generation_params.mask"),
        (
            {"name": "a", "generation_params": {"prompt": "a", "deep": {"x": BIG}}},
            "generation_params",
        ),
        ({"name": "a", "generation_params": PARAMS, "shared": "yes"}, "shared"),
        ({"name": "a", "generation_params": PARAMS, "app_type": "vim"}, "app_type"),
        ({"name": "a", "generation_params": PARAMS, "owner": "ben"}, "owner"),
        ({"name": "a", "generation_params": PARAMS, "job": "x"}, "job"),
        ({"name": "a", "job": "x"}, "job"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_saved(api, body, field):
    answer = api.send("POST", URL, body)
    assert answer.status_code in (400, 413)
    assert field in answer.json()["details"]["fields"], answer.content
    assert not Preset.objects.exists()


def test_a_mark_of_a_file_is_refused(api):
    params = {"prompt": "a", "x": {"$input": "0" * 64, "mime": "a/b", "bytes": 1, "form": "base64"}}
    assert api.send("POST", URL, {"name": "a", "generation_params": params}).status_code == 413


def test_a_name_is_there_once_for_each_owner(api, other):
    saved(api)
    answer = api.send("POST", URL, {"name": "Portrait", "generation_params": PARAMS})
    assert (answer.status_code, answer.json()["error"]) == (409, "already_exists")
    saved(other)


def test_one_sees_ones_own_the_shared_and_the_installations(api, other):
    saved(other, "hidden")
    shared = saved(other, "shared", shared=True)
    Preset.objects.create(
        name="house",
        app_type="forge",
        created_at=factories.timezone.now(),
        updated_at=factories.timezone.now(),
    )
    saved(api, "mine")
    names = [one["name"] for one in api.get(URL).json()["presets"]]
    assert sorted(names) == ["house", "mine", "shared"]
    hidden = Preset.objects.get(name="hidden")
    assert api.get(f"{URL}/{hidden.pk}").status_code == 404
    for method, body in (("PATCH", {"name": "x"}), ("DELETE", None)):
        answer = api.send(method, f"{URL}/{shared['id']}", body)
        assert (answer.status_code, answer.json()["error"]) == (403, "preset_not_yours")
        assert api.send(method, f"{URL}/{hidden.pk}", body).status_code == 404


def test_it_is_changed_and_deleted(api):
    preset = saved(api)
    changed = api.send("PATCH", f"{URL}/{preset['id']}", {"shared": True, "name": "P"}).json()
    assert (changed["preset"]["shared"], changed["preset"]["name"]) == (True, "P")
    assert changed["preset"]["generation_params"] == preset["generation_params"]
    saved(api, "Q")
    assert api.send("PATCH", f"{URL}/{preset['id']}", {"name": "Q"}).status_code == 409
    assert api.send("PATCH", f"{URL}/{preset['id']}", {}).status_code == 400
    assert api.send("DELETE", f"{URL}/{preset['id']}").status_code == 200
    assert api.get(f"{URL}/{preset['id']}").status_code == 404


def test_a_job_becomes_a_preset_without_its_picture_and_seed(api, anna):
    body = {
        "generation_params": {**PARAMS, "seed": 5, "init_images": [BIG], "denoising_strength": 0.4}
    }
    job = api.send("POST", "/api/v2/generate", body).json()["mobilesd_job_id"]
    preset = api.send("POST", URL, {"name": "as that", "job": job}).json()["preset"]
    assert preset["generation_params"] == {
        "positive_prompt": "a lighthouse",
        "steps": 24,
        "cfg_scale": 6,
        "sampler_name": "Euler a",
    }
    theirs = factories.job(owner=factories.user())
    assert api.send("POST", URL, {"name": "x", "job": str(theirs.pk)}).status_code == 404


def test_a_preset_fits_into_an_order_as_it_is(api):
    preset = saved(api)
    api.send("POST", "/api/v2/generate", {"generation_params": preset["generation_params"]})
    assert Job.objects.get().generation_params["steps"] == 24


def test_scopes(anna):
    reader = Api(factories.key(anna, scopes=["jobs:read"])[1])
    assert reader.get(URL).status_code == 200
    assert reader.send("POST", URL, {}).status_code == 403
    assert reader.send("POST", f"{URL}/import", {}).status_code == 403


# --- As a document ------------------------------------------------------------------------


def test_what_is_exported_is_imported_by_another_and_twice_is_once(api, other):
    saved(api, "a", description="soft light")
    saved(api, "b", shared=True)
    document = api.get(f"{URL}/export").json()
    assert (document["mobilesd"], document["version"]) == ("presets", 1)
    assert "anna" not in json.dumps(document)

    first = other.send("POST", f"{URL}/import", document).json()
    again = other.send("POST", f"{URL}/import", document).json()

    assert [one["name"] for one in first["made"]] == ["a", "b"]
    assert not any(one["shared"] for one in first["made"])
    assert (again["made"], len(again["unchanged"])) == ([], 2)
    assert other.get(f"{URL}/export").json() == document


def test_one_preset_is_exported_by_its_id(api, other):
    shared = saved(other, "shared", shared=True)
    hidden = saved(other, "hidden")
    saved(api, "mine")
    found = api.get(f"{URL}/export?id={shared['id']}").json()
    assert [one["name"] for one in found["presets"]] == ["shared"]
    assert api.get(f"{URL}/export?id={hidden['id']}").status_code == 404
    assert api.get(f"{URL}/export?id=x").status_code == 400


def test_a_name_with_another_content_is_said_and_nothing_is_taken(api):
    document = {**presets.document([]), "presets": [entry("new"), entry("Portrait", steps=9)]}
    saved(api)
    answer = api.send("POST", f"{URL}/import", document)
    assert (answer.status_code, answer.json()["details"]["names"]) == (409, ["Portrait"])
    assert Preset.objects.count() == 1


def entry(name: str, **params: Any) -> dict[str, Any]:
    return {"name": name, "generation_params": {**PARAMS, **params}}


def test_both_are_kept_or_the_new_one_is_taken_if_one_says_so(api):
    saved(api)
    document = {**presets.document([]), "presets": [entry("Portrait", steps=9)]}
    for _ in range(2):
        api.send("POST", f"{URL}/import", {**document, "on_conflict": "rename"})
    names = sorted(Preset.objects.values_list("name", flat=True))
    assert names == ["Portrait", "Portrait (2)"]
    done = api.send("POST", f"{URL}/import", {**document, "on_conflict": "replace"}).json()
    assert [one["name"] for one in done["replaced"]] == ["Portrait"]
    assert Preset.objects.get(name="Portrait").generation_params["steps"] == 9


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "mobilesd"),
        ({"mobilesd": "queue", "version": 1, "presets": []}, "mobilesd"),
        ({"mobilesd": "presets", "version": 2, "presets": []}, "version"),
        ({"mobilesd": "presets", "version": True, "presets": []}, "version"),
        ({"mobilesd": "presets", "version": 1}, "presets"),
        ({"mobilesd": "presets", "version": 1, "presets": []}, "presets"),
        ({"mobilesd": "presets", "version": 1, "presets": [{}] * 501}, "presets"),
        ({"mobilesd": "presets", "version": 1, "presets": [entry("a"), 7]}, "presets.1"),
        (
            {"mobilesd": "presets", "version": 1, "presets": [entry("a"), {"name": "b"}]},
            "presets.1.generation_params",
        ),
        (
            {"mobilesd": "presets", "version": 1, "presets": [entry("a"), entry("b", width=7)]},
            "presets.1.generation_params.width",
        ),
        ({"mobilesd": "presets", "version": 1, "presets": [entry("a"), entry("a")]}, "presets"),
        (
            {"mobilesd": "presets", "version": 1, "presets": [entry("a")], "on_conflict": "?"},
            "on_conflict",
        ),
        (
            {"mobilesd": "presets", "version": 1, "presets": [entry("a")], "on_conflict": 1},
            "on_conflict",
        ),
    ],
)
def test_a_document_that_is_wrong_says_where_and_takes_nothing(api, body, field):
    answer = api.send("POST", f"{URL}/import", body)
    assert answer.status_code == 400
    assert field in answer.json()["details"]["fields"], answer.content
    assert not Preset.objects.exists()


def test_there_is_a_limit(api, monkeypatch):
    monkeypatch.setattr(presets, "MAX_EACH", 1)
    saved(api)
    answer = api.send("POST", URL, {"name": "b", "generation_params": PARAMS})
    assert answer.json()["error"] == "limit_reached"
