"""Progress is polled, and only for display: no answer is no progress, never an error."""

import uuid

import pytest

from tests.dispatch.forge.helpers import http, wait_for

IDLE = {"job": "", "job_count": 0, "job_no": 0, "sampling_step": 0, "sampling_steps": 0}


def test_progress_rises_through_batches_and_knows_its_end(drive):
    forge = drive(seconds=0.4)
    started = forge.begin(steps=8, n_iter=2)
    seen = []
    while started.is_running:
        progress = forge.dispatcher.progress(started.token, preview=False, task_ids=True)
        if progress.active:
            seen.append(progress)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] > 0.6
    assert any(progress.sampling for progress in seen)
    assert any(progress.eta and 0 < progress.eta < 5 for progress in seen)
    texts = {progress.text for progress in seen}
    assert any(text.startswith("Batch 1 out of 2 · Step ") for text in texts)
    assert any(text.startswith("Batch 2 out of 2 · Step ") for text in texts)
    assert not forge.dispatcher.progress(started.token, preview=False, task_ids=True).active


def test_model_load_shows_as_preparing(drive):
    forge = drive(seconds=0.3, load_seconds=0.4)
    started = forge.begin(steps=4)
    progress = wait_for(
        lambda: (
            (p := forge.dispatcher.progress(started.token, preview=False, task_ids=True)).active
            and p
        )
    )
    assert progress.text == "Preparing"
    assert not progress.sampling
    assert progress.eta is None
    started.result()


@pytest.mark.parametrize(("fraction", "eta"), [(0.02, None), (0.03, 9.0)])
def test_guess_of_the_end_before_the_first_step_is_not_shown(scripted, fraction, eta):
    task = {"active": True, "progress": fraction, "eta": 9.0}
    driver = scripted(http(body=task), http(body={"progress": 0, "state": IDLE})).driver()
    assert driver.progress(uuid.uuid4(), preview=False, task_ids=True).eta == eta


@pytest.mark.parametrize(("job", "interrupted"), [("scripts_txt2img", True), ("", False)])
def test_interrupt_counts_only_while_something_runs(scripted, job, interrupted):
    whole = {"progress": 0.5, "state": {**IDLE, "job": job, "interrupted": True}}
    driver = scripted(http(body=whole)).driver()
    progress = driver.progress(uuid.uuid4(), preview=False, task_ids=False)
    assert progress.interrupted == interrupted
    assert driver.was_interrupted() != interrupted, "that is for an idle server to say"


def test_preview_is_asked_for_only_when_wanted(drive):
    forge = drive(seconds=0.5, options={"show_progress_every_n_steps": 1})
    started = forge.begin(steps=10)
    look = forge.dispatcher
    wait_for(lambda: look.progress(started.token, preview=False, task_ids=True).sampling)
    assert forge.fake.engine.state.id_live_preview == 0, "it costs GPU time"
    preview = wait_for(lambda: look.progress(started.token, preview=True, task_ids=True).preview)
    assert preview.startswith(b"\x89PNG")
    started.result()


@pytest.mark.parametrize(
    "live_preview",
    [
        5,
        "",
        "http://example.org/x.png",
        "data:text/html;base64,PGI+",
        "data:image/svg+xml;base64,PHN2Zz48L3N2Zz4=",
        "data:image/png;base64,%%%",
        "data:image/png;base64,aGVsbG8=",
    ],
)
def test_preview_that_is_no_picture_is_left_out(scripted, live_preview):
    task = {"active": True, "progress": 0.5, "live_preview": live_preview}
    driver = scripted(http(body=task), http(body={"progress": 0.5, "state": IDLE})).driver()
    progress = driver.progress(uuid.uuid4(), preview=True, task_ids=True)
    assert (progress.fraction, progress.preview) == (0.5, None)


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "1e999", "-3", '"x"', "[]", "null", "1" * 4000]
)
def test_numbers_that_mean_nothing_become_zero(scripted, number):
    task = f'{{"active": true, "progress": {number}, "eta": {number}}}'
    state = "".join(
        f'"{name}": {number},'
        for name in ("job_count", "job_no", "sampling_step", "sampling_steps")
    )
    whole = f'{{"progress": {number}, "state": {{{state} "job": "x"}}}}'
    driver = scripted(http(body=task.encode()), http(body=whole.encode())).driver()
    progress = driver.progress(uuid.uuid4(), preview=False, task_ids=True)
    assert (progress.fraction, progress.eta) == (0.0, None)


@pytest.mark.parametrize(
    "answer",
    [
        http(body=b"nonsense"),
        http(body=b"[" * 100_000),
        http(body=[]),
        http(body={"state": []}),
        http(500, {"error": "x"}),
        http(502, b"<html>", "text/html"),
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
        b"\x00\xff nonsense\r\n\r\n",
    ],
)
def test_answer_that_can_not_be_used_is_no_progress(scripted, answer):
    server = scripted(answer)
    driver = server.driver()
    assert driver.progress(uuid.uuid4(), preview=True, task_ids=False) is None
    with_ids = driver.progress(uuid.uuid4(), preview=True, task_ids=True)
    assert with_ids is None or not with_ids.active
    assert driver.probe().health == "offline"
    assert driver.leftovers() == frozenset()
    assert not driver.alone(uuid.uuid4(), frozenset())
    assert not driver.was_interrupted()
