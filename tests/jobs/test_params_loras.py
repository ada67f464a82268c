"""Which LoRAs a job asks for, and what it asks for without them."""

import pytest

from jobs.params.loras import loras_in_prompt, loras_of, without_loras


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("", []),
        ("a cat", []),
        ("a <lora:one:0.8> cat <lora:two> <lora:one:1>", ["one", "two"]),
        ("<lora: spaced name :1:0.5>", ["spaced name"]),
        ("<lora:v1.2-x_y:-0.5>", ["v1.2-x_y"]),
        ("<lora:> <lora::1> <lora", []),
        ("<hypernet:a:1>", []),
    ],
)
def test_loras_in_a_prompt(prompt, found):
    assert loras_in_prompt(prompt) == found


def test_those_of_the_list_and_of_the_second_pass_count_once_each():
    params = {
        "positive_prompt": "a <lora:one:1>",
        "hr_prompt": "b <lora:two:1>",
        "loras": [{"name": "One"}, {"name": "styles/three.safetensors", "weight": 0.5}, "odd", {}],
    }
    assert loras_of(params) == ["one", "two", "styles/three.safetensors"]
    assert loras_of(params | {"disable_extra_networks": True}) == []
    assert loras_of({"loras": "odd", "positive_prompt": None}) == []


def test_they_are_taken_out_wherever_they_are_named():
    params = {
        "positive_prompt": "a <lora:one:1> cat <lora:two:1>",
        "hr_prompt": "b",
        "loras": [{"name": "One"}, {"name": "three"}],
    }
    changes = without_loras(params, ["one"])
    assert changes == {"positive_prompt": "a  cat <lora:two:1>", "loras": [{"name": "three"}]}
    assert without_loras(params, ["one", "three"])["loras"] is None
    assert without_loras(params, ["none of these"]) == {}
