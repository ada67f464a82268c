"""restore(take(x)) is x, to the byte, whatever x is."""

import base64
import json
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apikeys.actors import SYSTEM
from jobs import encoded, inputs
from jobs.inputs import MARK, restore, take
from mobilesd.errors import InvalidInput
from tests.factories import png

ALPHABET = "ABCDwxyz0189+/=-_ \n,;:%data:image/png;base64,"


def _spoiled(text: str, where: int, inserted: str) -> str:
    where %= len(text) + 1
    return text[:where] + inserted + text[where:]


encodings = st.binary(max_size=60).map(lambda data: base64.b64encode(data).decode())
heads = st.sampled_from(
    ["", "data:image/png;base64,", "data:;base64,", "data:a/b;c=d;base64,", "data:a/B;base64,"]
)
near_base64 = st.builds(
    lambda head, text, where, inserted: head + _spoiled(text, where, inserted),
    heads,
    encodings,
    st.integers(0, 99),
    st.text(ALPHABET, max_size=3),
)
strings = near_base64 | st.text(ALPHABET, max_size=40) | st.text(max_size=20)
keys = st.text(max_size=6) | st.sampled_from(["script_args", "alwayson_scripts", "hr_prompt"])
values = st.recursive(
    strings | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


def _round_trip(params: dict[str, Any]) -> None:
    with patch.object(inputs, "BIG", 4):  # so that short strings pass for big ones
        try:
            taken = take(params, SYSTEM)
        except InvalidInput:
            return
    stored = json.loads(json.dumps(taken.params))
    assert json.dumps(restore(stored)) == json.dumps(params)
    for file in taken.files:
        assert inputs.input_store().read(file.sha256) == file.content()
        assert len(file.content()) == file.size


@given(st.dictionaries(keys.filter(lambda key: key not in {MARK, "mask"}), values, max_size=5))
def test_parameters_come_back_as_they_were(params: dict[str, Any]) -> None:
    _round_trip(params)


@given(heads, st.integers(0, 200), st.text(" \n=", max_size=2), st.binary(max_size=3))
def test_pictures_come_back_as_they_were(
    head: str, where: int, inserted: str, trailer: bytes
) -> None:
    text = base64.b64encode(png() + trailer).decode()
    _round_trip({"init_images": [head + _spoiled(text, where, inserted), head + text]})


@given(strings)
def test_what_is_taken_apart_goes_together_again(value: str) -> None:
    found = encoded.decode(value)
    if found is not None:
        assert encoded.encode(found.form, found.mime, found.stored) == value


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("QR==", b"A"),  # stray bits before the padding: decodes like QQ==
        ("0AAA=", b"\xd0\0\0"),  # more padding than there is to pad
        ("QQ", b"A"),
    ],
)
def test_base64_that_encoding_would_not_repeat_is_kept_as_text(value: str, content: bytes) -> None:
    found = encoded.decode(value)
    assert found is not None
    assert (found.form, found.content, found.stored) == ("text", content, value.encode())
