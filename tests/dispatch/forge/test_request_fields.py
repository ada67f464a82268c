"""What becomes of single fields: nulls, unknown ones, the seed, the token, infotext."""

import uuid

import pytest

from dispatch.dispatchers.base import BackendError, ErrorClass, Order
from tests.dispatch.forge.helpers import CAT, PIXEL, recording


def test_null_of_a_field_is_left_out(forge):
    """`sampler_index: null` alone makes Forge answer 422."""
    params = {**CAT, "sampler_index": None, "hr_cfg": None, "styles": None}
    forge.dispatcher.run(forge.dispatcher.prepare(Order("txt2img", params), None), uuid.uuid4())
    assert not {"sampler_index", "hr_cfg", "styles"} & set(forge.sent)


def test_null_inside_a_scripts_arguments_stays(forge):
    script = {"ControlNet": {"args": [{"enabled": False, "image": None}, None]}}
    forge.run(alwayson_scripts=script)
    assert forge.sent["alwayson_scripts"] == script


def test_unknown_fields_are_passed_on_as_they_are(forge):
    extra = {"x_flag": False, "x_deep": {"a": [1, None, 2.5, "ä"]}}
    forge.run(**extra)
    assert {name: forge.sent[name] for name in extra} == extra


def test_every_attempt_has_its_own_task_id(forge):
    """The same id twice would be active and finished at once."""
    for _ in range(2):
        token = uuid.uuid4()
        forge.run(token=token, force_task_id="of the page")
        assert forge.fake.log.runs()[-1].token == str(token)


def test_seeds_and_model_come_from_info_and_not_from_the_echo(forge, scripted):
    """`parameters` repeats the request: there a drawn seed is still -1."""
    exchange = recording("txt2img/force-task-id")
    body = exchange["response"]["json"]
    assert body["parameters"]["seed"] == -1
    from dispatch.dispatchers.forge import answer
    from tests.dispatch.forge.helpers import order

    body = {**body, "images": [PIXEL]}
    read = answer.read(body, forge.dispatcher.prepare(order(seed=-1), None), None)
    assert read.pictures[0].seed == 1233385841
    assert read.checkpoint == "random_a"


def test_same_seed_makes_the_same_picture(forge):
    first, again, other = (forge.run(seed=seed).pictures[0] for seed in (7, 7, 8))
    assert first.data == again.data
    assert first.data != other.data


def test_infotext_field_is_refused_because_forge_fails_on_it(forge):
    with pytest.raises(BackendError) as caught:
        forge.prepare(infotext="a cat\nSteps: 2")
    assert caught.value.error_class is ErrorClass.PERMANENT
    assert caught.value.code == "infotext_unsupported"
    assert "infotext" not in forge.prepare(infotext=None).body


@pytest.mark.parametrize("form", [PIXEL, f"data:image/png;base64,{PIXEL}"])
def test_img2img_sends_its_pictures_as_they_are(forge, form):
    answer = forge.run(
        kind="img2img", init_images=[form], mask=form, denoising_strength=0.5, resize_mode=1
    )
    run = forge.fake.log.runs()[-1]
    assert run.path == "/sdapi/v1/img2img"
    assert run.payload["init_images"] == [form]
    assert run.payload["mask"] == form
    assert (run.payload["denoising_strength"], run.payload["resize_mode"]) == (0.5, 1)
    assert len(answer.pictures) == 1
