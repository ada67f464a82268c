"""Every recorded generation of a real Forge, read as the dispatcher reads it."""

import json
import re

import pytest

from dispatch.dispatchers.base import BackendError, NeverReached, Order
from dispatch.dispatchers.forge import answer, inventory, payload
from dispatch.dispatchers.forge.client import WrongAnswer
from dispatch.dispatchers.forge.errors import error_of
from tests.dispatch.forge.helpers import PIXEL, RECORDINGS

PATHS = {"/sdapi/v1/txt2img": "txt2img", "/sdapi/v1/img2img": "img2img"}


def generations():
    """Return all recorded generations by name."""
    found = {}
    for path in sorted(RECORDINGS.rglob("*.json")):
        exchange = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(exchange, dict) or not isinstance(exchange.get("request"), dict):
            continue
        if exchange["request"]["path"] in PATHS and "json" in exchange["response"]:
            found[f"{path.parent.name}/{path.stem}"] = exchange
    return found


ALL = generations()
ANSWERED = {name: e for name, e in ALL.items() if e["response"]["status"] == 200}
REFUSED = {name: e for name, e in ALL.items() if e["response"]["status"] != 200}

WARNED = {
    "errors/unknown-sampler": "instead of No Such Sampler",
    "errors/unknown-scheduler": "instead of No Such Scheduler",
    "txt2img/lora-unknown": "did not use the LoRA missing_one",
}
# The recorded server did not list what was asked for, and made it with the selected one.
WRONG_CHECKPOINT = {"errors/unknown-checkpoint-override", "models/override-not-yet-listed"}
WITHOUT_PICTURES = {"txt2img/save-no-send"}
# One of three pictures: interrupted.
INTERRUPTED = {"interrupt/interrupt-n3-response": 1}


class Recorded:
    """Stands for the client: answers from the recordings of the same server."""

    def get(self, path, timeout=5):
        name = {"/controlnet/model_list": "controlnet-model-list"}.get(path)
        name = name or path.removeprefix("/sdapi/v1/")
        response = json.loads((RECORDINGS / "discovery" / f"{name}.json").read_text())["response"]
        if response["status"] != 200:
            raise WrongAnswer(response["status"])
        return response["json"]


@pytest.fixture(scope="module")
def lists():
    return inventory.read(Recorded())


def read(exchange, lists=None):
    """Read an answer against the request that it was for."""
    sent = dict(exchange["request"]["json"])
    checkpoint = sent.get("override_settings", {}).get("sd_model_checkpoint", "")
    params = {"positive_prompt": sent.pop("prompt", ""), **sent}
    if "sampler_index" in params:
        params.setdefault("sampler_name", params.pop("sampler_index"))
    kind = PATHS[exchange["request"]["path"]]
    try:
        request = payload.build(Order(kind, params, checkpoint), lists)
    except BackendError:  # not listed: sent unseen, as when the lists are old
        request = payload.build(Order(kind, params, checkpoint), None)
    body = exchange["response"]["json"]
    return answer.read({**body, "images": [PIXEL] * len(body["images"])}, request, lists)


def test_there_are_enough_recordings():
    assert len(ANSWERED) > 40
    assert len(REFUSED) > 20


@pytest.mark.parametrize("name", sorted(ANSWERED.keys() - WITHOUT_PICTURES))
def test_recorded_answer_is_read(name, lists):
    exchange = ANSWERED[name]
    info = json.loads(exchange["response"]["json"]["info"])
    found = read(exchange, lists)
    first = info["index_of_first_image"]
    sent = exchange["request"]["json"]
    wanted = sent.get("batch_size", 1) * sent.get("n_iter", 1)
    assert len(found.pictures) == INTERRUPTED.get(name, wanted)
    for picture, infotext in zip(found.pictures, info["infotexts"][first:], strict=True):
        assert picture.infotext == infotext
        assert picture.seed == int(re.search(r"Seed: (\d+)", infotext).group(1))
    assert (found.rejected is not None) == (name in WRONG_CHECKPOINT)
    said = [warning for warning in found.warnings if "left out" not in warning]
    assert len(said) == (name in WARNED)
    assert all(WARNED[name] in warning for warning in said)
    assert found.checkpoint.rpartition("/")[2] == f"{info['sd_model_name']}.safetensors" or (
        found.checkpoint == info["sd_model_name"]  # came after the recorded lists
    )
    json.dumps(found.generation_info, allow_nan=False)


@pytest.mark.parametrize("name", sorted(WITHOUT_PICTURES))
def test_recorded_answer_without_pictures_is_an_error(name, lists):
    with pytest.raises(BackendError, match="without a picture"):
        read(ANSWERED[name], lists)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_recorded_error_has_a_code_a_sentence_and_what_to_do(name):
    response = REFUSED[name]["response"]
    found = error_of(response["status"], response["json"])
    assert found.message
    if isinstance(found, NeverReached):
        assert found.health == "refused"
    else:
        assert found.code and found.hint


def test_recorded_lists_are_read(lists):
    assert [known.name for known in lists.checkpoints] == [
        "random_a.safetensors",
        "random_full.safetensors",
        "Pony/random_b.safetensors",
    ]
    assert lists.checkpoints[2].short_hash == "8a62674095"
    assert lists.checkpoints[0].short_hash == ""
    assert lists.loras == ("random_lora",)
    assert lists.samplers[:2] == ("DPM++ 2M", "DPM++ SDE")
    assert "SGM Uniform" in lists.schedulers
    assert lists.upscalers[0] == "Latent"
    assert "R-ESRGAN 4x+" in lists.upscalers
    assert "None" not in lists.upscalers
    assert "controlnet" in lists.scripts
    assert lists.selected == "random_a.safetensors"
    assert lists.aliases["default:dpm++ 2m"] == "Karras"
