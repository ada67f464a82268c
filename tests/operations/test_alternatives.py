r"""`{a|b}` in a prompt is two prompts, if that is asked for; and a folder is its checkpoints."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.inventory import ServerInventory, save
from jobs.models import Job
from jobs.services.alternatives import read_alternatives
from mobilesd.errors import InvalidInput
from models_catalog.resolve import KnownModel
from tests import factories
from tests.operations.test_contract_bulk import BULK, PARAMS


def prompts(text):
    found = read_alternatives(text, "generation_params.positive_prompt")
    made = list(found.each())
    assert len(made) == found.total
    return made


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a house", ["a house"]),
        ("", [""]),
        ("a {red|blue} house", ["a red house", "a blue house"]),
        ("{a|b} {c|d}", ["a c", "a d", "b c", "b d"]),
        (
            "a {red|{dark|light} blue} house",
            ["a red house", "a dark blue house", "a light blue house"],
        ),
        ("a{|, at night}", ["a", "a, at night"]),
        ("{one}", ["one"]),
        (r"\{a|b\}", ["{a|b}"]),
        (r"{a\|b|c}", ["a|b", "c"]),
        (r"(a \(b\):1.2) {x|y}", [r"(a \(b\):1.2) x", r"(a \(b\):1.2) y"]),
        ("[a|b] | c", ["[a|b] | c"]),
        ("{ a | b }", [" a ", " b "]),
    ],
)
def test_a_prompt_stands_for_these(text, wanted):
    assert prompts(text) == wanted


@pytest.mark.parametrize(
    ("text", "place"), [("a {b|c", 3), ("a} b", 2), ("{a|{b}", 1), ("{a}}", 4), ("{" * 30, 21)]
)
def test_a_brace_too_many_or_too_few_is_pointed_at(text, place):
    with pytest.raises(InvalidInput, match=f"character {place}:"):
        prompts(text)


def escaped(text):
    return re.sub(r"([{|}])", r"\\\1", text)


@given(
    st.lists(st.text(st.characters(exclude_characters="\\")), min_size=1, max_size=5),
    st.text("ab{|}"),
)
def test_whatever_is_escaped_comes_back(branches, tail):
    text = "{" + "|".join(map(escaped, branches)) + "}" + escaped(tail)
    assert prompts(text) == [branch + tail for branch in branches]


def test_ten_thousand_braces_are_no_trouble():
    assert prompts("{a}" * 10_000) == ["a" * 10_000]


def send(api, **fields):
    return api.send("POST", BULK, {"generation_params": PARAMS, **fields})


def made():
    return [job.prompt for job in Job.objects.order_by("position")]


@pytest.mark.django_db
def test_alternatives_become_jobs_when_asked_for(api):
    params = {"prompt": "a {red|blue} house", "negative_prompt": "{x|y}"}
    answer = send(api, generation_params=params, expand_alternatives=True, bulk_quantity=2)
    assert answer.status_code == 202, answer.json()
    assert made() == ["a red house"] * 4 + ["a blue house"] * 4


@pytest.mark.django_db
def test_braces_stay_untouched_unless_asked_for(api):
    params = {"positive_prompt": r"a {red|blue} \{house\}"}
    send(api, generation_params=params, bulk_quantity=1)
    send(api, generation_params=params, bulk_quantity=1, expand_alternatives=False)
    assert made() == [params["positive_prompt"]] * 2


@pytest.mark.django_db
@pytest.mark.parametrize("mode", ["product", "zip"])
def test_listed_prompts_are_expanded_as_well(api, mode):
    fields = {"prompts": ["{a|b}", "c"], "steps": [5, 6]}
    answer = send(api, variations={"mode": mode, "fields": fields}, expand_alternatives=True)
    assert answer.status_code == 202, answer.json()
    found = [
        (job.prompt, job.generation_params["steps"]) for job in Job.objects.order_by("position")
    ]
    wanted = {
        "zip": [("a", 5), ("b", 5), ("c", 6)],
        "product": [("a", 5), ("b", 5), ("a", 6), ("b", 6), ("c", 5), ("c", 6)],
    }
    assert found == wanted[mode]


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["{a|b}" * 10, "{a|b}" * 300, "{" + "a|" * 1000 + "b}"])
def test_more_than_a_thousand_are_refused_before_any_is_made(api, text):
    answer = send(api, generation_params={"positive_prompt": text}, expand_alternatives=True)
    assert answer.status_code == 400
    assert "limit is 1000" in answer.json()["message"]
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_a_prompt_that_takes_too_much_room_is_refused(api):
    text = "x" * 60_000 + "{a|b|c|d|e|f|g|h|i|j}" * 2 + "{a|b|c|d|e|f|g|h|i|j}"
    answer = send(api, generation_params={"positive_prompt": text}, expand_alternatives=True)
    assert (answer.status_code, answer.json()["error"]) == (413, "payload_too_large")


@pytest.mark.django_db
def test_one_job_alone_is_not_made_of_many(api):
    answer = api.send(
        "POST", "/api/v2/generate", {"generation_params": PARAMS, "expand_alternatives": True}
    )
    assert answer.json()["error"] == "unsupported_parameter"


# --- Folders -------------------------------------------------------------------------------


def has(alias, *names, **fields):
    server = factories.server(alias, **fields)
    save(server, ServerInventory(checkpoints=tuple(map(KnownModel, names))))


def checkpoints():
    return [job.checkpoint for job in Job.objects.order_by("position")]


@pytest.mark.django_db
def test_a_folder_is_the_checkpoints_that_servers_have_in_it(api):
    has("a", "xl/juggernaut.safetensors", "xl/photo/real.safetensors", "sd15/v1.safetensors")
    has("b", "XL\\Juggernaut.safetensors", "xl\\other.safetensors")
    has("off", "xl/hidden.safetensors", enabled=False)
    answer = send(api, checkpoints_in="xl/")
    assert answer.status_code == 202, answer.json()
    assert checkpoints() == [
        "xl/juggernaut.safetensors",
        "xl/photo/real.safetensors",
        "xl\\other.safetensors",
    ]


@pytest.mark.django_db
def test_only_the_servers_that_are_meant_count(api):
    has("a", "xl/one.safetensors")
    has("b", "xl/two.safetensors")
    send(api, checkpoints_in="xl", target_server_alias="b")
    assert checkpoints() == ["xl/two.safetensors"]


@pytest.mark.django_db
def test_a_folder_goes_together_with_other_lists(api):
    has("a", "xl/one.safetensors", "xl/two.safetensors")
    answer = send(api, checkpoints_in="xl", variations={"steps": [5, 6]})
    assert answer.json()["total_jobs"] == 4
    assert checkpoints() == ["xl/one.safetensors"] * 2 + ["xl/two.safetensors"] * 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"checkpoints_in": "sdxl"}, "Folders with checkpoints are: xl"),
        ({"checkpoints_in": "x"}, "Folders with checkpoints are: xl"),
        ({"checkpoints_in": "xl", "variations": {"checkpoints": ["a"]}}, "can't be combined"),
        (
            {"checkpoints_in": "xl", "variations": {"mode": "zip", "fields": {"steps": [1, 2, 3]}}},
            "finds 1 checkpoints",
        ),
        ({"checkpoints_in": 5}, "must be a text"),
    ],
)
def test_a_folder_that_can_t_be_taken_is_named(api, fields, words):
    has("a", "xl/one.safetensors")
    body = send(api, **fields).json()
    assert words in body["message"] + body["details"]["hint"]
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_a_repeated_order_gives_its_batch_though_the_folder_is_gone(api):
    has("a", "xl/one.safetensors")
    first = send(api, checkpoints_in="xl", idempotency_key="k").json()
    from dispatch.models import Inventory

    Inventory.objects.all().delete()
    again = send(api, checkpoints_in="xl", idempotency_key="k")
    assert again.status_code == 200
    assert again.json()["bulk_job_id"] == first["bulk_job_id"]
