"""Text that is meant to cost time: each kind is read in time that grows with its length only."""

import time

import pytest

from jobs.infotext import MAX_BYTES, parse
from jobs.infotext.params import understand

LENGTH = 64 * 1024

HOSTILE = {
    "commas": ",",
    "colons": ":",
    "words": "a,",
    "quotes": 'a: "b, ',
    "escapes": 'a: "\\", ',
    "backslashes": "\\",
    "open tags": "<lora:",
    "tags": "<lora:a:1> ",
    "brackets": "[",
    "open lists": "a: [1, ",
    "open texts in lists": 'a: ["b", ',
    "objects": 'a: {"b": [1]}, ',
    "blanks": " ",
    "lines of fields": "Steps: 1, b: c, d: e\n",
    "negative prompts": "Negative prompt:\n",
    "units": "ControlNet 0: 1, ",
    "the same field": "Seed: 1, ",
    "lost line breaks": "Steps: 20, Sampler ",
    "digits": "9",
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("start", ["Steps: 1, ", 'Steps: 1, ControlNet 0: "'])
def test_a_long_text_is_read_in_bounded_time(start, kind):
    text = (start + HOSTILE[kind] * LENGTH)[:LENGTH]
    began = time.process_time()
    understand(parse(text), {})
    # It takes at most 0.3 s here; anything quadratic takes a minute.
    assert time.process_time() - began < 5


def test_more_than_the_longest_is_refused():
    assert parse("é" * (MAX_BYTES // 2)).prompt
    with pytest.raises(ValueError, match="256 kB, but has 257 kB"):
        parse("é" * (MAX_BYTES // 2) + "a")


def test_lists_of_any_depth_are_no_reason_to_fail():
    deep = "[" * LENGTH
    assert parse(f"Steps: 1, A: {deep}, B: 1").fields == (("Steps", "1"), ("A", deep), ("B", "1"))


def test_half_characters_and_nul_are_no_reason_to_fail():
    assert parse("a\0\ud800\nSteps: 1, A: \udfff").prompt == "a\0\ud800"
