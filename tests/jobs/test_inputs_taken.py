"""Which inputs are taken out of the parameters, which stay, and which are refused."""

import base64
import io
import json
from collections.abc import Mapping
from typing import Any

import pytest
from PIL import Image

from apikeys.actors import SYSTEM, Actor
from jobs import inputs
from jobs.inputs import BIG, MARK, input_store, restore, take
from jobs.ports import ports
from mobilesd.errors import InvalidInput, Unavailable


def picture(side: int = 8, kind: str = "PNG", *, noisy: bool = False) -> bytes:
    image = Image.effect_noise((side, side), 90) if noisy else Image.new("RGB", (side, side))
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def url(data: bytes, mime: str = "image/png") -> str:
    return f"data:{mime};base64,{b64(data)}"


BIG_PNG = picture(80, noisy=True)
assert len(BIG_PNG) > BIG


def refusal(params: dict[str, Any], actor: Actor = SYSTEM) -> InvalidInput:
    with pytest.raises(InvalidInput) as refused:
        take(params, actor)
    assert not input_store().root.exists()  # nothing is written for what is refused
    return refused.value


def test_a_big_picture_becomes_a_file_and_comes_back() -> None:
    params = {"positive_prompt": "a fox", "init_images": [b64(BIG_PNG)]}
    taken = take(params, SYSTEM)
    [reference] = taken.params["init_images"]
    [file] = taken.files
    assert reference == {
        MARK: file.sha256,
        "mime": "image/png",
        "bytes": len(BIG_PNG),
        "form": "base64",
    }
    assert input_store().read(file.sha256) == BIG_PNG
    assert (file.mime, file.size, file.content()) == ("image/png", len(BIG_PNG), BIG_PNG)
    assert restore(taken.params) == params


def test_a_data_url_comes_back_as_a_data_url() -> None:
    params = {"init_images": [url(BIG_PNG)], "mask": url(BIG_PNG, "image/x-png")}
    taken = take(params, SYSTEM)
    assert taken.params["init_images"][0]["form"] == "data-url"
    assert taken.params["mask"]["mime"] == "image/x-png"
    assert len(taken.files) == 1
    assert restore(taken.params) == params


def test_big_values_are_found_at_any_depth() -> None:
    latents = b"\x93NUMPY" + bytes(range(256)) * 30
    params = {
        "alwayson_scripts": {"ControlNet": {"args": [{"image": {"image": url(BIG_PNG)}}, None]}},
        "script_args": [[b64(latents)], 1.0],
    }
    taken = take(params, SYSTEM)
    assert len(json.dumps(taken.params)) < 700
    image = taken.params["alwayson_scripts"]["ControlNet"]["args"][0]["image"]["image"]
    assert image["mime"] == "image/png"
    assert taken.params["script_args"][0][0]["mime"] == "application/octet-stream"
    assert restore(taken.params) == params


def test_small_pictures_stay_but_are_looked_at() -> None:
    params = {"init_images": [b64(picture())], "mask": url(picture(kind="WEBP"), "image/webp")}
    taken = take(params, SYSTEM)
    assert taken.params == params
    assert list(taken.files) == []
    assert "is a broken PNG picture" in refusal({"init_images": [b64(picture()[:-30])]}).message


def test_long_texts_are_left_alone() -> None:
    params = {
        "positive_prompt": "fox" * 5000,
        "hr_prompt": "a" * 8192,
        "wildcards": "a red fox in the snow, " * 400,
        "words": "red fox " * 1000,
        "notes": "ä" * 5000,
        "style": "data:text/plain," + "x" * 5000,
        "css": "data:text/css;base64,%" + "x" * 5000,
    }
    taken = take(params, SYSTEM)
    assert taken.params == params
    assert list(taken.files) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:100] + "\n" + text[100:],
        lambda text: text.rstrip("="),
        lambda text: f" {text} ",
        lambda text: f"data:image/png;name=a.png;base64,{text}",
        lambda text: f"DATA:image/PNG;BASE64,{text}",
    ],
)
def test_strings_that_encoding_would_not_repeat_come_back_exactly(spoil: Any) -> None:
    data = BIG_PNG + b"\0" * (3 - len(BIG_PNG) % 3 + 1)  # so that there is padding to lose
    text = spoil(b64(data))
    params = {"init_images": [text], "script_args": [text]}
    taken = take(params, SYSTEM)
    assert taken.params["init_images"][0]["form"] == "text"
    assert taken.params["init_images"] == taken.params["script_args"]
    assert restore(taken.params) == params


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("hello, there", "is neither base64 nor a base64 data: URL."),
        ("", "is neither base64"),
        ("data:image/png;base64,", "is neither base64"),
        ("data:image/png,abc", "is neither base64"),
        (b64(b"plain text"), "is no PNG, JPEG, WebP or GIF picture."),
        (url(b"plain text"), "is no PNG, JPEG, WebP or GIF picture."),
        (url(b"<svg/>", "image/svg+xml"), "is no PNG, JPEG, WebP or GIF picture."),
        (b64(picture(kind="BMP")), "is no PNG, JPEG, WebP or GIF picture."),
        (b64(BIG_PNG[:-200]), "is a broken PNG picture."),
        (b64(picture(64, "JPEG", noisy=True)[:-300]), "is a JPEG picture that is cut off."),
        (b64(picture(64, "WEBP", noisy=True)[:-300]), "is a broken WEBP picture."),
        (b64(b"\x89PNG\r\n\x1a\n" + b"rubbish" * 9), "is a broken PNG picture."),
        ("https://example.org/a.png", "is a web address. Download the picture and send it"),
        ("HTTP://127.0.0.1/a.png", "is a web address."),
        (5, "must be a picture"),
        ({"image": 0}, "is no reference."),
        ({"image_id": 5}, "is no reference."),
        ({"image_id": "a", "job": "b"}, "is no reference."),
        ({"job": "a", "image": True}, "is no reference."),
        ({"job": "a", "image": -1}, "is no reference."),
        ({"url": "https://example.org/a.png"}, "is no reference."),
    ],
)
def test_what_is_no_picture_is_refused_where_one_is_needed(value: Any, sentence: str) -> None:
    problem = refusal({"init_images": [b64(picture()), value]})
    assert problem.message.startswith("generation_params.init_images.1 ")
    assert sentence in problem.message
    assert list(problem.fields) == ["generation_params.init_images.1"]
    assert "generation_params.mask" in refusal({"mask": value}).fields


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_the_usual_formats_are_taken(kind: str) -> None:
    data = picture(90, kind, noisy=True)
    taken = take({"init_images": [b64(data)]}, SYSTEM)
    assert taken.params["init_images"][0]["mime"] == f"image/{kind.lower()}"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_that_is_cut_off_is_refused_wherever_it_was_cut(kind: str) -> None:
    whole = picture(64, kind, noisy=True)
    for end in range(20, len(whole) - 12, len(whole) // 12):
        with pytest.raises(InvalidInput):
            take({"init_images": [b64(whole[:end])]}, SYSTEM)


def test_the_end_of_a_thumbnail_is_not_taken_for_the_end_of_a_photo() -> None:
    photo, small = picture(64, "JPEG", noisy=True), picture(8, "JPEG")
    segment = b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small
    with_thumbnail = photo[:2] + segment + photo[2:]
    take({"init_images": [b64(with_thumbnail)]}, SYSTEM)
    with pytest.raises(InvalidInput, match="cut off"):
        take({"init_images": [b64(with_thumbnail[:-300])]}, SYSTEM)


def test_a_picture_of_100_megapixels_is_refused_by_its_header() -> None:
    stream = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(stream, "PNG")
    bomb = bytearray(stream.getvalue())
    assert len(bomb) < 20_000
    for value in (b64(bytes(bomb)), url(bytes(bomb))):
        message = refusal({"init_images": [value]}).message
        assert "is a picture of 100 megapixels. The limit is 64" in message
        assert "100 megapixels" in refusal({"alwayson_scripts": {"x": {"args": [value]}}}).message
    bomb[16:24] = b"\x7f\xff\xff\xff" * 2
    message = refusal({"init_images": [b64(bytes(bomb))]}).message
    assert "megapixels" in message or "broken" in message


def test_a_broken_data_url_is_refused_at_any_depth() -> None:
    path = "generation_params.script_args.0"
    assert path in refusal({"script_args": [url(b"no picture" * 1000)]}).fields
    assert path in refusal({"script_args": [url(BIG_PNG[:-100])]}).fields
    assert "broken" in refusal({"script_args": [url(BIG_PNG)[:-2] + "%%"]}).message


@pytest.mark.parametrize(
    "wrap",
    [
        lambda mark: {"init_images": [mark]},
        lambda mark: {"mask": mark},
        lambda mark: {"script_args": [[{"a": mark}]]},
        lambda mark: mark,
    ],
)
def test_nobody_can_ask_for_a_stored_file_by_its_hash(wrap: Any) -> None:
    take({"init_images": [b64(BIG_PNG)]}, SYSTEM)
    stored = take({"init_images": [b64(BIG_PNG)]}, SYSTEM).params["init_images"][0]
    for mark in (stored, {MARK: stored[MARK]}, {**stored, "image_id": "x"}):
        with pytest.raises(InvalidInput, match="which is MobileSD's own"):
            take(wrap(mark), SYSTEM)


def test_an_earlier_picture_is_resolved_as_its_actor_may_see_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    me = Actor(user_id=7)
    asked = []

    def earlier(reference: Mapping[str, Any], actor: Actor) -> tuple[bytes, str]:
        asked.append((dict(reference), actor))
        if actor != me:
            raise InvalidInput("There is no such picture.", hint="Name one of yours.")
        return picture(), "image/png"

    monkeypatch.setattr(ports, "picture_bytes", earlier)
    by_id, by_job = {"image_id": "1f"}, {"job": "2e", "image": 1}
    taken = take({"init_images": [by_id, by_job], "mask": {"job": "2e"}}, me)
    assert restore(taken.params) == {"init_images": [b64(picture())] * 2, "mask": b64(picture())}
    assert len(taken.files) == 1
    assert (by_id, me) in asked
    assert (by_job, me) in asked
    with pytest.raises(InvalidInput) as refused:
        take({"init_images": [by_id]}, Actor(user_id=8))
    problem = refused.value
    assert "can't be resolved. There is no such picture." in problem.message
    assert problem.hint == "Name one of yours."
    assert list(problem.fields) == ["generation_params.init_images.0"]


def test_an_earlier_picture_whose_file_is_gone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(reference: Mapping[str, Any], actor: Actor) -> tuple[bytes, str]:
        raise FileNotFoundError

    monkeypatch.setattr(ports, "picture_bytes", gone)
    assert "file is gone" in refusal({"init_images": [{"image_id": "1f"}]}).message


def test_parameters_that_stay_too_large_are_refused_as_too_large() -> None:
    params = {"positive_prompt": "a fox", "notes": ["some words " * 30] * 1000}
    problem = refusal(params)
    assert (problem.status, problem.error) == (413, "payload_too_large")
    assert "the largest part is notes" in problem.message
    take({"notes": "w " * 125_000}, SYSTEM)


def test_too_many_bytes_of_pictures_in_one_job_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inputs, "MAX_INPUT_BYTES", 3 * len(BIG_PNG))
    take({"init_images": [b64(BIG_PNG)] * 3}, SYSTEM)
    with pytest.raises(InvalidInput) as refused:
        take({"init_images": [b64(BIG_PNG)] * 4}, SYSTEM)
    assert refused.value.status == 413


def test_a_full_disk_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mobilesd.storage.write_whole", full)
    with pytest.raises(Unavailable) as refused:
        take({"init_images": [b64(BIG_PNG)]}, SYSTEM)
    assert "No space left on device" in refused.value.message
    assert refused.value.status == 503
