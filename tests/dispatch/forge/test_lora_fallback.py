"""An unknown LoRA is silently ignored; only the missing hash in the infotext tells."""

import uuid

import pytest

from dispatch.fakes.forge import Lora
from tests.dispatch.forge.helpers import answered, http, order


def test_unknown_lora_is_a_warning_and_no_failure(forge):
    answer = forge.run(positive_prompt="a cat <lora:missing_one:0.8>")
    assert answer.rejected is None
    assert answer.warnings == ["The server did not use the LoRA missing_one."]


def test_known_lora_is_used_without_a_warning(forge):
    answer = forge.run(positive_prompt="a cat <lora:watercolour:0.8>")
    assert answer.warnings == []
    assert "Lora hashes" in answer.pictures[0].infotext


def test_of_several_only_the_missing_one_is_named(forge):
    prompt = "<lora:film_grain:1> a cat <lora:missing_one:0.8> <lora:watercolour:.5:.5>"
    assert forge.run(positive_prompt=prompt).warnings == [
        "The server did not use the LoRA missing_one."
    ]


@pytest.mark.parametrize("lora", ["detail.v1.2", "two words", "Mixed Case.V2"])
def test_names_with_dots_blanks_and_capitals_are_found_again(drive, lora):
    forge = drive(loras=[Lora(f"folder/{lora}.safetensors")])
    assert forge.run(positive_prompt=f"a cat <lora:{lora}:0.8>").warnings == []


def test_comma_in_a_name_is_left_out_by_forge_and_by_us(scripted):
    extra = {"Lora hashes": "red white: 0123456789ab"}
    driver = scripted(http(body=answered(extra_generation_params=extra))).driver()
    request = driver.prepare(order(positive_prompt="<lora:red, white:1>"), None)
    assert driver.run(request, uuid.uuid4()).warnings == []


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("watercolour", "watercolour"),
        ("styles/watercolour.safetensors", "watercolour"),
        ("styles\\watercolour.safetensors", "watercolour"),
        ("Watercolour", "watercolour"),
        ("unknown.v2", "unknown.v2"),
    ],
)
def test_listed_loras_go_into_the_prompt_by_the_name_that_forge_knows(forge, name, tag):
    body = forge.prepare(loras=[{"name": name, "weight": 0.7}]).body
    assert body["prompt"] == f"a cat <lora:{tag}:0.7>"
    assert "loras" not in body


def test_listed_lora_that_the_prompt_names_is_not_added_again(forge):
    prompt = "a <lora:Watercolour:0.3> cat"
    row = {"name": "styles/watercolour.safetensors", "weight": 1}
    assert forge.prepare(positive_prompt=prompt, loras=[row]).body["prompt"] == prompt


def test_listed_lora_is_used(forge):
    answer = forge.run(loras=[{"name": "styles/watercolour.safetensors"}, {"name": "nowhere"}])
    assert answer.warnings == ["The server did not use the LoRA nowhere."]


def test_loras_that_were_switched_off_are_not_missed(forge):
    prompt = "a cat <lora:missing_one:0.8>"
    request = forge.prepare(positive_prompt=prompt, disable_extra_networks=True)
    assert forge.dispatcher.run(request, uuid.uuid4()).warnings == []
