"""Forge's own functions, called by the companion: answers as its routes give, exact cancels."""

import json
import threading

import pytest
from mobilesd_forge.host_engine import ForgeEngine
from PIL import Image

from tests.extension_forge.companion.conftest import eventually
from tests.extension_forge.companion.forge_like import ForgeLike


class Ordered:
    """A run in a thread of its own, as the companion's."""

    def __init__(self, engine, kind="txt2img", token="token-01", **payload):
        self.token = token
        self.cancelled = threading.Event()
        self.released = threading.Event()
        self.outcome = None
        self._thread = threading.Thread(target=self._work, args=(engine, kind, payload))
        self._thread.start()

    def _work(self, engine, kind, payload):
        self.outcome = engine.run(
            kind, payload, self.token, self.cancelled.is_set, self.released.set
        )

    def end(self):
        self._thread.join(10)
        assert self.outcome is not None
        return self.outcome

    @property
    def body(self):
        return json.loads(self.end().body)


@pytest.fixture
def forge(monkeypatch):
    return ForgeLike(monkeypatch)


@pytest.fixture
def engine(forge):
    return ForgeEngine(forge)


def test_the_answer_is_that_of_the_route(forge, engine):
    forge.gate.set()
    run = Ordered(engine, prompt="a cat")
    assert run.end().status == 200
    assert run.body == {
        "images": ["eA=="],
        "parameters": {"cfg_scale": 7.0},
        "info": '{"infotexts": ["a"]}',
    }
    assert forge.log == [["scripts_txt2img", "token-01", 4]]
    assert run.released.is_set()


def test_what_is_no_number_becomes_null(forge, engine):
    forge.gate.set()
    assert Ordered(engine, prompt="nan").body["parameters"] == {"cfg_scale": None}


@pytest.mark.parametrize(
    ("kind", "payload", "status", "body"),
    [
        (
            "txt2img",
            {"prompt": "fails"},
            500,
            {
                "error": "RuntimeError",
                "detail": "",
                "body": "",
                "message": "nothing left of the GPU",
            },
        ),
        ("img2img", {}, 404, {"detail": "Init image not found"}),
        (
            "txt2img",
            {"steps": "many"},
            422,
            {
                "detail": [
                    {
                        "loc": ["body", "steps"],
                        "msg": "Input should be a valid integer",
                        "type": "int_type",
                    }
                ]
            },
        ),
    ],
)
def test_an_error_is_told_in_the_words_of_the_route(forge, engine, kind, payload, status, body):
    forge.gate.set()
    run = Ordered(engine, kind, **payload)
    assert (run.end().status, run.body) == (status, body)
    assert engine.look("token-01", preview=False) is None


def test_an_upscale_has_no_task_id(forge, engine):
    run = Ordered(engine, "extra-single-image", image="eA==")
    assert run.body == {"image": "eA==", "html_info": ""}


# --- progress --------------------------------------------------------------------------------


def test_progress_is_that_of_its_own_run(forge, engine):
    run = Ordered(engine, steps=4)
    look = eventually(lambda: _at_work(engine, run.token))
    assert (look.step, look.steps, look.fraction) == (1, 4, 0.25)
    assert look.eta > 0
    assert engine.look("token-02", preview=False) is None
    forge.gate.set()
    run.end()


def test_one_that_waits_behind_somebody_elses_is_not_active(forge, engine):
    page = threading.Thread(target=forge.page_run)
    page.start()
    eventually(lambda: forge.log)
    run = Ordered(engine)
    look = eventually(lambda: engine.look(run.token, preview=False))
    assert not look.active
    forge.gate.set()
    page.join()
    run.end()


def test_a_preview_is_made_only_when_somebody_asks(forge, engine):
    run = Ordered(engine)
    eventually(lambda: _at_work(engine, run.token))
    assert engine.look(run.token, preview=True).preview is None
    forge.state.current_image, forge.state.id_live_preview = Image.new("RGB", (8, 8)), 1
    assert engine.look(run.token, preview=False).preview is None
    assert engine.look(run.token, preview=True).preview.startswith(b"\xff\xd8\xff")
    forge.options.live_previews_enable = False
    assert engine.look(run.token, preview=True).preview is None
    forge.gate.set()
    run.end()


# --- cancels ---------------------------------------------------------------------------------


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_cancelled_run_stops_at_its_next_step(monkeypatch, elsewhere):
    forge = ForgeLike(monkeypatch, elsewhere=elsewhere)
    engine = ForgeEngine(forge)
    run = Ordered(engine, steps=20)
    eventually(lambda: _at_work(engine, run.token))
    run.cancelled.set()
    forge.gate.set()
    assert run.end().interrupted is False, "nobody else did it"
    assert forge.log[0][2] <= 2
    forge.page_run(steps=4)
    assert forge.log[-1][2] == 4, "and nobody else's"


@pytest.mark.parametrize("elsewhere", [False, True])
def test_one_that_waits_never_hits_the_picture_before_it_and_stops_at_its_first_step(
    monkeypatch, elsewhere
):
    forge = ForgeLike(monkeypatch, elsewhere=elsewhere)
    engine = ForgeEngine(forge)
    page = threading.Thread(target=forge.page_run, args=(6,))
    page.start()
    eventually(lambda: forge.log)
    run = Ordered(engine, steps=20)
    eventually(lambda: engine.look(run.token, preview=False))
    run.cancelled.set()
    after = threading.Thread(target=forge.page_run, args=(5,))
    forge.gate.set()
    page.join()
    run.end()
    after.start()
    after.join()
    steps = {entry[0]: entry[2] for entry in forge.log if entry[1] == "token-01"}
    assert [entry[2] for entry in forge.log if entry[1] != "token-01"] == [6, 5]
    assert steps["scripts_txt2img"] <= 1


def test_of_two_runs_only_the_cancelled_one_stops(forge, engine):
    first = Ordered(engine, steps=6)
    eventually(lambda: _at_work(engine, first.token))
    second = Ordered(engine, token="token-02", steps=6)
    second.cancelled.set()
    forge.gate.set()
    first.end()
    second.end()
    assert [entry[1:] for entry in forge.log] == [["token-01", 6], ["token-02", 1]]


def test_somebody_elses_interrupt_is_told_with_the_answer(forge, engine):
    run = Ordered(engine, steps=20)
    eventually(lambda: _at_work(engine, run.token))
    forge.state.interrupted = True
    assert engine.look(run.token, preview=False).interrupted
    forge.gate.set()
    assert run.end().interrupted


def test_the_interrupt_of_the_run_after_it_is_not_its_own(forge, engine):
    """Between the end of a run and its answer the state is already that of the next one."""
    forge.gate.set()
    end = forge.state.end

    def ended():
        end()
        forge.state.interrupted = True

    forge.state.end = ended
    assert Ordered(engine).end().interrupted is False


# --- forks -----------------------------------------------------------------------------------


def test_without_the_api_it_can_run_nothing_and_says_so(monkeypatch):
    forge = ForgeLike(monkeypatch)
    forge.routes = []
    engine = ForgeEngine(forge)
    facts = engine.facts()
    assert facts.kinds == ()
    assert facts.problems == ("Forge runs without its API. Start it with --api.",)
    assert Ordered(engine).end().status == 404


@pytest.mark.parametrize(
    ("missing", "cancels"),
    [
        ("modules.script_callbacks", False),
        ("modules.progress", True),
        ("modules.launch_utils", True),
    ],
)
def test_what_a_fork_lacks_costs_that_feature_only(monkeypatch, missing, cancels):
    forge = ForgeLike(monkeypatch, without=(missing,))
    forge.gate.set()
    engine = ForgeEngine(forge)
    assert engine.facts().cancels_running is cancels
    assert bool(engine.facts().problems) is not cancels
    assert Ordered(engine).end().status == 200


def test_without_the_state_it_still_runs(monkeypatch):
    forge = ForgeLike(monkeypatch, without=("modules.shared",))
    forge.gate.set()
    engine = ForgeEngine(forge)
    assert not engine.facts().cancels_running
    assert Ordered(engine).end().status == 200


def test_a_new_app_is_gone_on_with(forge, engine):
    """ "Reload UI": callbacks are forgotten, routes are those of another app."""
    forge.callbacks.clear()
    engine.attach(forge)
    assert len(forge.callbacks) == 1
    run = Ordered(engine, steps=20)
    eventually(lambda: _at_work(engine, run.token))
    run.cancelled.set()
    forge.gate.set()
    run.end()
    assert forge.log[0][2] <= 2


def _at_work(engine, token):
    look = engine.look(token, preview=False)
    return look if look and look.active and look.step else None
