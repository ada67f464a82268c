"""Whatever answers 200: the job gets a reason, the lane lives, memory and time stay bounded."""

import base64
import json
import tempfile
import time
import uuid

import psutil
import pytest

from dispatch.dispatchers.base import BackendError, ErrorClass, LostAnswer, NeverReached
from dispatch.dispatchers.forge import dispatcher
from dispatch.dispatchers.forge.post import MAX_ANSWER_BYTES
from tests.dispatch.forge.helpers import PIXEL, answered, http, order

MB = 2**20


def run(driver, **params):
    return driver.run(driver.prepare(order(**params), None), uuid.uuid4())


def changed(**fields):
    """Return a good answer with some fields of the body changed."""
    return {**answered(), **fields}


def raw_info(text):
    return changed(info=text)


BAD = {
    "empty": b"",
    "no JSON": b"Hello",
    "half a JSON": b'{"images": ["iVBOR',
    "not UTF-8": b'{"images": ["\xff\xfe"]}',
    "a list": b"[]",
    "a string": b'"x"',
    "null": b"null",
    "no fields": b"{}",
    "JSON bomb": b"[" * 1_000_000,
    "JSON bomb inside": b'{"images": ' + b"[" * 500_000,
    "no images": {"info": "{}"},
    "images is null": changed(images=None),
    "images is text": changed(images="iVBORw0KGgo"),
    "images is an object": changed(images={"0": "x"}),
    "an image is a number": changed(images=[5]),
    "an image is null": changed(images=[None]),
    "an image is no base64": changed(images=["%%% not base64 %%%"]),
    "an image is a broken data URL": changed(images=["data:image/png;base64,%%%"]),
    "an image is not ASCII": changed(images=["äöü"]),
    "info is null": changed(info=None),
    "info is an object": changed(info={}),
    "info is no JSON": raw_info("Steps: 20"),
    "info is a number": raw_info("5"),
    "info is a list": raw_info("[]"),
    "info is a JSON bomb": raw_info("[" * 500_000),
    "info nests an object without end": raw_info('{"a":' * 100_000),
    "no infotexts": raw_info("{}"),
    "infotexts is null": answered(infotexts=None),
    "infotexts is text": answered(infotexts="a cat"),
    "negative index": answered(index_of_first_image=-1),
    "index is text": answered(index_of_first_image="0"),
    "index is a fraction": answered(index_of_first_image=0.5),
    "index is endless": raw_info('{"infotexts": ["a"], "index_of_first_image": 1e999}'),
    "seeds is a number": answered(all_seeds=5),
    "a thousand and one pictures": answered([PIXEL] * 1001),
}


@pytest.mark.parametrize("name", BAD)
def test_answer_that_can_not_be_read_is_lost_with_a_reason(scripted, name):
    with pytest.raises(LostAnswer) as caught:
        run(scripted(http(body=BAD[name])).driver())
    assert caught.value.code == "bad_answer"
    assert caught.value.message and caught.value.hint


@pytest.mark.parametrize(
    "body",
    [
        answered(images=[]),
        answered(infotexts=[]),
        answered(index_of_first_image=1),
        answered(index_of_first_image=2**63),
    ],
)
def test_answer_without_a_single_result_is_tried_again(scripted, body):
    with pytest.raises(BackendError) as caught:
        run(scripted(http(body=body)).driver())
    assert (caught.value.error_class, caught.value.code) == (ErrorClass.TRANSIENT, "no_images")


def test_more_infotexts_than_images_give_as_many_pictures_as_there_are(scripted):
    answer = run(scripted(http(body=answered(infotexts=["a", "b", "c"]))).driver())
    assert [picture.infotext for picture in answer.pictures] == ["a"]


@pytest.mark.parametrize("seeds", [[], None, ["x"], [True], [-1], [2**70], [1.5]])
def test_seed_that_is_none_is_left_out(scripted, seeds):
    answer = run(scripted(http(body=answered(all_seeds=seeds))).driver())
    assert answer.pictures[0].seed is None


def test_what_can_not_be_stored_is_taken_out(scripted):
    infotext = "a \0 cat \ud83d\nSteps: 2"
    extra = {"a\0b": float("nan"), "deep": [[[[[[[[1]]]]]]]], "big": 10**400}
    body = answered(
        infotexts=[infotext],
        sd_model_name="x\0" + "y" * 10_000,
        sampler_name="z\ud83d" * 1000,
        extra_generation_params=extra,
        cfg_scale=float("inf"),
        version=["v"] * 10,
    )
    answer = run(scripted(http(body=body)).driver())
    stored = json.dumps(answer.generation_info, allow_nan=False)
    texts = [stored, answer.checkpoint, answer.pictures[0].infotext, *answer.warnings]
    for text in texts:
        assert text.encode()
        assert "\0" not in text
        assert "\\u0000" not in text
        assert "\\ud83d" not in text
    assert answer.pictures[0].infotext == "a  cat ?\nSteps: 2"
    assert len(answer.checkpoint) <= 500
    assert answer.generation_info["cfg_scale"] is None
    assert all(len(warning) < 1100 for warning in answer.warnings)


def test_texts_of_a_large_batch_do_not_swell_the_jobs_row(scripted):
    prompt = "a cat, " * 9000
    body = answered([PIXEL] * 64, prompt=prompt, all_prompts=[prompt] * 64, steps=20)
    answer = run(scripted(http(body=body)).driver(), batch_size=64)
    assert len(answer.pictures) == 64
    assert len(json.dumps(answer.generation_info)) < 150_000
    assert answer.generation_info["prompt"] == prompt
    assert answer.generation_info["steps"] == 20


@pytest.mark.parametrize("declare_size", [True, False])
def test_endless_answer_ends_in_little_time_memory_and_disk(forge, declare_size):
    request = forge.prepare()
    forge.faults.add("huge_answer", size=10 * 1024 * MB, declare_size=declare_size)
    process = psutil.Process()
    before, written = process.memory_info().rss, process.io_counters().write_chars
    started = time.monotonic()
    with pytest.raises(LostAnswer) as caught:
        forge.dispatcher.run(request, uuid.uuid4())
    assert caught.value.code == "answer_too_large"
    assert time.monotonic() - started < 20
    assert process.memory_info().rss - before < 24 * MB
    # The fake writes from this same process: what both wrote is twice the limit at most.
    assert process.io_counters().write_chars - written < 100 * MB


def test_room_for_an_answer_grows_with_what_was_asked(forge):
    def room(**params):
        return dispatcher._room(forge.prepare(inventory=None, **params))

    small = room()
    assert 32 * MB < small < 40 * MB
    assert room(width=1024, height=1024, n_iter=8) > small + 8 * 1024 * 1024 * 4
    assert room(width=1024, height=1024, enable_hr=True, hr_scale=4) > 16 * 1024 * 1024 * 4
    assert room(width=8192, height=8192, batch_size=64) == MAX_ANSWER_BYTES
    assert room(script_name="x/y/z plot") == MAX_ANSWER_BYTES


def test_large_good_answer_is_read_without_holding_it_many_times(scripted):
    picture = base64.b64encode(b"\x89PNG" + b"\0" * (12 * MB)).decode()
    content = http(body=answered([picture] * 2))
    driver = scripted(content).driver()
    process = psutil.Process()
    before = process.memory_info().rss
    answer = run(driver, width=1024, height=1024, batch_size=2)
    kept = sum(len(picture.data) for picture in answer.pictures)
    assert kept == 2 * (12 * MB + 4)
    assert process.memory_info().rss - before < kept + 3 * len(content)


def test_disk_that_is_full_is_our_trouble_and_says_so(scripted, monkeypatch):
    class Full(tempfile.SpooledTemporaryFile):
        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", Full)
    with pytest.raises(LostAnswer) as caught:
        run(scripted(http(body=answered())).driver())
    assert caught.value.code == "disk_full"
    assert "No space left" in caught.value.message


def test_lists_of_any_shape_are_an_error_and_no_crash(scripted):
    bodies = [b"{}", b"null", b"[5]", b'[{"x": 1}]', b'"text"', b"[" * 100_000, b"[null]"]
    for body in bodies:
        with pytest.raises((BackendError, NeverReached)):
            scripted(http(body=body)).driver().inventory()


def test_endless_list_ends_in_little_memory(forge):
    forge.faults.add("huge_answer", path="/sdapi/v1/samplers", size=10 * 1024 * MB)
    process = psutil.Process()
    before = process.memory_info().rss
    with pytest.raises(NeverReached, match="too large"):
        forge.dispatcher.inventory()
    assert process.memory_info().rss - before < 80 * MB
    assert forge.dispatcher.inventory().samplers
