"""Every recorded exchange that needs no history, replayed against the fake."""

import threading

import pytest

from tests.dispatch.fakes.helpers import (
    BROKEN,
    RANDOM_A,
    RANDOM_B,
    RANDOM_C,
    RANDOM_FULL,
    RECORDINGS,
    assert_answers,
    assert_like,
    info,
    recording,
)

# Exchanges that come after others; each has a test of its own below or beside this file.
WITH_HISTORY = {
    "discovery/progress-idle",
    "discovery/progress-idle-default",
    "errors/failing-job-pending-after",
    "errors/failing-job-progress-after",
    "errors/failing-job-progress-later",
    "errors/img2img-bad-image-pending",
    "errors/img2img-bad-image-progress",
    "options/get-trimmed",
    "options/leak-2-next-job-without-override",
    "options/leak-3-options",
    "txt2img/force-task-id",
    "txt2img/force-task-id-finished",
    "txt2img/options-after-keep",
    "txt2img/png-info",
}
NOT_COMPARED = {
    "discovery/script-info": "trimmed in the recording, and so shorter",
    "discovery/controlnet-module-list": "trimmed in the recording, and so shorter",
    "discovery/prompt-styles": "trimmed in the recording, and so shorter",
    "txt2img/alwayson-dynthres": "an error deep inside a script that the fake does not have",
    "txt2img/memory-after": "the recorded machine's memory",
}
FOLDERS = ("discovery", "errors", "img2img", "options", "txt2img")
NAMES = sorted(
    f"{folder}/{path.stem}" for folder in FOLDERS for path in (RECORDINGS / folder).glob("*.json")
)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in WITH_HISTORY | NOT_COMPARED.keys()])
def test_answers_as_recorded(client, name):
    exchange = recording(name)
    assert_answers(exchange, client.replay(exchange))


@pytest.mark.parametrize("name", ["script-info", "controlnet-module-list", "prompt-styles"])
def test_answers_trimmed_recordings_with_the_same_fields(client, name):
    exchange = recording(f"discovery/{name}")
    assert_like(exchange["response"]["json"], client.replay(exchange).json())


def test_null_sampler_index_is_refused(client):
    answer = client.txt2img(sampler_index=None)
    assert answer.status_code == 422
    assert answer.json()["detail"] == [
        {
            "type": "string_type",
            "loc": ["body", "sampler_index"],
            "msg": "Input should be a valid string",
            "input": None,
            "url": "https://errors.pydantic.dev/2.8/v/string_type",
        }
    ]


def test_payload_captured_from_the_page_runs(serve):
    payload = recording("extension/captured-txt2img")["payload"]
    client = serve(scripts=["StableQueue"])
    answer = client.post("/sdapi/v1/txt2img", payload)
    assert answer.status_code == 200
    made = info(answer)
    assert (made["sampler_name"], made["seed"], made["steps"]) == ("Euler a", 4242, 3)
    assert "random_lora: 9a8437a54c35" in made["infotexts"][0]
    assert client.runs()[0]["payload"] == payload


def test_captured_controlnet_unit_without_a_picture_does_nothing(client):
    unit = recording("extension/captured-controlnet-enabled")
    answer = client.txt2img(alwayson_scripts={"ControlNet": unit})
    assert (answer.status_code, len(answer.json()["images"])) == (200, 1)


def test_idle_progress_keeps_the_steps_of_the_job_before(client):
    client.txt2img(steps=3)
    exchange = recording("discovery/progress-idle")
    answer = client.replay(exchange)
    assert_like(exchange["response"]["json"], answer.json())
    assert answer.headers["content-length"] == exchange["response"]["headers"]["content-length"]
    assert_like(
        recording("discovery/progress-idle-default")["response"]["json"],
        client.get("/sdapi/v1/progress").json(),
    )


def test_drawn_seed_is_in_info_and_minus_one_in_parameters(client):
    exchange = recording("txt2img/force-task-id")
    answer = client.replay(exchange).json()
    expected = exchange["response"]["json"]
    assert_like(expected["parameters"], answer["parameters"])
    assert answer["parameters"]["seed"] == -1
    assert '"seed": -1' not in answer["info"]
    finished = recording("txt2img/force-task-id-finished")
    assert_answers(finished, client.replay(finished))


def test_png_info_reads_what_the_picture_says(client):
    exchange = recording("txt2img/png-info")
    image = client.txt2img(seed=77).json()["images"][0]
    for encoded in (image, f"data:image/png;base64,{image}"):
        answer = client.post("/sdapi/v1/png-info", {"image": encoded})
        assert_like(exchange["response"]["json"], answer.json())


def test_failed_job_stays_active_until_the_next_begins(client):
    for name in ("failing-job", "failing-job-progress-after", "failing-job-pending-after"):
        exchange = recording(f"errors/{name}")
        assert_answers(exchange, client.replay(exchange))
    client.txt2img()
    exchange = recording("errors/failing-job-progress-later")
    assert_answers(exchange, client.replay(exchange))


def test_job_with_a_bad_init_image_stays_queued_for_ever(client):
    for name in ("img2img-bad-image", "img2img-bad-image-progress", "img2img-bad-image-pending"):
        exchange = recording(f"errors/{name}")
        assert_answers(exchange, client.replay(exchange))
    client.txt2img()
    assert client.task("job-bad-image")["queued"] is True


def test_overrides_of_options_outside_config_json_leak(client):
    for name in ("leak-1-override", "leak-2-next-job-without-override"):
        exchange = recording(f"options/{name}")
        assert_answers(exchange, client.replay(exchange))
    options = client.get("/sdapi/v1/options").json()
    for name, value in recording("options/leak-3-options")["response"]["json"].items():
        assert options[name] == value


def test_leaked_return_grid_takes_the_grid_out_of_later_answers(client):
    for name in ("txt2img/batch2-grid-off", "queue/batch2-saved-grid"):
        exchange = recording(name)
        assert_answers(exchange, client.replay(exchange))


def test_options_are_the_recorded_ones_in_their_order(client):
    exchange = recording("options/get-trimmed")
    options = client.replay(exchange).json()
    assert {**options, **exchange["response"]["json"]} == options


def test_override_without_restore_stays(client):
    client.replay(recording("txt2img/override-checkpoint-keep"))
    options = client.get("/sdapi/v1/options").json()
    for name, value in recording("txt2img/options-after-keep")["response"]["json"].items():
        assert options[name] == value


@pytest.mark.parametrize(
    "name", ["post-stem", "post-model_name", "post-hash", "post-sha256", "post-title"]
)
def test_options_echo_the_alias_that_was_sent(client, name):
    exchange = recording(f"options/{name}")
    client.replay(exchange)
    options = client.get("/sdapi/v1/options").json()
    alias = exchange["request"]["json"]["sd_model_checkpoint"]
    assert options["sd_model_checkpoint"] == alias


def test_models_appear_load_break_and_poison_as_recorded(serve):
    client = serve(checkpoints=[RANDOM_A, RANDOM_FULL, RANDOM_B])
    inventory = client.forge.inventory
    client.txt2img()

    def replay(name):
        exchange = recording(f"models/{name}")
        assert_answers(exchange, client.replay(exchange))

    inventory.add(RANDOM_C)
    replay("override-not-yet-listed")
    replay("refresh")
    replay("override-listed")
    inventory.remove(RANDOM_C.name)
    replay("override-deleted-file-loaded")
    client.txt2img()  # the selected model: random_c has to be read again
    replay("override-deleted-file")
    replay("after-failed-load")
    replay("after-failed-load-2")
    replay("poisoned-still")
    replay("poisoned-unload")
    replay("poisoned-reload")
    replay("poisoned-after-reload")
    replay("poisoned-remedy-other-model")
    replay("poisoned-after-remedy")
    inventory.add(BROKEN)
    replay("refresh")
    replay("override-broken-file")
    replay("after-broken")
    listed = {item["title"]: item for item in client.get("/sdapi/v1/sd-models").json()}
    for item in recording("models/sd-models-after")["response"]["json"]:
        assert listed[item["title"]] == item


AUTH = {
    "none-interrupt",
    "none-progress",
    "none-sd-models",
    "none-txt2img",
    "none-internal-progress",
    "none-pending-tasks",
    "none-ping",
    "none-loras-after-start",
    "none-controlnet-after-start",
    "right-bearer",
    "right-txt2img",
    "wrong-password",
}


@pytest.mark.parametrize("name", sorted(AUTH))
def test_api_auth_guards_only_forges_own_routes(serve, name):
    client = serve(api_auth="user:pass")
    exchange = recording(f"auth/{name}")
    assert_answers(exchange, client.replay(exchange))


def test_api_auth_lets_the_right_user_in(serve):
    client = serve(api_auth="user:pass")
    client.replay(recording("auth/right-txt2img"))
    exchange = recording("auth/right")
    assert_answers(exchange, client.replay(exchange))


NOWEBUI = (
    "hires",
    "internal-progress",
    "loras",
    "pending-tasks",
    "ping",
    "root",
    "script-list",
    "sysinfo",
    "txt2img",
)


@pytest.mark.parametrize("name", NOWEBUI)
def test_nowebui_has_no_page_and_no_internal_routes(serve, name):
    client = serve(nowebui=True)
    exchange = recording(f"nowebui/{name}")
    assert_answers(exchange, client.replay(exchange))


@pytest.mark.parametrize(
    "name",
    ["interrupt/interrupt-idle", "interrupt/skip-idle", "interrupt/run-after-idle-interrupt"],
)
def test_commands_when_idle_do_nothing(client, name):
    client.post("/sdapi/v1/interrupt")
    exchange = recording(name)
    assert_answers(exchange, client.replay(exchange))


def test_interrupted_stays_true_when_idle(client):
    client.txt2img(steps=4)
    client.post("/sdapi/v1/interrupt")
    exchange = recording("interrupt/progress-after-interrupt-idle")
    assert_like(exchange["response"]["json"], client.replay(exchange).json())


def test_upscaling_says_100_percent_while_it_runs_and_nothing_after_it(serve):
    client = serve(seconds=0.4)
    thread = threading.Thread(target=client.replay, args=(recording("img2img/extra-single-image"),))
    thread.start()
    while (state := client.progress()["state"])["job"] != "Upscale":
        assert thread.is_alive()
    assert (state["job_count"], state["job_no"]) == (1, 1)
    thread.join()
    assert client.progress()["state"]["job"] == ""


def test_failed_upscaling_says_100_percent_until_the_next_job(client):
    client.txt2img(steps=3)
    client.replay(recording("img2img/extra-single-image-unknown"))
    stuck = client.progress()
    assert stuck.pop("eta_relative") <= 0
    expected = {
        "progress": 1.0,
        "state": {
            "skipped": False,
            "interrupted": False,
            "stopping_generation": False,
            "job": "Upscale",
            "job_count": 1,
            "job_no": 1,
            "sampling_step": 0,
            "sampling_steps": 3,
        },
        "current_image": None,
        "textinfo": None,
    }
    del stuck["state"]["job_timestamp"]
    assert stuck == expected
    client.txt2img()
    assert client.progress()["progress"] == 0
