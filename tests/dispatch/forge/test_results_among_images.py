"""Results are images[index_of_first_image : len(infotexts)]: no grid, no detected maps."""

import base64
import uuid

import pytest

from dispatch.dispatchers.base import BackendError, ErrorClass
from tests.dispatch.forge.helpers import PIXEL, answered, http, order


def test_every_picture_of_batches_has_its_own_seed_and_infotext(forge):
    answer = forge.run(batch_size=2, n_iter=2, seed=500)
    assert [picture.seed for picture in answer.pictures] == [500, 501, 502, 503]
    for picture in answer.pictures:
        assert f"Seed: {picture.seed}," in picture.infotext
        assert picture.data.startswith(b"\x89PNG")
        assert picture.infotext.encode() in picture.data, "the PNG says the same"
    assert answer.generation_info["all_seeds"] == [500, 501, 502, 503]
    assert answer.generation_info["image_count"] == 4


def test_grid_before_the_pictures_is_left_out(forge):
    answer = forge.run(batch_size=2, save_images=True, seed=500)
    assert len(answer.pictures) == 2
    assert [picture.seed for picture in answer.pictures] == [500, 501]
    for picture in answer.pictures:
        assert picture.infotext.encode() in picture.data


def test_maps_that_controlnet_adds_are_left_out(forge):
    unit = {"enabled": True, "module": "None", "model": "None", "image": PIXEL}
    answer = forge.run(alwayson_scripts={"ControlNet": {"args": [unit]}}, batch_size=2)
    assert len(answer.pictures) == 2
    assert all("Seed:" in picture.infotext for picture in answer.pictures)


def test_data_url_is_a_picture_as_well(scripted):
    driver = scripted(http(body=answered([f"data:image/png;base64,{PIXEL}"]))).driver()
    answer = driver.run(driver.prepare(order(), None), uuid.uuid4())
    assert answer.pictures[0].data == base64.b64decode(PIXEL)


def test_answer_without_pictures_is_tried_again(forge):
    forge.faults.add("no_images")
    with pytest.raises(BackendError) as caught:
        forge.run()
    assert caught.value.error_class is ErrorClass.TRANSIENT
    assert caught.value.code == "no_images"


def test_pictures_are_sent_back_whatever_the_job_says(forge):
    answer = forge.run(send_images=False)
    assert len(answer.pictures) == 1
    assert "send_images" not in forge.sent
