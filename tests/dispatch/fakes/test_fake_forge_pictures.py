"""What the pictures are made of, and what is written about them."""

import base64
import io
import time

import pytest
from PIL import Image

from dispatch.fakes.forge import pictures
from dispatch.fakes.forge.pictures import Sketch
from tests.dispatch.fakes.helpers import PIXEL, RANDOM_A, RANDOM_B, info, picture


def only_image(response):
    (image,) = response.json()["images"]
    return image


def test_same_request_gives_the_same_bytes(client):
    assert only_image(client.txt2img()) == only_image(client.txt2img())


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4321},
        {"prompt": "a dog"},
        {"negative_prompt": "sharp"},
        {"steps": 3},
        {"cfg_scale": 5},
        {"sampler_name": "Euler a"},
        {"override_settings": {"sd_model_checkpoint": RANDOM_B.name}},
        {"override_settings": {"CLIP_stop_at_last_layers": 2}},
        {"prompt": "a cat <lora:random_lora:1>"},
    ],
)
def test_other_parameters_give_another_picture(client, change):
    before = picture(only_image(client.txt2img())).tobytes()
    assert picture(only_image(client.txt2img(**change))).tobytes() != before


def test_batch_picture_is_the_same_as_alone(client):
    batch = client.txt2img(seed=7, batch_size=2, n_iter=2).json()["images"]
    assert batch[2] == only_image(client.txt2img(seed=9))


def test_infotext_is_in_the_png(client):
    answer = client.txt2img()
    assert picture(only_image(answer)).info["parameters"] == info(answer)["infotexts"][0]


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"width": 640, "height": 384}, (640, 384)),
        ({"enable_hr": True, "hr_scale": 1.5, "hr_upscaler": "Latent"}, (96, 96)),
        ({"enable_hr": True, "hr_resize_x": 200, "hr_upscaler": "Lanczos"}, (200, 200)),
        ({"enable_hr": True, "hr_resize_x": 128, "hr_resize_y": 96}, (128, 96)),
    ],
)
def test_picture_has_the_requested_size(client, fields, size):
    answer = client.txt2img(hr_additional_modules=["Use same choices"], **fields)
    assert picture(only_image(answer)).size == size


def test_default_picture_has_512_pixels_and_50_steps(client):
    answer = client.post("/sdapi/v1/txt2img", {})
    assert picture(only_image(answer)).size == (512, 512)
    assert info(answer)["steps"] == 50


def test_absurd_size_is_out_of_memory_and_does_not_use_it(client):
    answer = client.txt2img(width=100_000, height=100_000)
    assert (answer.status_code, answer.json()["error"]) == (500, "OutOfMemoryError")


def test_a_billion_steps_take_no_longer_than_one(serve):
    client = serve(seconds=0.2)
    assert client.txt2img(steps=10**9).status_code == 200
    run = client.runs()[0]
    assert run["ended_at"] - run["started_at"] < 2


def test_nan_gives_a_black_picture(client):
    answer = client.call(
        "POST",
        "/sdapi/v1/txt2img",
        data='{"cfg_scale": NaN, "width": 64, "height": 64}',
        headers={"content-type": "application/json"},
    )
    assert picture(only_image(answer)).getbbox() is None


def test_img2img_starts_from_the_init_image(client):
    white = base64.b64encode(_png(Image.new("RGB", (64, 64), "white"))).decode()
    faint = picture(only_image(client.img2img(init_images=[white], denoising_strength=0.05)))
    assert min(low for low, _ in faint.getextrema()) > 200
    strong = picture(only_image(client.img2img(init_images=[white], denoising_strength=1)))
    assert strong.tobytes() != faint.tobytes()


def test_mask_keeps_the_rest_of_the_init_image(client):
    left = Image.new("L", (64, 64))
    left.paste(255, (0, 0, 32, 64))
    mask = base64.b64encode(_png(left)).decode()
    image = picture(only_image(client.img2img(mask=mask, denoising_strength=1)))
    start = picture(PIXEL).convert("RGB")
    right = (32, 0, 64, 64)
    assert image.crop(right).tobytes() == start.crop(right).tobytes()
    assert image.tobytes() != start.tobytes()


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("random_a.safetensors", "random_a"),
        ("random_a", "random_a"),
        ("Pony/random_b.safetensors", "random_b"),
        ("Pony/random_b.safetensors [8a62674095]", "random_b"),
        ("Pony_random_b", "random_b"),
        ("random_b", "random_b"),
        ("8a62674095", "random_b"),
        (RANDOM_B.sha256, "random_b"),
        (RANDOM_B.old_hash, "random_b"),
        # Not names: dropped silently, the selected model is used.
        ("random_b.safetensors", "random_full"),
        ("Pony/random_b", "random_full"),
        ("Pony\\random_b.safetensors", "random_full"),
        (RANDOM_A.short_hash, "random_full"),  # not known before its first load
    ],
)
def test_names_that_select_a_checkpoint(serve, name, model):
    client = serve(options={"sd_model_checkpoint": "random_full.safetensors"})
    answer = client.txt2img(override_settings={"sd_model_checkpoint": name})
    assert info(answer)["sd_model_name"] == model
    known = model != "random_full"
    assert ("sd_model_checkpoint" in answer.json()["parameters"]["override_settings"]) == known


def test_title_gains_its_hash_with_the_first_load(client):
    before = client.get("/sdapi/v1/sd-models").json()[0]
    assert (before["title"], before["hash"]) == ("random_a.safetensors", None)
    client.txt2img()
    after = client.get("/sdapi/v1/sd-models").json()[0]
    assert after["title"] == "random_a.safetensors [e1758bd15a]"
    assert after["sha256"] == RANDOM_A.sha256


def test_load_time_is_paid_only_when_the_checkpoint_changes(serve):
    client = serve(load_seconds=0.15)
    b = {"override_settings": {"sd_model_checkpoint": RANDOM_B.name}}
    for fields in ({}, {}, b, b, {}):
        client.txt2img(**fields)
    took = [run["ended_at"] - run["started_at"] for run in client.runs()]
    assert [seconds > 0.14 for seconds in took] == [True, False, True, False, True]
    used = [run["checkpoint"] for run in client.runs()]
    assert used == [RANDOM_A.name] * 2 + [RANDOM_B.name] * 2 + [RANDOM_A.name]


def test_selectable_script_is_refused_as_always_on(client):
    answer = client.txt2img(alwayson_scripts={"X/Y/Z plot": {"args": []}})
    assert answer.status_code == 422


def test_scripts_of_further_extensions_can_be_added(serve):
    scripts = {"alwayson_scripts": {"StableQueue": {"args": [False]}}}
    assert serve().txt2img(**scripts).status_code == 422
    assert serve(scripts=["StableQueue"]).txt2img(**scripts).status_code == 200


def test_drawing_is_fast():
    times = []
    for seed in range(10):
        start = time.perf_counter()
        image = pictures.draw(Sketch(seed, "a cat in the sun", "model", "", 512, 512))
        pictures.encode(image, "text")
        times.append(time.perf_counter() - start)
    assert min(times) < 0.05


def _png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
