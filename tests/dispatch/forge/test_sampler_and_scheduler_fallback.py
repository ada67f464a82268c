"""Unknown samplers and schedulers are answered 200, made with others: warnings, no failures."""

import uuid

import pytest

from tests.dispatch.forge.helpers import answered, http, order


def test_unknown_sampler_is_a_warning(forge):
    answer = forge.run(sampler_name="No Such Sampler")
    assert answer.rejected is None
    assert answer.warnings == ["The server used the sampler DPM++ 2M instead of No Such Sampler."]


def test_unknown_scheduler_is_a_warning(forge):
    answer = forge.run(scheduler="No Such Scheduler")
    assert answer.warnings == [
        "The server used the scheduler Automatic instead of No Such Scheduler."
    ]


@pytest.mark.parametrize("name", ["k_euler_a", "k_euler_ancestral", "euler a", "Euler a"])
def test_aliases_of_a_sampler_are_sent_in_the_servers_spelling(forge, name):
    answer = forge.run(sampler_name=name)
    assert forge.sent["sampler_name"] == "Euler a"
    assert answer.warnings == []
    assert answer.generation_info["sampler_name"] == "Euler a"


@pytest.mark.parametrize("name", ["SGM Uniform", "sgm_uniform", "SGMUniform", "sgm uniform"])
def test_ids_and_aliases_of_a_scheduler_are_no_fallbacks(forge, name):
    answer = forge.run(scheduler=name)
    assert forge.sent["scheduler"] == "SGM Uniform"
    assert answer.warnings == []
    assert "Schedule type: SGM Uniform" in answer.pictures[0].infotext


def test_scheduler_at_the_end_of_a_samplers_name_is_no_fallback(forge):
    answer = forge.run(sampler_name="DPM++ 2M Karras", scheduler=None)
    assert forge.sent["sampler_name"] == "DPM++ 2M Karras", "Forge splits it itself"
    assert answer.warnings == []
    assert "Sampler: DPM++ 2M, Schedule type: Karras" in answer.pictures[0].infotext


def test_two_words_at_the_end_of_a_samplers_name_are_found(forge):
    # Forge itself splits only "Uniform" off and falls back: both must show.
    warnings = forge.run(sampler_name="Euler SGM Uniform", scheduler=None).warnings
    assert warnings == [
        "The server used the sampler DPM++ 2M instead of Euler.",
        "The server used the scheduler Uniform instead of SGM Uniform.",
    ]


def test_sampler_whose_own_name_ends_like_a_scheduler_is_not_split(forge):
    assert forge.run(sampler_name="DDIM", scheduler="DDIM").warnings == []


def test_automatic_is_no_fallback_whatever_the_server_makes_of_it(forge, scripted):
    assert forge.run(scheduler="Automatic").warnings == []
    assert forge.run(scheduler=None).warnings == []
    lists = forge.dispatcher.inventory()
    text = "a cat\nSteps: 2, Sampler: DPM++ 2M, Schedule type: Karras, Seed: 1"
    driver = scripted(http(body=answered(infotexts=[text], sampler_name="DPM++ 2M"))).driver()
    for asked in ("Automatic", "automatic"):
        request = driver.prepare(order(sampler_name="DPM++ 2M", scheduler=asked), lists)
        assert driver.run(request, uuid.uuid4()).warnings == []


def test_automatic_stands_for_a_samplers_own_scheduler(forge, scripted):
    lists = forge.dispatcher.inventory()
    text = "a cat\nSteps: 2, Sampler: DPM++ 2M, Schedule type: Automatic, Seed: 1"
    driver = scripted(http(body=answered(infotexts=[text], sampler_name="DPM++ 2M"))).driver()

    def warnings(scheduler):
        request = driver.prepare(order(sampler_name="DPM++ 2M", scheduler=scheduler), lists)
        return driver.run(request, uuid.uuid4()).warnings

    assert warnings("karras") == []
    assert warnings("Simple") == ["The server used the scheduler Automatic instead of Simple."]


def test_schedule_type_in_a_prompt_is_not_taken_for_the_servers_word(forge):
    answer = forge.run(positive_prompt="a cat, Schedule type: Beta\nand a dog")
    assert answer.warnings == []


def test_without_lists_names_are_compared_as_they_are(forge):
    assert forge.run(inventory=None).warnings == []
    assert len(forge.run(inventory=None, sampler_name="k_euler").warnings) == 1
