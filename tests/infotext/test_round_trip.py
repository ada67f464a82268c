"""What is written is read back as the same; what is read is written as the same text."""

import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobs.infotext import Infotext, parse, write

RECORDINGS = Path(__file__).parent.parent / "recordings" / "forge"

any_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
# Pieces that mean something to a reader, besides any text at all.
pieces = st.sampled_from(
    [
        *("Steps: 20", "Negative prompt: x", "\n", "\r\n", ", ", ": ", '"', "\\", "\\n", "{", "}"),
        *("[", "]", "<lora:a:0.5>", "Seed: 1, Sampler: y, Size: 8x8", " ", "\ufeff", "\u2028"),
        *('"a, b"', '{"a": 1}', "ControlNet 0: ", 'Lora hashes: "a: 1, b: 2"', "a", "é", "☕"),
    ]
)
hostile = st.lists(st.one_of(pieces, any_text), max_size=12).map("".join)


def is_prompt(text: str) -> bool:
    """Whether a text may be a prompt: no edges that are stripped, no line with a mark."""
    marked = any(line.lstrip().startswith("Negative prompt:") for line in text.split("\n"))
    return text == text.strip() and "\r" not in text and not marked and text[:1] != "\ufeff"


prompts = hostile.map(str.strip).filter(is_prompt)
negatives = hostile.map(lambda text: text.replace("\r", "").strip())
names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9 /\-+.()]{0,18}[A-Za-z0-9)]", fullmatch=True)
structures = st.builds(
    lambda prompt, negative, steps, fields: Infotext(
        prompt, negative, (("Steps", str(steps)), *fields)
    ),
    prompts,
    negatives,
    st.integers(-5, 500),
    st.lists(st.tuples(names, hostile).filter(lambda pair: pair[0] != pair[1]), max_size=6).map(
        tuple
    ),
)


@settings(max_examples=150, deadline=None)
@given(structures)
@example(Infotext("", "", (("Steps", "1"), ("A", ""))))
@example(Infotext("", "Negative prompt: x", (("Steps", "1"), ("A", '"quoted"'))))
@example(Infotext("x\nSteps: 1, Seed: 2, Size: 3", "", (("Steps", "1"), ("A", " b "))))
@example(Infotext("", "", (("Steps", "1"), ("A", "[1,\n2]"), ("B", '{"a": [1, 2]}'))))
def test_what_is_written_is_read_back(info):
    assert parse(write(info)) == info


@settings(max_examples=200, deadline=None)
@given(hostile)
@example("\ufeff \ufeffa")
@example('a\nNegative prompt: \nSteps: 1, A, B:, C: ""')
@example('Steps: 1, A: "x" y, B: {1, C: [2]')
@example("Steps: 1, Steps: 1")
def test_what_was_read_of_any_text_is_written_and_read_back(text):
    info = parse(text)
    assert parse(write(info)) == info


@pytest.mark.parametrize(
    "info",
    [
        Infotext("a\nNegative prompt: b"),
        Infotext("a\nSteps: 20"),
        Infotext("a\r\nb"),
        Infotext(" a"),
        Infotext("a", "b "),
        Infotext("a", fields=(("No steps", "1"),)),
        Infotext("a", fields=(("Steps", "1"), ("na:me", "x"))),
        Infotext("a", fields=(("Steps", "1"), ("A", "\0,"))),
        Infotext("a", notes="b"),
        Infotext("a", fields=(("Steps", "1"),), notes="Negative prompt: b"),
    ],
)
def test_what_the_format_can_not_hold_is_refused(info):
    with pytest.raises(ValueError, match="can't hold"):
        write(info)


def recorded() -> list[str]:
    found: dict[str, None] = {}
    for file in sorted(RECORDINGS.rglob("*.json*")):
        text = file.read_text()
        for part in [text] if file.suffix == ".json" else text.splitlines():
            collect(json.loads(part), found)
    return list(found)


def collect(value, found):
    if isinstance(value, dict):
        found.update(dict.fromkeys(value.get("infotexts") or ()))
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            collect(inner, found)
    elif isinstance(value, str) and '"infotexts"' in value:
        collect(json.loads(value), found)


def test_recorded_infotexts_are_written_as_they_were():
    texts = recorded()
    assert len(texts) >= 35
    for text in texts:
        info = parse(text)
        assert info.prompt.startswith("a cat")
        assert info.get("Version").startswith("f2.0.1")
        assert write(info) == text


# In the way of other programs: A1111 with Civitai's resources, ADetailer, dynamic prompts, SD.Next.
FOREIGN = [
    "a, (b:1.2)\nNegative prompt: c\nSteps: 30, Sampler: DPM++ 2M Karras, CFG scale: 5.0, Seed: 83,"
    " Size: 832x1216, Clip skip: 2, ADetailer model: face_yolov8n.pt, ADetailer prompt:"
    ' "x, \\"y\\"\\nz", Hashes: {"model": "AEA4EC6C4D", "lora:q": "1f"}, Lora hashes: "q: 1f",'
    ' Civitai resources: [{"type":"lora","weight":0.8}], Civitai metadata: {}, Version: v1.7.0',
    "a\nSteps: 20, Seed: 1, Size: 512x512, Model: m\nTemplate: a {b|c}\nNegative Template: d",
    'a ☕\nSteps: 20, Seed: 1, Hires prompt: "ein Fuß, ☕", ControlNet 0: "Module: é, Weight: 1"',
    "Steps: 20, Sampler: UniPC, Seed: 1, Size: 8x8, Parser: Full parser, Operations: txt2img",
]


@pytest.mark.parametrize("text", FOREIGN)
def test_infotexts_of_other_programs_are_written_as_they_were(text):
    assert write(parse(text)) == text
