"""Faults on request: each strikes as often as asked, then the fake is well again."""

import http.client
import time

import pytest
import requests

from tests.dispatch.fakes.helpers import (
    RANDOM_A,
    RANDOM_B,
    Background,
    info,
    picture,
    wait_for,
)


def assert_well(client):
    """The fault is used up."""
    assert client.get("/_fake/faults").json() == []
    assert client.txt2img(force_task_id="well").status_code == 200


@pytest.mark.parametrize(
    ("kind", "error"), [("http_500", "RuntimeError"), ("oom", "OutOfMemoryError")]
)
def test_error_fails_the_run_and_leaves_its_task_active(client, kind, error):
    client.fault(kind, times=2)
    for number in range(2):
        answer = client.txt2img(force_task_id=f"job-{number}")
        assert answer.status_code == 500
        assert list(answer.json()) == ["error", "detail", "body", "message"]
        assert answer.json()["error"] == error
    assert client.task("job-1")["active"]
    run = client.runs()[0]
    assert (run["status"], run["faults"]) == (500, [kind])
    assert run["started_at"] is not None
    assert_well(client)


def test_out_of_memory_can_strike_after_some_steps(serve):
    client = serve(seconds=0.4)
    client.fault("oom", after_steps=3)
    answer = client.txt2img(steps=4)
    assert "CUDA out of memory" in answer.json()["message"]
    run = client.runs()[0]
    assert run["ended_at"] - run["started_at"] > 0.29


def test_error_can_strike_other_routes(client):
    client.fault("http_500", path="/sdapi/v1/sd-models", message="no disk")
    answer = client.get("/sdapi/v1/sd-models")
    assert (answer.status_code, answer.json()["message"]) == (500, "no disk")
    assert client.get("/sdapi/v1/sd-models").status_code == 200


def test_html_is_answered_without_a_run(client):
    client.fault("html")
    answer = client.txt2img(force_task_id="t")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    run = client.runs()[0]
    assert (run["token"], run["started_at"], run["faults"]) == ("t", None, ["html"])
    assert_well(client)


def test_garbage_json_comes_after_a_whole_run(client):
    client.fault("garbage_json")
    answer = client.txt2img()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    with pytest.raises(requests.exceptions.JSONDecodeError):
        answer.json()
    assert client.runs()[0]["ended_at"] is not None
    assert_well(client)


def test_huge_answer_flows_until_the_client_hangs_up(client):
    client.fault("huge_answer")
    with client.call("POST", "/sdapi/v1/txt2img", json={}, stream=True) as answer:
        received = 0
        for chunk in answer.iter_content(1 << 16):
            received += len(chunk)
            if received > 5_000_000:
                break
        assert "content-length" not in answer.headers
    wait_for(lambda: len(client.forge._connections) == 0)
    assert_well(client)


def test_huge_answer_ends_at_its_size(client):
    client.fault("huge_answer", size=300_000, declare_size=True)
    answer = client.txt2img()
    assert len(answer.content) == int(answer.headers["content-length"]) == 300_000


@pytest.mark.parametrize(("kind", "ran"), [("drop_before", False), ("drop_after", True)])
def test_connection_is_dropped_before_or_after_the_run(client, kind, ran):
    client.fault(kind)
    with pytest.raises(requests.ConnectionError, match="RemoteDisconnected"):
        client.txt2img(force_task_id="t")
    run = client.runs()[0]
    assert (run["token"], run["status"]) == ("t", None)
    assert (run["ended_at"] is not None) is ran
    assert client.task("t")["completed"] is ran
    assert_well(client)


def test_half_closed_answer_breaks_off(client):
    client.fault("half_closed")
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        client.txt2img()
    assert client.runs()[0]["ended_at"] is not None
    assert_well(client)


def test_half_closed_answer_has_whole_headers(client):
    client.fault("half_closed", path="/sdapi/v1/samplers")
    connection = http.client.HTTPConnection("127.0.0.1", client.forge.port, timeout=5)
    connection.request("GET", "/sdapi/v1/samplers")
    response = connection.getresponse()
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    connection.close()
    assert int(response.headers["content-length"]) == 2008


def test_slow_answer_can_strike_any_route(client):
    client.fault("slow", seconds=0.2, routes=["/sdapi/v1/progress", "/internal/*"], times=2)
    for path in ("/sdapi/v1/progress", "/internal/ping", "/sdapi/v1/samplers"):
        start = time.monotonic()
        client.get(path)
        assert (time.monotonic() - start > 0.19) is (path != "/sdapi/v1/samplers")


def test_stall_stops_the_progress(serve):
    client = serve(seconds=0.2)
    client.fault("stall", seconds=0.3, after_steps=2)
    job = Background(client.txt2img, steps=4)
    wait_for(lambda: client.progress()["state"]["sampling_step"] == 2)
    steps = [client.progress()["state"]["sampling_step"] for _ in range(20)]
    assert set(steps) == {2}
    assert job.result().status_code == 200
    run = client.runs()[0]
    assert 0.45 < run["ended_at"] - run["started_at"] < 2
    assert_well(client)


def test_poisoned_server_is_healed_by_another_checkpoint(client):
    client.txt2img()
    client.fault("poison")
    other = {"sd_model_checkpoint": RANDOM_B.name}
    for _ in range(2):
        answer = client.txt2img()
        assert (answer.status_code, answer.json()["error"]) == (500, "AttributeError")
    assert client.txt2img(override_settings=other).status_code == 200
    assert_well(client)


def test_broken_checkpoint_poisons_the_server(client):
    client.txt2img()
    client.fault("broken_checkpoint", checkpoint=RANDOM_B.name)
    assert client.txt2img().status_code == 200
    answer = client.txt2img(override_settings={"sd_model_checkpoint": RANDOM_B.name})
    assert answer.json()["message"] == "Failed to recognize model type!"
    assert client.txt2img().json()["error"] == "AttributeError"
    assert client.txt2img(override_settings={"sd_model_checkpoint": "random_full"}).ok
    assert_well(client)


def test_refused_connection(client):
    client.forge.faults.add("refuse", times=2)
    for _ in range(2):
        with pytest.raises(requests.ConnectionError):
            client.get("/sdapi/v1/progress")
    assert_well(client)


def test_no_images_and_black_image(client):
    client.fault("no_images")
    client.fault("black_image")
    empty = client.txt2img()
    assert (empty.status_code, empty.json()["images"]) == (200, [])
    client.fault("black_image")
    assert picture(client.txt2img().json()["images"][0]).getbbox() is None
    assert_well(client)


def test_not_ready_hides_the_whole_api(client):
    client.fault("not_ready", times=3)
    for path in ("/sdapi/v1/progress", "/internal/ping", "/sdapi/v1/loras"):
        assert client.get(path).status_code == 404
    assert client.get("/").status_code == 200
    assert_well(client)


def test_not_ready_can_last_for_a_time(client):
    client.fault("not_ready", for_seconds=0.3)
    assert client.get("/sdapi/v1/progress").status_code == 404
    wait_for(lambda: client.get("/sdapi/v1/progress").status_code == 200)
    assert_well(client)


def test_foreign_interrupt_ends_the_run_by_itself(serve):
    client = serve(seconds=0.4)
    client.fault("foreign_interrupt", after_steps=2)
    assert client.txt2img(steps=10).status_code == 200
    run = client.runs()[0]
    assert run["interrupted"]
    assert run["ended_at"] - run["started_at"] < 0.3
    client.forge.engine.seconds = 0
    client.fault("foreign_interrupt", skip=1)
    client.txt2img()
    assert not client.runs()[1]["interrupted"]


def test_wrong_checkpoint_is_used_in_silence(client):
    client.fault("wrong_checkpoint")
    answer = client.txt2img(override_settings={"sd_model_checkpoint": RANDOM_A.name})
    assert answer.status_code == 200
    assert info(answer)["sd_model_name"] == "random_full"
    assert client.runs()[0]["checkpoint"] == "random_full.safetensors"
    assert_well(client)


def test_skip_lets_some_pass_first(client):
    client.fault("http_500", skip=2)
    assert [client.txt2img().status_code for _ in range(4)] == [200, 200, 500, 200]


def test_faults_are_listed_and_cleared(client):
    client.fault("http_500", times=3, path="/sdapi/v1/img2img")
    (listed,) = client.get("/_fake/faults").json()
    assert (listed["kind"], listed["times"]) == ("http_500", 3)
    assert listed["path"] == ["/sdapi/v1/img2img"]
    client.call("DELETE", "/_fake/faults")
    assert_well(client)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ([], "object"),
        ({}, "No fault is called None"),
        ({"kind": "nope"}, "http_500"),
        ({"kind": "oom", "times": 0}, "times"),
        ({"kind": "oom", "times": "two"}, "times"),
        ({"kind": "slow", "seconds": -1}, "seconds"),
        ({"kind": "slow", "secs": 1}, "secs"),
        ({"kind": "slow", "path": 5}, "path"),
    ],
)
def test_unclear_fault_is_refused_with_a_reason(client, body, word):
    answer = client.post("/_fake/faults", body)
    assert answer.status_code == 422
    assert word in answer.json()["detail"]
    assert client.get("/_fake/faults").json() == []
