"""Which jobs of several rounds are cut, and into what."""

import itertools
from typing import Any

import pytest

from dispatch.dispatchers.forge import ForgeDispatcher

BASE: dict[str, Any] = {"positive_prompt": "a boat", "seed": 500, "n_iter": 4}


def part(made: int = 0, *, kind: str = "txt2img", whole: bool = False, **params: Any):
    return ForgeDispatcher.part(kind, {**BASE, **params}, made, whole=whole)


def asked(found: Any) -> tuple[int, int, int]:
    """Return batch size, rounds and seed of a part."""
    return found.params["batch_size"], found.params["n_iter"], found.params["seed"]


def test_each_round_has_the_seeds_that_it_has_in_the_whole_job():
    rounds = [part(made, batch_size=2) for made in (0, 2, 4, 6)]
    assert [asked(each) for each in rounds] == [(2, 1, seed) for seed in (500, 502, 504, 506)]
    assert [each.images for each in rounds] == [2, 2, 2, 2]
    assert part(8, batch_size=2) is None, "nothing is left"


def test_with_a_subseed_of_some_strength_that_one_is_counted_up():
    found = part(3, subseed=70, subseed_strength=0.2)
    assert (found.params["seed"], found.params["subseed"]) == (500, 73)


def test_all_the_rest_is_one_order():
    assert asked(part(1, whole=True)) == (1, 3, 501)
    assert part(0, whole=True) is None, "that is the job itself"


def test_a_rest_that_is_no_whole_batch_is_made_by_a_smaller_one():
    """What is left when a batch was halved for want of memory, and is whole again after a retry."""
    found = part(5, batch_size=4, n_iter=2)
    assert (asked(found), found.images) == ((3, 1, 505), 3)
    assert asked(part(2, batch_size=4, n_iter=2, whole=True)) == (4, 1, 502)


def test_one_round_is_not_cut():
    assert part(n_iter=1, batch_size=4) is None


UNIT = {"input_mode": "simple", "module": "canny", "enabled": True}

CUT: list[dict[str, Any]] = [
    {},
    {"kind": "img2img", "init_images": ["…"], "mask": "…", "inpainting_fill": 1},
    {"alwayson_scripts": {"ControlNet": {"args": [UNIT, UNIT]}}},
    {"alwayson_scripts": {"never OOM Integrated": {"args": [True, True]}, "Sampler": {"args": []}}},
    {"positive_prompt": "<lora:my__style:0.8> (a boat:1.2)"},
    {"enable_hr": True, "hr_scale": 2, "hr_upscaler": "Latent"},
    {"script_name": "", "save_images": False},
]

WHOLE: list[dict[str, Any]] = [
    {"kind": "upscale"},
    {"script_name": "X/Y/Z plot"},
    {"alwayson_scripts": {"Somebody's script": {"args": []}}},
    {"alwayson_scripts": {"ControlNet": {"args": [UNIT, {**UNIT, "input_mode": "batch"}]}}},
    {"alwayson_scripts": {"ControlNet": {"args": [{**UNIT, "module": "shuffle"}]}}},
    {"alwayson_scripts": {"ControlNet": {"args": [3]}}},
    {"alwayson_scripts": {"ControlNet": None}},
    {"alwayson_scripts": ["ControlNet"]},
    {"kind": "img2img", "init_images": ["…", "…"]},
    {"kind": "img2img", "init_images": ["…"], "mask": "…", "inpainting_fill": 2},
    {"positive_prompt": "a {red|blue} boat"},
    {"negative_prompt": "__bad__"},
    {"save_images": True},
    {"seed": -1},
    {"subseed": -1, "subseed_strength": 0.1},
    {"n_iter": "4"},
    {"batch_size": True},
]


@pytest.mark.parametrize("params", CUT)
def test_it_is_cut(params):
    assert part(1, **params) is not None


@pytest.mark.parametrize("params", WHOLE)
def test_what_may_differ_between_rounds_is_made_as_a_whole(params):
    assert part(**params) is None


# --- What the server says of it -----------------------------------------------------------


def info(first: int, **more: Any) -> dict[str, Any]:
    return {
        "prompt": "a boat",
        "seed": 500 + first,
        "all_seeds": [500 + first],
        "infotexts": [f"picture {first}"],
        "image_count": 1,
        **more,
    }


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    *_, last = itertools.accumulate(parts, ForgeDispatcher.merged)
    return last


def test_what_is_said_of_the_parts_reads_as_if_they_were_made_at_once():
    assert merged(info(0), info(1), info(2)) == {
        "prompt": "a boat",
        "seed": 500,
        "all_seeds": [500, 501, 502],
        "infotexts": ["picture 0", "picture 1", "picture 2"],
        "image_count": 3,
    }


def test_a_list_that_one_part_lacks_is_left_out():
    without = info(1)
    del without["infotexts"]
    found = merged(info(0), without, info(2))
    assert "infotexts" not in found
    assert found["all_seeds"] == [500, 501, 502]


def test_together_they_stay_as_small_as_one_answer_must_be():
    long = "x" * 60_000
    found = merged(*(info(n, infotexts=[long]) for n in range(4)))
    assert "infotexts" not in found
    assert (found["all_seeds"], found["image_count"]) == ([500, 501, 502, 503], 4)
