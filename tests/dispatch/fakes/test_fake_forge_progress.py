"""Progress while a job runs, against the recorded transcripts."""

import pytest

from tests.dispatch.fakes.helpers import (
    RANDOM_A,
    RANDOM_B,
    Background,
    info,
    picture,
    recording,
    transcript,
    wait_for,
)


def api_states(lines, steps):
    """Return what /sdapi/v1/progress showed of the job, without times.

    Left out are the milliseconds in which sampling is prepared and the steps of the job before
    are still shown.
    """
    states = []
    for body in lines:
        state = {k: v for k, v in body["state"].items() if k != "job_timestamp"}
        prepared = state["sampling_steps"] in steps or state["job_count"] < 0
        if state["job"] and prepared:
            if state["job_count"] < 0:
                state["sampling_steps"] = None  # whatever the job before had
            states.append((round(body["progress"], 9), tuple(state.items())))
    return list(dict.fromkeys(states))


def task_states(lines):
    names = ("active", "queued", "completed", "textinfo")
    return list(
        dict.fromkeys(
            (*(body[name] for name in names), body["progress"] and round(body["progress"], 9))
            for body in lines
        )
    )


def assert_in_order(wanted, seen):
    left = iter(seen)
    for state in wanted:
        assert state in left, f"{state} is missing, or out of order, in {seen}"


@pytest.mark.parametrize(
    ("name", "answer", "steps"),
    [
        ("progress/single-run", "progress/single-run", {8}),
        ("progress/iter2-hires-live", "progress/iter2-hires", {6, 3}),
        ("progress/with-model-load", "progress/with-model-load", {4}),
    ],
)
def test_job_shows_the_recorded_states(serve, name, answer, steps):
    client = serve(seconds=0.15 * max(steps), load_seconds=0.3)
    if name == "progress/with-model-load":
        client.forge.engine.load(RANDOM_A, client.forge.log.open("", {}))
    lines = transcript(name)
    sent = next(index for index, line in enumerate(lines) if line.get("event") == "send")
    token = lines[sent]["force_task_id"]
    recorded_api = [line["json"] for line in lines[sent:] if "sdapi" in line.get("src", "")]
    recorded_task = [line["json"] for line in lines[sent:] if line.get("id_task") == token]
    job = Background(client.replay, recording(answer))
    seen_api, seen_task = [], []
    while not job.done:
        seen_api.append(client.progress())
        seen_task.append(client.task(token, live_preview=False))
    seen_task.append(client.task(token, live_preview=False))
    assert job.result().status_code == 200
    assert_in_order(api_states(recorded_api, steps), api_states(seen_api, steps))
    running = [state for state in task_states(recorded_task) if state[0]]
    assert_in_order(running, task_states(seen_task))
    assert task_states(seen_task)[-1] == task_states(recorded_task)[-1]


def test_progress_ends_at_zero_and_never_says_one(serve):
    client = serve(seconds=0.3)
    job = Background(client.txt2img, steps=6)
    seen = []
    while not job.done:
        seen.append(client.progress()["progress"])
    assert max(seen) < 1
    assert client.progress()["progress"] == 0


def test_eta_comes_from_the_time_so_far(serve):
    client = serve(seconds=0.6)
    job = Background(client.txt2img, steps=4, force_task_id="t")
    state = wait_for(lambda: (p := client.progress())["progress"] > 0.5 and p)
    assert 0.05 < state["eta_relative"] < 0.6
    assert 0.05 < client.task("t", live_preview=False)["eta"] < 0.6
    job.result()
    assert client.progress()["eta_relative"] == 0


def test_model_load_shows_nothing(serve):
    client = serve(load_seconds=0.3)
    job = Background(client.txt2img, force_task_id="t")
    state = wait_for(lambda: (p := client.progress())["state"]["job"] and p)
    assert (state["progress"], state["state"]["job_count"]) == (0.01, -1)
    assert client.task("t")["progress"] == 0
    job.result()


def test_live_preview_is_made_every_ten_steps_when_asked_for(serve):
    client = serve(seconds=0.9)
    job = Background(client.txt2img, steps=24, force_task_id="live")

    def at(step):
        return wait_for(lambda: client.progress()["state"]["sampling_step"] >= step)

    at(5)
    early = client.task("live")
    assert (early["live_preview"], early["id_live_preview"]) == (None, -1)
    at(10)
    assert client.task("live", live_preview=False)["live_preview"] is None
    first = client.task("live")
    assert first["id_live_preview"] == 1
    head, _, encoded = first["live_preview"].partition(",")
    assert head == "data:image/png;base64"
    assert picture(encoded).size == (16, 16)
    again = client.task("live", id_live_preview=1)
    assert (again["live_preview"], again["id_live_preview"]) == (None, 1)
    shown = client.get("/sdapi/v1/progress").json()["current_image"]
    assert picture(shown).size == (16, 16)
    assert client.progress()["current_image"] is None
    at(20)
    second = client.task("live", id_live_preview=1)
    assert second["id_live_preview"] == 2
    assert second["live_preview"] != first["live_preview"]
    assert job.result().status_code == 200
    assert client.get("/sdapi/v1/progress").json()["current_image"] is None


def test_preview_can_be_had_at_every_step(serve):
    client = serve(seconds=0.3, options={"show_progress_every_n_steps": 1})
    job = Background(client.txt2img, steps=5, force_task_id="live")
    wait_for(lambda: client.task("live")["live_preview"])
    job.result()


def test_switching_by_options_changes_the_rest_of_a_running_job(serve):
    client = serve(seconds=0.1)
    job = Background(client.txt2img, n_iter=3, seed=5)
    wait_for(lambda: client.progress()["state"]["job"] == "Batch 1 out of 3")
    client.post("/sdapi/v1/options", {"sd_model_checkpoint": RANDOM_B.name})
    answer = job.result()
    assert all("Model: random_a" in text for text in info(answer)["infotexts"])
    alone = {
        name: client.txt2img(seed=6, override_settings={"sd_model_checkpoint": name}).json()
        for name in (RANDOM_A.name, RANDOM_B.name)
    }
    pixels = picture(answer.json()["images"][1]).tobytes()
    assert pixels == picture(alone[RANDOM_B.name]["images"][0]).tobytes()
    assert pixels != picture(alone[RANDOM_A.name]["images"][0]).tobytes()
