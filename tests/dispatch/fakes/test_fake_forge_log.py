"""The log of runs, by which tests and bench judge what really arrived."""

import base64
import hashlib
import time

from PIL import Image

from dispatch.fakes.forge import FakeForge
from dispatch.fakes.forge.runlog import RunLog
from tests.dispatch.fakes.helpers import CAT, Client
from tests.dispatch.fakes.test_fake_forge_pictures import _png


def test_run_is_logged_with_its_times_and_payload(client):
    before = time.time()
    client.txt2img(force_task_id="job-1", unknown_field=[1])
    (run,) = client.runs()
    assert run["token"] == "job-1"
    assert run["payload"] == {**CAT, "force_task_id": "job-1", "unknown_field": [1]}
    assert before <= run["arrived_at"] <= run["started_at"] <= run["ended_at"] <= time.time()
    assert (run["status"], run["interrupted"], run["faults"]) == (200, False, [])
    assert run["path"] == "/sdapi/v1/txt2img"


def test_refused_request_is_logged_without_a_start(client):
    client.txt2img(steps="many")
    client.txt2img(alwayson_scripts={"adetailer": {}})
    client.img2img(init_images=["!!!!"])
    assert [run["started_at"] for run in client.runs()] == [None] * 3
    assert [run["status"] for run in client.runs()] == [422, 422, 500]


def test_dropped_override_is_still_in_the_logged_payload(client):
    client.txt2img(override_settings={"sd_model_checkpoint": "nope"})
    assert client.runs()[0]["payload"]["override_settings"] == {"sd_model_checkpoint": "nope"}


def test_big_picture_is_logged_as_its_hash(client):
    content = _png(Image.effect_noise((96, 96), 90).convert("RGB"))
    encoded = base64.b64encode(content).decode()
    client.img2img(init_images=[f"data:image/png;base64,{encoded}"], prompt="long " * 2000)
    payload = client.runs()[0]["payload"]
    digest = hashlib.sha256(content).hexdigest()
    assert payload["init_images"] == [f"sha256:{digest}"]
    assert payload["prompt"] == "long " * 2000
    assert client.forge.log.raw(payload["init_images"][0]).endswith(encoded)


def test_log_keeps_the_last_two_thousand_runs():
    log = RunLog()
    for number in range(2010):
        log.open("/sdapi/v1/txt2img", {"force_task_id": str(number)})
    runs = log.runs()
    assert (len(runs), runs[0].token, runs[-1].token) == (2000, "10", "2009")


def test_log_can_be_cleared(client):
    client.txt2img()
    client.call("DELETE", "/_fake/log")
    assert client.runs() == []


def test_log_given_from_outside_outlives_a_restart():
    log = RunLog()
    for token in ("before", "after"):
        with FakeForge(seconds=0, log=log) as forge:
            Client(forge).txt2img(force_task_id=token)
    assert [run.token for run in log.runs()] == ["before", "after"]


def test_model_files_change_on_request(client):
    changed = client.post("/_fake/checkpoints", {"add": ["new.safetensors"]})
    assert changed.status_code == 200
    titles = [item["title"] for item in client.get("/sdapi/v1/sd-models").json()]
    assert "new.safetensors" not in titles
    client.post("/sdapi/v1/refresh-checkpoints")
    titles = [item["title"] for item in client.get("/sdapi/v1/sd-models").json()]
    assert "new.safetensors" in titles
    assert client.post("/_fake/checkpoints", {"add": "new"}).status_code == 422


def test_unknown_route_of_the_fake_names_the_known_ones(client):
    answer = client.get("/_fake/nope")
    assert answer.status_code == 404
    assert "/_fake/faults" in answer.json()["detail"]
