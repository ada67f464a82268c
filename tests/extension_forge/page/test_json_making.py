"""Whatever a script keeps in its inputs becomes JSON, or a sentence that names the place."""

import base64
import dataclasses
import enum
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mobilesd_forge.payload import CannotQueue, jsonable
from PIL import Image

from tests.extension_forge.page.likenesses import Array, Numbers


class Mode(enum.Enum):
    BALANCED = "Balanced"
    DEEP = ("a", 1)


class Word(enum.StrEnum):
    SIMPLE = "simple"


@dataclasses.dataclass
class Unit:
    mode: Any
    values: Any


PICTURES = st.sampled_from(["L", "RGB", "RGBA", "1", "CMYK"]).map(
    lambda mode: Image.new(mode, (2, 3))
)
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.sampled_from(Mode),
    st.sampled_from(Word),
    PICTURES,
    PICTURES.filter(lambda picture: picture.mode in ("L", "RGB", "RGBA")).map(Array),
    st.lists(st.floats()).map(Numbers),
    st.just(object()),
    st.just(Path("/srv/forge")),
)
ANYTHING = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.sampled_from(Word)), inner),
        st.builds(Unit, inner, inner),
    ),
)


@given(ANYTHING)
def test_anything_becomes_valid_json_or_a_sentence(value: Any) -> None:
    try:
        made = jsonable(value, "X, setting 1")
    except CannotQueue as refusal:
        assert str(refusal).startswith("X, setting 1")
        assert str(refusal).endswith((".", "it."))
        return
    text = json.dumps(made, allow_nan=False)
    text.encode()
    assert json.loads(text) == made


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**64) + 1, 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    ),
    lambda inner: st.one_of(
        st.lists(inner),
        st.dictionaries(
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), inner
        ),
    ),
)


@given(JSON)
def test_what_is_json_already_stays_as_it_is(value: Any) -> None:
    made = jsonable(value, "X")
    assert json.dumps(made) == json.dumps(value)


def test_an_enum_becomes_its_value_also_one_that_is_text() -> None:
    made = jsonable([Mode.BALANCED, Word.SIMPLE, Mode.DEEP], "X")
    assert made == ["Balanced", "simple", ["a", 1]]
    assert type(made[1]) is str


def test_a_picture_becomes_png_without_what_came_with_its_file() -> None:
    picture = Image.new("RGBA", (3, 2), (1, 2, 3, 4))
    picture.info = {"parameters": "a secret prompt", "icc_profile": b"of a camera"}
    read = Image.open(io.BytesIO(base64.b64decode(jsonable(picture, "X"))))
    assert (read.format, read.mode, read.size) == ("PNG", "RGBA", (3, 2))
    assert read.tobytes() == picture.tobytes()
    assert read.info == {}


def test_an_array_of_bytes_is_a_picture_and_one_of_numbers_a_list() -> None:
    picture = Image.effect_noise((4, 3), 50)
    read = Image.open(io.BytesIO(base64.b64decode(jsonable(Array(picture), "X"))))
    assert read.tobytes() == picture.tobytes()
    assert jsonable(Numbers([0.5, 2.0]), "X") == [0.5, 2.0]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (math.nan, "no finite number"),
        ([1, {"a": -math.inf}], "X, a is no finite number"),
        (b"\1", "a value of the kind bytes"),
        (2**64, "larger than 2^64"),
        ("a\0b", "NUL"),
        ("\ud800", "half of a character"),
        ({None: 1}, "whose name is neither"),
        ({1: 1, "1": 2}, "two entries that would both be called 1"),
        ({"NaN": Numbers([math.nan])}, "X, NaN is no finite number"),
    ],
)
def test_what_json_can_not_say_is_refused_with_its_place(value: Any, says: str) -> None:
    with pytest.raises(CannotQueue, match=says.replace("^", r"\^")):
        jsonable(value, "X")


def test_what_holds_itself_is_refused_and_what_stands_twice_is_not() -> None:
    loop: list[Any] = [1]
    loop.append({"again": loop})
    with pytest.raises(CannotQueue, match="holds itself"):
        jsonable(loop, "X")
    shared = [1]
    assert jsonable([shared, shared], "X") == [[1], [1]]


def test_what_grows_without_end_is_refused_soon() -> None:
    value: Any = [1]
    for _ in range(20):
        value = [value, value]  # a million entries, twenty lists
    with pytest.raises(CannotQueue, match="more than 100,000 entries"):
        jsonable(value, "X")
    deep: Any = 1
    for _ in range(1_000):
        deep = [deep]
    with pytest.raises(CannotQueue, match="levels deep"):
        jsonable(deep, "X")
