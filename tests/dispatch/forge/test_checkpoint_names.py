"""Titles change with the first load, and people name a checkpoint in many ways."""

import uuid

import pytest

from dispatch.dispatchers.base import BackendError, ErrorClass
from dispatch.fakes.forge import Checkpoint
from dispatch.inventory import ServerInventory
from models_catalog.resolve import KnownModel

SHA = "8a62674095b57cd2e3ba8a397c743593c30aba2fc549e7434b93c72beb69d198"
PONY = Checkpoint("Pony/random_b.safetensors", SHA, hashed=True)


def test_name_stays_when_the_title_gains_its_hash(forge):
    before = forge.dispatcher.inventory()
    request = forge.prepare("nightjar_photo.safetensors")
    assert forge.dispatcher.run(request, uuid.uuid4()).rejected is None
    after = forge.dispatcher.inventory()
    assert [known.name for known in before.checkpoints] == [
        known.name for known in after.checkpoints
    ]
    known = next(k for k in after.checkpoints if k.name == "nightjar_photo.safetensors")
    assert known.short_hash and known.sha256.startswith(known.short_hash)
    assert not next(k for k in before.checkpoints if k.name == known.name).short_hash


def test_lists_of_before_the_first_load_still_serve_after_it(forge):
    before = forge.dispatcher.inventory()
    for _ in range(2):
        answer = forge.run("nightjar_photo", inventory=before)
        assert answer.rejected is None
        assert answer.checkpoint == "nightjar_photo.safetensors"


def test_title_with_its_hash_serves_on_a_server_that_does_not_know_the_hash_yet(forge):
    name = Checkpoint("nightjar_photo.safetensors")
    assert forge.run(f"{name.name} [{name.short_hash}]").rejected is None


@pytest.mark.parametrize(
    "name",
    [
        "Pony/random_b.safetensors [8a62674095]",
        "Pony/random_b.safetensors",
        "Pony\\random_b.safetensors",
        "pony/RANDOM_B.safetensors",
        "Pony/random_b",
        "Pony_random_b",
        "random_b.safetensors",
        "random_b",
        "random_b [8a62674095]",
        "8a62674095",
        "8A62674095B5",
        SHA,
        "renamed_since.safetensors [8a62674095]",
    ],
)
def test_every_way_to_name_it_is_sent_as_the_server_lists_it(drive, name):
    forge = drive(checkpoints=[Checkpoint("random_a.safetensors"), PONY])
    answer = forge.run(name)
    assert forge.sent["override_settings"]["sd_model_checkpoint"] == PONY.name
    assert answer.rejected is None


def test_backslash_goes_back_to_a_server_that_lists_it():
    from dispatch.dispatchers.forge import payload
    from tests.dispatch.forge.helpers import order

    windows = ServerInventory(checkpoints=(KnownModel("Pony\\random_b.safetensors"),))
    for name in ("Pony/random_b.safetensors", "Pony\\random_b.safetensors [8a62674095]"):
        request = payload.build(order(name), windows)
        assert request.checkpoint == "Pony\\random_b.safetensors"


def test_stem_in_two_folders_is_ambiguous_and_the_error_names_both(drive):
    forge = drive(checkpoints=["a/same.safetensors", "b/same.safetensors"])
    for name in ("same", "same.safetensors"):
        with pytest.raises(BackendError) as caught:
            forge.prepare(name)
        assert caught.value.error_class is ErrorClass.ELSEWHERE
        assert caught.value.code == "checkpoint_ambiguous"
        assert "a/same.safetensors, b/same.safetensors" in caught.value.hint
    assert forge.prepare("b/same.safetensors").checkpoint == "b/same.safetensors"


def test_file_of_the_same_name_and_another_hash_is_another_checkpoint(drive):
    forge = drive(checkpoints=[PONY])
    with pytest.raises(BackendError, match="does not have"):
        forge.prepare("Pony/random_b.safetensors [0123456789]")
    # Hashes of the old kind prove nothing.
    assert forge.prepare("Pony/random_b.safetensors [01234567]").checkpoint == PONY.name


def test_selected_checkpoint_is_listed_without_its_hash(drive):
    forge = drive(options={"sd_model_checkpoint": "nightjar_photo.safetensors [0123456789]"})
    assert forge.dispatcher.inventory().selected == "nightjar_photo.safetensors"
