"""What is read from an infotext, however it was written."""

import pytest

from jobs.infotext import Infotext, Lora, parse

FIELDS = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x768"
PAIRS = (
    ("Steps", "20"),
    ("Sampler", "Euler a"),
    ("CFG scale", "7"),
    ("Seed", "1"),
    ("Size", "512x768"),
)


def test_prompts_and_fields_of_several_lines():
    info = parse(f"a fox,\n\n  by the sea\nNegative prompt: dull,\nblurry\n{FIELDS}")
    assert info == Infotext("a fox,\n\n  by the sea", "dull,\nblurry", PAIRS)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_newlines_of_all_systems_and_a_byte_order_mark(bom, newline):
    text = f"a fox\nred\nNegative prompt: dull\n{FIELDS}\n"
    assert parse(bom + text.replace("\n", newline)) == Infotext("a fox\nred", "dull", PAIRS)


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "a cat",
        "two\nlines",
        'she said "no", then: left',
        "(best quality:1.2), (sharp:1.1), (detail:1.3)",
        "a: b, c: d, e: f",
        "no Negative prompt: here",
        "the words Steps: 20 are here",
        "a cat\nwith Steps: 20, Sampler: Euler, Seed: 3 in it",
        "C:\\pictures\\new",
        "[cat:dog:0.5], <lora:a:1>, {x|y}",
        "style: x\nSteps: many",
    ],
)
def test_what_has_no_fields_is_all_prompt(prompt):
    assert parse(prompt) == Infotext(prompt)
    assert parse(f"{prompt}\nNegative prompt: no") == Infotext(prompt, "no")
    assert parse(f"{prompt}\n{FIELDS}") == Infotext(prompt, "", PAIRS)


def test_the_last_line_of_fields_counts():
    text = f"Steps: 1, Sampler: X, Seed: 2\nNegative prompt: no\nSteps: 9, Seed: 9, A: b\n{FIELDS}"
    prompt, negative = "Steps: 1, Sampler: X, Seed: 2", "no\nSteps: 9, Seed: 9, A: b"
    assert parse(text) == Infotext(prompt, negative, PAIRS)


@pytest.mark.parametrize("prompt", ["Steps: 1, Sampler: X, Seed: 2", "a\nSteps: 4\nof stone"])
def test_a_line_that_could_be_fields_is_prompt_before_the_negative_or_when_short(prompt):
    assert parse(f"{prompt}\nNegative prompt: no") == Infotext(prompt, "no")
    assert parse("a\nSteps: 4\nof stone") == Infotext("a\nSteps: 4\nof stone")


def test_only_the_first_mark_begins_the_negative_prompt():
    info = parse(f"a\nNegative prompt:b\nNegative prompt: c\n{FIELDS}")
    assert info.negative_prompt == "b\nNegative prompt: c"


@pytest.mark.parametrize("line", ["Steps: 4", "Steps: 4, ", "Sampler: Euler, Seed: 1, Foo: bar"])
def test_few_fields_are_fields(line):
    assert parse(f"a cat\n{line}").prompt == "a cat"


def test_text_behind_the_fields_is_kept_apart():
    info = parse(f"a cat\n{FIELDS}\n\nTemplate: a {{cat|dog}}\nmade on Monday")
    assert info.fields == PAIRS
    assert info.notes == "Template: a {cat|dog}\nmade on Monday"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("plain", "plain"),
        ("", ""),
        ('"a, b: c"', "a, b: c"),
        ('"line\\nbreak"', "line\nbreak"),
        ('"quo\\"te \\\\ back"', 'quo"te \\ back'),
        ('"caf\\u00e9 ☕"', "café ☕"),
        ('"C:\\models\\new"', '"C:\\models\\new"'),
        ('"not closed', '"not closed'),
        ('"two" words', '"two" words'),
        ('"\\ud800"', '"\\ud800"'),
        ('"\\u0000"', '"\\u0000"'),
        ('{"model": "abc", "lora:x": "def"}', '{"model": "abc", "lora:x": "def"}'),
        ('[{"type": "lora", "weight": 1}, 2]', '[{"type": "lora", "weight": 1}, 2]'),
        ("{not json}", "{not json}"),
        ("12:30:01", "12:30:01"),
        ("http://x/?a=b", "http://x/?a=b"),
    ],
)
def test_values(written, value):
    info = parse(f"a\nSteps: 1, Odd/na-me 2nd: {written}, Seed: 5")
    assert info.fields == (("Steps", "1"), ("Odd/na-me 2nd", value), ("Seed", "5"))
    assert parse(f"a\nSteps: 1, Last: {written}").fields[-1] == ("Last", value)


def test_words_without_a_value_are_kept():
    info = parse("a\nSteps: 1, Bare word, (odd:1), , Seed: 5,")
    words = (("Bare word", "Bare word"), ("(odd:1)", "(odd:1)"))
    assert info.fields == (("Steps", "1"), *words, ("Seed", "5"))


def test_loras_have_weights_and_hashes():
    tags = "<lora:Fox, red:0.8> <LORA:b> <lora:c:0.5:0.7> <lyco:d:x=1> <lora:c:0.5:0.7> <lora:>"
    hashes = 'Lora hashes: "Fox red: 11aa, b: 22bb, e: 33cc"'
    info = parse(f'{tags} <hypernet:n:1>\nSteps: 1, Hires prompt: "<lora:h:-1>, x", {hashes}')
    assert info.loras == (
        Lora("Fox, red", 0.8, "11aa"),
        Lora("b", 1.0, "22bb"),
        Lora("c", 0.5),
        Lora("d", None),
        Lora("h", -1.0),
        Lora("e", None, "33cc", in_prompt=False),
    )


def test_a_tag_that_is_not_closed_is_none():
    assert parse("<lora:a <lora:b:0.5> <lora:c").loras == (Lora("b", 0.5),)


def test_controlnet_units():
    unit = '"Module: canny, Model: c_v11 [abc], Weight: 0.5, Resize Mode: ResizeMode.INNER_FIT"'
    found = parse(f"a\nSteps: 1, ControlNet 0: {unit}, ControlNet 12: None, ControlNets: 3")
    first, second = found.controlnet_units
    assert (first.index, second.index) == (0, 12)
    assert [name for name, _ in first.settings] == ["Module", "Model", "Weight", "Resize Mode"]
    assert (first.get("model"), first.get("Weight"), first.get("x", "-")) == (
        "c_v11 [abc]",
        "0.5",
        "-",
    )


def test_a_field_is_found_in_any_case_and_the_last_one_wins():
    info = parse("a\nSteps: 1, CFG Scale: 5, cfg scale: 6")
    assert (info.get("CFG scale"), info.get("none", "x")) == ("6", "x")
