"""A failed model load poisons the server; one job with another checkpoint mends it."""

import pytest

from dispatch.dispatchers.base import BackendError, ErrorClass
from dispatch.fakes.forge import Checkpoint

GOOD = ("one.safetensors", "two.safetensors")


@pytest.fixture
def forge(drive):
    return drive(checkpoints=[*GOOD, Checkpoint("broken.safetensors", broken=True)])


def failure(forge, checkpoint):
    with pytest.raises(BackendError) as caught:
        forge.run(checkpoint)
    return caught.value


def test_checkpoint_that_does_not_load_is_an_error_of_class_elsewhere_and_poisons(forge):
    found = failure(forge, "broken")
    assert found.error_class is ErrorClass.ELSEWHERE
    assert found.code == "checkpoint_broken"
    assert found.poisons


def test_next_job_is_not_to_blame_for_the_poison(forge):
    forge.run("one")
    failure(forge, "broken")
    for _ in range(2):
        found = failure(forge, "one")
        assert found.error_class is ErrorClass.POISONED
        assert found.code == "server_poisoned"
        assert found.poisons


def test_job_with_another_checkpoint_mends_it(forge):
    forge.run("one")
    failure(forge, "broken")
    assert failure(forge, "one").error_class is ErrorClass.POISONED
    assert not forge.dispatcher.heal("one.safetensors"), "the lost model is no remedy"
    assert not forge.dispatcher.heal("broken.safetensors")
    assert forge.dispatcher.heal("two.safetensors")
    assert forge.run("one").rejected is None


def test_remedy_is_the_smallest_job_and_leaves_the_selection_alone(forge):
    assert forge.dispatcher.heal("two.safetensors")
    assert (forge.sent["steps"], forge.sent["width"], forge.sent["height"]) == (1, 64, 64)
    assert forge.fake.options["sd_model_checkpoint"] == "one.safetensors"


def test_remedy_at_a_dead_server_fails_without_a_word_too_much(forge):
    forge.fake.stop()
    assert not forge.dispatcher.heal("two.safetensors")
