"""A script that a server lacks: the job is left to one that has it, or says so."""

import json

import pytest

from dispatch.dispatchers.base import BackendError, ErrorClass, Order
from dispatch.dispatchers.forge.payload import build
from dispatch.fakes.forge import FakeForge
from dispatch.inventory import ServerInventory
from jobs.models import Job
from models_catalog.resolve import KnownModel
from tests import factories
from tests.api.conftest import Api
from tests.dispatch.lane_harness import connected, lane, queue, until_final

DETAILER = {"ADetailer": {"args": [True, {"ad_model": "face_yolov8n.pt"}]}}
REFINED = {"Refiner": {"args": [True, "xl\\refiner.safetensors [0123456789]", 0.8]}}
THERE = ServerInventory(scripts=("controlnet", "adetailer", "prompt matrix"))


def prepared(inventory: ServerInventory | None, **params):
    return build(Order("txt2img", {"positive_prompt": "a cat", **params}), inventory)


def test_a_script_is_known_in_any_case():
    assert prepared(THERE, alwayson_scripts=DETAILER).body["alwayson_scripts"] == DETAILER
    assert prepared(THERE, script_name="Prompt Matrix").body["script_name"] == "Prompt Matrix"


@pytest.mark.parametrize("params", [{"alwayson_scripts": DETAILER}, {"script_name": "ADetailer"}])
def test_a_server_that_lacks_it_is_not_even_asked(params):
    with pytest.raises(BackendError) as caught:
        prepared(ServerInventory(scripts=("controlnet",)), **params)
    assert caught.value.error_class is ErrorClass.ELSEWHERE
    assert caught.value.code == "script_missing"
    assert "'ADetailer'" in caught.value.message


@pytest.mark.parametrize("inventory", [None, ServerInventory()])
def test_a_server_that_does_not_say_what_it_has_is_asked(inventory):
    assert prepared(inventory, alwayson_scripts=DETAILER).body["alwayson_scripts"] == DETAILER


def test_the_refiner_of_the_script_is_spelled_as_the_server_does():
    known = KnownModel("sd_xl/refiner.safetensors", "0123456789")
    body = prepared(
        ServerInventory(scripts=("refiner",), checkpoints=(known,)),
        alwayson_scripts={"Refiner": {"args": [True, "refiner.safetensors [0123456789]", 0.8]}},
    ).body
    assert body["alwayson_scripts"]["Refiner"]["args"] == [True, "sd_xl/refiner.safetensors", 0.8]


@pytest.mark.parametrize("args", [[False, "gone", 0.8], [True, "", 0.8], [True], "odd", None])
def test_a_refiner_that_is_off_or_odd_is_left_as_it_is(args):
    scripts = {"Refiner": {"args": args}}
    there = ServerInventory(scripts=("refiner",), checkpoints=(KnownModel("a"),))
    assert prepared(there, alwayson_scripts=scripts).body["alwayson_scripts"] == scripts


def test_a_refiner_that_the_server_lacks_sends_the_job_elsewhere():
    there = ServerInventory(scripts=("refiner",), checkpoints=(KnownModel("a"),))
    with pytest.raises(BackendError) as caught:
        prepared(there, alwayson_scripts=REFINED)
    assert (caught.value.code, caught.value.error_class) == (
        "checkpoint_missing",
        ErrorClass.ELSEWHERE,
    )


def test_an_inventory_of_before_knows_no_styles_and_no_control_models():
    """Read from a row that an older version wrote: unknown, not none."""
    old = ServerInventory.from_json({"scripts": ["controlnet"]})
    assert (old.styles, old.control_models) == (None, None)
    unit = {"enabled": True, "model": "canny"}
    asked = {"styles": ["a"], "alwayson_scripts": {"ControlNet": {"args": [unit]}}}
    assert prepared(old, **asked).warnings == []
    new = ServerInventory.from_json({"scripts": ["controlnet"], "styles": [], "control_models": []})
    assert len(prepared(new, **asked).warnings) == 2


@pytest.mark.django_db(transaction=True)
def test_the_job_goes_on_to_the_server_that_has_it():
    with FakeForge(seconds=0.05) as plain, FakeForge(seconds=0.05, scripts=["ADetailer"]) as fitted:
        servers = connected(plain, "a"), connected(fitted, "b")
        (job,) = queue(params={"alwayson_scripts": DETAILER})
        with lane(servers[0]):
            pass
        job.refresh_from_db()
        assert (job.status, job.avoid_servers) == ("pending", ["a"])
        with lane(servers[1]):
            (done,) = until_final([job])
        assert plain.log.runs() == []
        assert len(fitted.log.runs()) == 1
    assert done.status == "completed"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("target", ["", "a"])
def test_where_no_server_has_it_the_order_is_warned_and_the_job_says_why_it_failed(target):
    api = Api(factories.key(factories.user())[1])
    with FakeForge(seconds=0.05) as fake:
        server = connected(fake)
        params = {"positive_prompt": "a cat", "steps": 2, "alwayson_scripts": DETAILER}
        body = {"generation_params": params, "target_server_alias": target or None}
        answer = api.send("POST", "/api/v2/generate", body).json()
        assert answer["warnings"] == [
            f"The extension ADetailer is not on {target or 'any server'}: the job would fail."
        ]
        with lane(server):
            (done,) = until_final(list(Job.objects.all()))
        assert fake.log.runs() == []
    assert (done.status, done.error_code) == ("failed", "script_missing")
    assert "ADetailer" in done.error_message
    assert done.error_hint


@pytest.mark.django_db(transaction=True)
def test_an_order_is_not_warned_of_what_one_of_the_servers_has():
    api = Api(factories.key(factories.user())[1])
    with FakeForge() as plain, FakeForge(scripts=["ADetailer"]) as fitted:
        connected(plain, "a")
        connected(fitted, "b")
        for target, warned in ((None, False), ("b", False), ("a", True)):
            params = {"positive_prompt": "a cat", "alwayson_scripts": DETAILER}
            body = {"generation_params": params, "target_server_alias": target}
            answer = api.send("POST", "/api/v2/generate", body).json()
            assert bool(answer["warnings"]) == warned, json.dumps(answer)
