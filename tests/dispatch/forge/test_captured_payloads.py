"""What people set on a real Forge page reaches the backend field by field as it was.

But for the documented changes: a seed of -1 is drawn, `force_task_id` is ours, overrides are
whitelisted and always restored, nulls of the top level are left out.
"""

import base64
import copy
import hashlib
import io
import random
import uuid

import pytest
from PIL import Image

from apikeys.actors import Actor
from dispatch.dispatchers.base import Order
from dispatch.fakes.forge import Checkpoint, Lora
from jobs import inputs
from jobs.params import normalise
from tests.dispatch.forge.helpers import recording

CHECKPOINT = "random_a.safetensors [e1758bd15a]"
SHA = "e1758bd15a76cb0e240a88cec88b7d4af749dab0c03c76bb0c5d16684363e847"
SCRIPTS = ["StableQueue"]  # the recorded page had one more extension


def captured():
    """Return the payload of the page, as its extension would send it."""
    return copy.deepcopy(recording("extension/captured-txt2img")["payload"])


def captured_with_controlnet(picture=None):
    """Return it with a ControlNet unit switched on, and a picture in it."""
    payload = captured()
    units = copy.deepcopy(recording("extension/captured-controlnet-enabled")["args"])
    units[0]["image"] = picture
    payload["alwayson_scripts"]["ControlNet"] = {"args": units}
    return payload


def noise():
    """Return a PNG of some kB that is the same each time."""
    stream = io.BytesIO()
    Image.frombytes("RGB", (64, 64), random.Random(1).randbytes(64 * 64 * 3)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def forge(drive):
    return drive(
        scripts=SCRIPTS,
        checkpoints=[
            Checkpoint("random_a.safetensors", SHA, hashed=True),
            "Pony/other.safetensors",
        ],
        loras=[Lora("styles/random_lora.safetensors")],
    )


def through(forge, sent):
    """Send a payload the whole way that a job's parameters go; return what the backend got."""
    found = normalise(sent, app_type="forge")
    taken = inputs.take(found.params, Actor())
    order = Order(found.kind, inputs.restore(taken.params), found.checkpoint)
    token = uuid.uuid4()
    request = forge.dispatcher.prepare(order, forge.dispatcher.inventory())
    answer = forge.dispatcher.run(request, token)
    run = forge.fake.log.runs()[-1]
    assert run.token == str(token)
    return {**run.payload, "force_task_id": None}, answer


def expected(sent, **changes):
    """Return what has to arrive: what was sent, and the documented changes."""
    whole = {
        **sent,
        "override_settings": {},
        "override_settings_restore_afterwards": True,
        "force_task_id": None,
        **changes,
    }
    return {key: value for key, value in whole.items() if value is not None} | {
        "force_task_id": None
    }


def test_captured_page_arrives_field_by_field(forge):
    sent = captured()
    arrived, answer = through(forge, sent)
    assert arrived == expected(sent)
    assert answer.warnings == []
    assert answer.pictures[0].seed == 4242
    assert answer.pictures[0].infotext.startswith("a red fox <lora:random_lora:0.5>")


def test_numbers_keep_their_types(forge):
    sent = captured()
    arrived, _ = through(forge, sent)
    assert {key: type(value) for key, value in arrived.items() if value is not None} == {
        key: type(value) for key, value in expected(sent).items() if value is not None
    }
    units = arrived["alwayson_scripts"]["ControlNet"]["args"]
    assert isinstance(units[0]["weight"], int)
    assert isinstance(units[1]["weight"], float)


def test_enabled_controlnet_arrives_with_its_nulls(forge):
    sent = captured_with_controlnet()
    arrived, _ = through(forge, sent)
    assert arrived == expected(sent)
    unit = arrived["alwayson_scripts"]["ControlNet"]["args"][0]
    assert unit["enabled"] is True
    assert unit["mask_image"] is None
    assert list(unit) == list(sent["alwayson_scripts"]["ControlNet"]["args"][0])


@pytest.mark.parametrize("head", ["", "data:image/png;base64,"])
def test_picture_of_a_controlnet_unit_arrives_byte_for_byte(forge, head):
    picture = head + base64.b64encode(noise()).decode()
    assert len(picture) > inputs.BIG, "kept as a file on the way"
    sent = captured_with_controlnet(picture)
    arrived, answer = through(forge, sent)
    unit = arrived["alwayson_scripts"]["ControlNet"]["args"][0]
    # The fake's log stands a hash for long pictures, and still has the text.
    assert unit["image"] == f"sha256:{hashlib.sha256(noise()).hexdigest()}"
    assert forge.fake.log.raw(unit["image"]) == picture
    unit["image"] = picture
    assert arrived == expected(sent)
    assert len(answer.pictures) == 1, "without the detected map"


def test_seed_of_minus_one_is_drawn_once_and_nothing_else_changes(forge):
    sent = {**captured(), "seed": -1}
    arrived, answer = through(forge, sent)
    assert 0 <= arrived["seed"] < 2**32
    assert arrived == expected(sent, seed=arrived["seed"])
    assert arrived["subseed"] == -1, "without strength it changes nothing"
    assert answer.pictures[0].seed == arrived["seed"]


def test_options_of_the_pages_top_bar_arrive_as_overrides(forge):
    overrides = {
        "sd_model_checkpoint": CHECKPOINT,
        "CLIP_stop_at_last_layers": 2,
        "forge_additional_modules": [],
        "eta_noise_seed_delta": 31337,
    }
    sent = {**captured(), "override_settings": overrides}
    sent["override_settings_restore_afterwards"] = False
    arrived, answer = through(forge, sent)
    assert arrived == expected(
        sent,
        override_settings={
            "sd_model_checkpoint": "random_a.safetensors",
            "CLIP_stop_at_last_layers": 2,
            "forge_additional_modules": [],
        },
        override_settings_restore_afterwards=True,
    )
    assert [w for w in answer.warnings if "eta_noise_seed_delta" in w] == answer.warnings
    assert len(answer.warnings) == 1
    assert answer.rejected is None
    assert answer.checkpoint == "random_a.safetensors"


def test_nulls_of_the_top_level_are_left_out(forge):
    names = ("sampler_index", "script_name", "eta", "tiling", "hr_checkpoint_name", "infotext")
    sent = {**captured(), **dict.fromkeys(names)}
    arrived, _ = through(forge, sent)
    assert not set(names) & set(arrived)
    assert arrived == expected(sent)


def test_fields_that_nobody_knows_arrive_as_well(forge):
    sent = {**captured(), "some_new_field": {"deep": [None, 1, 2.0, "ä"]}, "eta": 0.5}
    arrived, _ = through(forge, sent)
    assert arrived == expected(sent)
