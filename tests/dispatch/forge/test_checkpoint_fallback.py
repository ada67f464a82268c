"""An unknown checkpoint is answered 200, made with the selected one: that is no result."""

import uuid

import pytest

from dispatch.dispatchers.base import BackendError, ErrorClass
from dispatch.fakes.forge import Checkpoint
from dispatch.inventory import ServerInventory
from models_catalog.resolve import KnownModel
from tests.dispatch.forge.helpers import answered, http, order


def test_another_checkpoint_than_asked_for_is_an_error_of_class_elsewhere(forge):
    request = forge.prepare("nightjar_photo")
    forge.faults.add("wrong_checkpoint")
    answer = forge.dispatcher.run(request, uuid.uuid4())
    assert answer.rejected.error_class is ErrorClass.ELSEWHERE
    assert answer.rejected.code == "wrong_checkpoint"
    assert "meadow_v3" in answer.rejected.message
    assert "nightjar_photo.safetensors" in answer.rejected.message
    assert len(answer.pictures) == 1, "kept to look at"
    assert answer.checkpoint == "meadow_v3.safetensors", "what is loaded now"


def test_unknown_override_dropped_by_the_server_is_an_error_of_class_elsewhere(forge):
    # Removed on the server after its lists were read: prepare() can't know.
    stale = ServerInventory(checkpoints=(KnownModel("gone.safetensors"),))
    answer = forge.run("gone", inventory=stale)
    assert answer.rejected.error_class is ErrorClass.ELSEWHERE


def test_checkpoint_that_the_server_lacks_is_refused_before_anything_is_sent(forge):
    with pytest.raises(BackendError) as caught:
        forge.prepare("somewhere/else.safetensors")
    assert caught.value.error_class is ErrorClass.ELSEWHERE
    assert caught.value.code == "checkpoint_missing"
    assert forge.fake.log.runs() == []


def test_asked_checkpoint_is_named_in_the_request_and_in_the_answer(forge):
    answer = forge.run("ink/brushwork_v2.safetensors")
    assert forge.sent["override_settings"] == {
        "sd_model_checkpoint": "ink/brushwork_v2.safetensors"
    }
    assert answer.rejected is None
    assert answer.checkpoint == "ink/brushwork_v2.safetensors"


def test_no_checkpoint_takes_what_is_selected_and_tells_which(forge):
    answer = forge.run()
    assert forge.sent["override_settings"] == {}
    assert answer.rejected is None
    assert answer.checkpoint == "meadow_v3.safetensors"


def test_dot_in_a_name_is_no_extension(forge):
    assert forge.run("lighthouse_xl_1.2").rejected is None
    assert forge.run("lighthouse_xl_1.2", inventory=None).rejected is None


def test_without_lists_the_name_is_sent_as_it_is_and_compared_all_the_same(forge):
    fine = forge.run("ink/brushwork_v2.safetensors", inventory=None)
    assert fine.rejected is None
    assert fine.checkpoint == "brushwork_v2"
    assert forge.run("no_such", inventory=None).rejected.code == "wrong_checkpoint"


def test_two_files_of_the_same_content_are_told_apart_by_name(drive):
    twins = [
        Checkpoint("twin_a.safetensors", "ab" * 32, hashed=True),
        Checkpoint("twin_b.safetensors", "ab" * 32, hashed=True),
    ]
    answer = drive(checkpoints=twins).run("twin_b")
    assert answer.rejected is None
    assert answer.checkpoint == "twin_b.safetensors"


def test_two_files_of_one_stem_are_told_apart_by_what_was_asked(drive):
    forge = drive(checkpoints=["a/same.safetensors", "b/same.safetensors"])
    answer = forge.run("b/same.safetensors")
    assert answer.rejected is None
    assert answer.checkpoint == "b/same.safetensors"


def test_hash_decides_where_both_sides_know_it(drive):
    one = Checkpoint("a/same.safetensors", "11" * 32, hashed=True)
    other = Checkpoint("b/same.safetensors", "22" * 32, hashed=True)
    forge = drive(checkpoints=[one, other])
    assert forge.run("b/same.safetensors").rejected is None
    stale = forge.dispatcher.inventory()
    forge.fake.inventory.remove("b/same.safetensors")
    forge.fake.inventory.refresh()
    assert forge.run("b/same.safetensors", inventory=stale).rejected.code == "wrong_checkpoint"


@pytest.mark.parametrize(
    ("name", "field"), [("refiner_checkpoint", "refiner"), ("hr_checkpoint_name", "hires")]
)
def test_further_checkpoints_of_a_job_are_spelled_and_looked_for_as_well(forge, name, field):
    params = {"enable_hr": True, name: "ink\\brushwork_v2.safetensors [0123abcdef]"}
    assert forge.prepare(**params).body[name] == "ink/brushwork_v2.safetensors"
    with pytest.raises(BackendError, match=f"the {field} checkpoint nowhere") as caught:
        forge.prepare(**{**params, name: "nowhere"})
    assert caught.value.error_class is ErrorClass.ELSEWHERE


@pytest.mark.parametrize("name", ["", "None", "Use same checkpoint"])
def test_values_by_which_the_page_names_no_further_checkpoint_stay(forge, name):
    params = {"refiner_checkpoint": name, "hr_checkpoint_name": name}
    body = forge.prepare(**params).body
    assert {field: body[field] for field in params} == params


def test_further_checkpoint_unknown_to_forge_is_an_error_of_class_elsewhere(forge):
    with pytest.raises(BackendError) as caught:
        forge.run(inventory=None, refiner_checkpoint="nowhere")
    assert caught.value.error_class is ErrorClass.ELSEWHERE
    assert caught.value.code == "checkpoint_missing"


def test_answer_without_a_model_name_is_taken(scripted):
    driver = scripted(http(body=answered(sd_model_name=None, sd_model_hash=None))).driver()
    request = driver.prepare(order("meadow_v3"), None)
    assert driver.run(request, uuid.uuid4()).rejected is None
