"""Which jobs a bulk order stands for: seeds and combinations."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.models import Job
from jobs.services.variations import MAX_JOBS, Seeds, Variations, read_variations
from tests.operations.test_contract_bulk import BULK, PARAMS, order, seeds

pytestmark = pytest.mark.django_db
LARGEST = 2**64 - 1


def send(api, **fields):
    answer = api.send("POST", BULK, order(**fields))
    assert answer.status_code == 202, answer.json()
    return answer.json()


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"seed_variation": "fixed", "base_seed": 7}, [7, 7, 7]),
        ({"seed_variation": "incremental", "base_seed": 7}, [7, 8, 9]),
        ({"base_seed": 7}, [7, 8, 9]),
        ({"base_seed": 0}, [0, 1, 2]),
        ({"base_seed": 2**32 - 2}, [2**32 - 2, 2**32 - 1, 0]),
        ({"base_seed": 2**32}, [2**32, 2**32 + 1, 2**32 + 2]),
        ({"base_seed": LARGEST - 1}, [LARGEST - 1, LARGEST, 0]),
        ({"base_seed": LARGEST, "seed_variation": "fixed"}, [LARGEST] * 3),
        ({"variations": {"seeds": [5, 3]}, "bulk_quantity": 1}, [5, 3]),
    ],
)
def test_seeds_follow_the_base(api, fields, wanted):
    send(api, **fields)
    assert seeds() == wanted


@pytest.mark.parametrize(
    "variations",
    [
        {"seeds": [5, 3], "prompts": None},
        {"mode": None, "fields": {"seeds": [5, 3], "prompts": None}},
    ],
)
def test_null_in_the_variations_means_absent(api, variations):
    send(api, variations=variations, bulk_quantity=1)
    assert seeds() == [5, 3]


@pytest.mark.parametrize("name", ["base_seed", "seed"])
def test_a_base_that_is_not_said_is_drawn_once(api, name):
    given_seed = {**PARAMS, "seed": -1} if name == "seed" else PARAMS
    send(api, generation_params=given_seed, base_seed=-1 if name == "base_seed" else None)
    first, second, third = seeds()
    assert 0 <= first < 2**32
    assert (second, third) == ((first + 1) % 2**32, (first + 2) % 2**32)


def test_the_seed_of_the_parameters_is_the_base(api):
    send(api, generation_params={**PARAMS, "seed": 40})
    assert seeds() == [40, 41, 42]


def test_no_picture_is_made_twice(api):
    send(api, generation_params={**PARAMS, "seed": 40, "batch_size": 2, "n_iter": 2})
    assert seeds() == [40, 44, 48]


def test_random_seeds_are_all_different_and_say_that_a_given_one_is_not_used(api):
    body = send(api, seed_variation="random", bulk_quantity=200, base_seed=5)
    assert len(set(seeds())) == 200
    assert any("not used" in text for text in body["warnings"])


def test_subseeds_that_are_to_be_drawn_are_drawn_for_each_job(api):
    send(api, generation_params={**PARAMS, "subseed_strength": 0.3})
    found = {job.generation_params["subseed"] for job in Job.objects.all()}
    assert len(found) == 3


def test_all_combinations_are_made_in_order(api):
    variations = {"checkpoints": ["a", "b"], "prompts": ["x", "y"]}
    send(api, bulk_quantity=2, variations=variations, base_seed=1)
    made = [
        (job.checkpoint, job.generation_params["positive_prompt"])
        for job in Job.objects.order_by("position")
    ]
    assert made == [("a", "x")] * 2 + [("a", "y")] * 2 + [("b", "x")] * 2 + [("b", "y")] * 2
    assert seeds() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_zip_takes_the_lists_value_by_value(api):
    fields = {"checkpoint_name": ["a", "b"], "cfg_scale": [5, 7.5]}
    send(api, bulk_quantity=1, variations={"mode": "zip", "fields": fields})
    made = [
        (job.checkpoint, job.generation_params["cfg_scale"])
        for job in Job.objects.order_by("position")
    ]
    assert made == [("a", 5), ("b", 7.5)]


def test_a_varied_parameter_stands_for_the_one_of_the_order_by_any_name(api):
    send(api, generation_params={"prompt": "no", "steps": 4}, variations={"prompts": ["a", "b"]})
    assert {job.prompt for job in Job.objects.all()} == {"a", "b"}


def test_an_unknown_parameter_can_be_varied_too(api):
    body = send(api, bulk_quantity=1, variations={"my_own": [1, 2]})
    assert [job.generation_params["my_own"] for job in Job.objects.order_by("position")] == [1, 2]
    assert any("my_own" in text for text in body["warnings"])


@pytest.mark.parametrize(
    ("value", "total"),
    [({}, 1), ({"mode": "zip", "fields": {}}, 1), ({"steps": [1, 2], "cfg_scale": [1, 2]}, 4)],
)
def test_the_total_is_that_of_the_combinations(value, total):
    variations = read_variations(value)
    assert variations.total == total == len(list(variations.combinations()))


def test_a_huge_product_is_counted_and_not_made(api):
    variations = Variations({f"p{n}": [0] * 100 for n in range(50)})
    assert variations.total == 100**50 > MAX_JOBS


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    base=st.integers(0, LARGEST),
    pictures=st.lists(st.integers(1, 64), min_size=1, max_size=20),
)
def test_counting_up_keeps_the_pictures_apart_and_in_bounds(base, pictures):
    found = list(Seeds.of("incremental", base).each(pictures))
    end = 2**32 if base < 2**32 else 2**64
    taken = [
        (seed + n) % end for seed, count in zip(found, pictures, strict=True) for n in range(count)
    ]
    assert found[0] == base
    assert all(0 <= seed < end for seed in found)
    assert len(set(taken)) == len(taken)
