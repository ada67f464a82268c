"""Upscaling: its own request and answer, the infotext that goes on, and what Forge hides of it."""

import base64
import io
import uuid

import pytest
from PIL import Image, PngImagePlugin

from dispatch.dispatchers.base import BackendError, ErrorClass, LostAnswer, Order, Presence
from dispatch.dispatchers.forge import ForgeDispatcher
from dispatch.inventory import ServerInventory
from jobs.choices import Kind
from tests.dispatch.forge.helpers import PIXEL, http, recording, wait_for

FACTS = "Postprocess upscale by: 2.0, Postprocess upscaler: Lanczos"
MADE = "a cat\nNegative prompt: blurry\nSteps: 2, Sampler: Euler, Seed: 1234, Size: 64x64"
STUCK = {"job": "Upscale", "job_count": 1, "job_no": 1, "sampling_step": 0, "sampling_steps": 3}


def encoded(width=16, height=8, infotext=""):
    picture, texts = io.BytesIO(), PngImagePlugin.PngInfo()
    if infotext:
        texts.add_text("parameters", infotext)
    Image.new("RGB", (width, height), "green").save(picture, "PNG", pnginfo=texts)
    return base64.b64encode(picture.getvalue()).decode()


def order(picture="", **params):
    wanted = {"init_images": [picture or encoded()], "upscaler": "Lanczos", "kind": "upscale"}
    return Order(kind=Kind.UPSCALE, params={**wanted, **params})


def run(forge, picture="", **params):
    request = forge.dispatcher.prepare(order(picture, **params), forge.dispatcher.inventory())
    return forge.dispatcher.run(request, uuid.uuid4())


def refused(known=None, picture="", **params):
    dispatcher = ForgeDispatcher.__new__(ForgeDispatcher)
    with pytest.raises(BackendError) as error:
        dispatcher.prepare(order(picture, **params), known)
    return error.value


def test_the_request_is_the_recorded_one():
    asked = recording("img2img/extra-single-image")["request"]
    dispatcher = ForgeDispatcher.__new__(ForgeDispatcher)
    request = dispatcher.prepare(order(asked["json"]["image"], upscale_by=2), None)
    assert (request.path, request.body) == (asked["path"], asked["json"])
    assert not request.uses_model


def test_the_recorded_answer_is_read(scripted):
    answer = recording("img2img/extra-single-image")["response"]["json"] | {"image": PIXEL}
    driver = scripted(http(body=answer)).driver()
    found = driver.run(driver.prepare(order(), None), uuid.uuid4())
    assert [picture.infotext for picture in found.pictures] == [FACTS]
    assert found.checkpoint == ""


def test_the_recorded_error_is_understood(scripted):
    answer = recording("img2img/extra-single-image-unknown")["response"]["json"]
    driver = scripted(http(500, answer)).driver()
    with pytest.raises(BackendError) as error:
        driver.run(driver.prepare(order(), None), uuid.uuid4())
    assert (error.value.error_class, error.value.code) == (ErrorClass.ELSEWHERE, "upscaler_missing")


def test_the_picture_gets_larger_and_no_token_is_sent(forge):
    answer = run(forge, upscale_by=3)
    [picture] = answer.pictures
    assert Image.open(io.BytesIO(picture.data)).size == (48, 24)
    assert set(forge.sent) == {"image", "upscaler_1", "upscaling_resize"}
    assert answer.generation_info["upscaler"] == "Lanczos"


def test_what_the_picture_says_of_itself_goes_on(forge):
    [picture] = run(forge, encoded(infotext=MADE)).pictures
    assert picture.infotext == f"{MADE}, {FACTS}"
    assert picture.seed == 1234


def test_a_second_time_is_added_to_the_first(forge):
    [picture] = run(forge, encoded(infotext=f"{MADE}, {FACTS}")).pictures
    assert picture.infotext == f"{MADE}, {FACTS}, {FACTS}"


@pytest.mark.parametrize("before", ["only words", "a\nNegative prompt: b\nNegative prompt: c"])
def test_what_no_infotext_can_say_is_kept_all_the_same(forge, before):
    [picture] = run(forge, encoded(infotext=before)).pictures
    assert picture.infotext == f"{before}\n{FACTS}"


def test_a_picture_without_words_says_what_was_done(forge):
    assert run(forge).pictures[0].infotext == FACTS


def test_the_name_is_sent_in_the_servers_own_spelling(forge):
    run(forge, upscaler="r-esrgan 4X+")
    assert forge.sent["upscaler_1"] == "R-ESRGAN 4x+"


@pytest.mark.parametrize("name", ["nope", "Latent"])
def test_an_upscaler_that_is_not_there_is_refused_before_anything_is_sent(forge, name):
    error = refused(forge.dispatcher.inventory(), upscaler=name)
    assert (error.error_class, error.code) == (ErrorClass.ELSEWHERE, "upscaler_missing")
    assert name in error.message and "Lanczos" in error.hint
    assert forge.fake.log.runs() == []


def test_a_server_whose_lists_are_unknown_is_asked():
    dispatcher = ForgeDispatcher.__new__(ForgeDispatcher)
    assert dispatcher.prepare(order(upscaler="nope"), None).body["upscaler_1"] == "nope"
    assert (
        dispatcher.prepare(order(upscaler="nope"), ServerInventory()).body["upscaler_1"] == "nope"
    )


def test_a_picture_that_turned_out_too_large_is_refused():
    error = refused(picture=encoded(2000, 1000), upscale_by=8)
    assert (error.error_class, error.code) == (ErrorClass.PERMANENT, "result_too_large")


def test_what_is_no_picture_is_refused():
    error = refused(picture=base64.b64encode(b"nothing").decode())
    assert (error.error_class, error.code) == (ErrorClass.PERMANENT, "init_image_invalid")


@pytest.mark.parametrize(
    "body", [[], "text", {}, {"image": 3}, {"image": "no base64!", "html_info": ""}]
)
def test_an_answer_of_another_shape_is_a_lost_one(scripted, body):
    driver = scripted(http(body=body)).driver()
    with pytest.raises(LostAnswer):
        driver.run(driver.prepare(order(), None), uuid.uuid4())


@pytest.mark.parametrize("image", [None, ""])
def test_an_answer_without_a_picture_is_tried_again(scripted, image):
    driver = scripted(http(body={"html_info": "", "image": image})).driver()
    with pytest.raises(BackendError) as error:
        driver.run(driver.prepare(order(), None), uuid.uuid4())
    assert error.value.code == "no_images"


@pytest.mark.parametrize("html_info", ["", None, "<script>a</script>" * 500, ["x"], "\x00"])
def test_strange_words_of_a_server_are_made_safe(scripted, html_info):
    driver = scripted(http(body={"html_info": html_info, "image": PIXEL})).driver()
    [picture] = driver.run(driver.prepare(order(), None), uuid.uuid4()).pictures
    assert picture.infotext == FACTS, "as it was asked for"


# --- What Forge shows of it ---------------------------------------------------------------


def test_forge_knows_no_token_of_an_upscale():
    assert not ForgeDispatcher.knows_by_token(Kind.UPSCALE)
    assert ForgeDispatcher.knows_by_token(Kind.TXT2IMG)


def test_while_it_runs_it_is_here_and_shows_no_part_that_is_done(drive):
    forge = drive(seconds=0.5)
    other = ForgeDispatcher(forge.dispatcher.address)
    token = uuid.uuid4()
    from threading import Thread

    thread = Thread(target=lambda: other.run(other.prepare(order(), None), token))
    thread.start()
    look = forge.dispatcher
    progress = wait_for(
        lambda: (p := look.progress(token, preview=False, task_ids=False)).active and p
    )
    assert (progress.fraction, progress.text, progress.sampling) == (0.0, "Upscaling", False)
    assert look.presence(token, task_ids=False) == Presence.HERE
    thread.join(10)
    assert look.presence(token, task_ids=False) == Presence.GONE
    other.close()


def test_a_failed_one_does_not_look_like_somebody_elses_work_for_ever(forge):
    with pytest.raises(BackendError):
        forge.dispatcher.run(forge.dispatcher.prepare(order(upscaler="nope"), None), uuid.uuid4())
    assert forge.fake.engine.state.job == "Upscale", "as the recording has it"
    assert forge.dispatcher.foreign_work() == ""


def test_less_memory_is_nothing_that_an_upscale_knows():
    params = {"kind": "upscale", "batch_size": 4, "upscaler": "Lanczos"}
    known = ServerInventory(scripts=("never oom integrated",))
    assert ForgeDispatcher.relieve(params, 1, known) is None
    assert ForgeDispatcher.relieve(params, 2, known) is None
