"""What Forge's errors mean, in both shapes of their bodies."""

import uuid

import pytest

from dispatch.dispatchers.base import BackendError, ErrorClass, LostAnswer, NeverReached
from dispatch.dispatchers.forge.errors import error_of
from tests.dispatch.forge.helpers import PIXEL, http, order, recording


def error(forge, **params):
    with pytest.raises(BackendError) as caught:
        forge.run(**params)
    return caught.value


def test_out_of_memory_has_its_own_class(forge):
    forge.faults.add("oom")
    found = error(forge)
    assert found.error_class is ErrorClass.OUT_OF_MEMORY
    assert found.code == "out_of_memory"
    assert found.hint


@pytest.mark.parametrize(
    "body",
    [
        {"error": "OutOfMemoryError", "message": "CUDA out of memory. Tried to allocate 2 GiB"},
        {"error": "RuntimeError", "message": "HIP out of memory."},
        {"error": "RuntimeError", "message": "MPS backend out of memory (…)"},
        {"error": "RuntimeError", "message": "DefaultCPUAllocator: not enough memory: you tried"},
        {"error": "RuntimeError", "message": "CUDA error: CUBLAS_STATUS_ALLOC_FAILED"},
    ],
)
def test_memory_runs_out_in_many_words(body):
    assert error_of(500, body).error_class is ErrorClass.OUT_OF_MEMORY


def test_script_that_the_server_lacks_is_an_error_of_class_elsewhere(forge):
    for params in ({"alwayson_scripts": {"adetailer": {}}}, {"script_name": "adetailer"}):
        found = error(forge, **params)
        assert found.error_class is ErrorClass.ELSEWHERE
        assert found.code == "script_missing"
        assert "'adetailer'" in found.message


def test_wrong_type_is_refused_for_good_with_the_fields_name(forge):
    found = error(forge, steps=2.5, prompt=7)
    assert found.error_class is ErrorClass.PERMANENT
    assert found.code == "invalid_request"
    assert "steps: Input should be a valid integer" in found.message


def test_unknown_exception_is_tried_again_and_quoted(forge):
    forge.faults.add("http_500", message="something broke")
    found = error(forge)
    assert found.error_class is ErrorClass.TRANSIENT
    assert found.code == "backend_error"
    assert "RuntimeError: something broke" in found.message


def test_bad_init_image_is_refused_for_good(forge):
    found = error(forge, kind="img2img", init_images=["xxxx"])
    assert found.error_class is ErrorClass.PERMANENT
    assert found.code == "init_image_invalid"


@pytest.mark.parametrize(
    ("name", "error_class", "code"),
    [
        ("errors/hr-checkpoint-unknown", ErrorClass.ELSEWHERE, "checkpoint_missing"),
        ("errors/refiner-unknown", ErrorClass.ELSEWHERE, "checkpoint_missing"),
        ("errors/unknown-upscaler", ErrorClass.ELSEWHERE, "upscaler_missing"),
        ("errors/unknown-script", ErrorClass.ELSEWHERE, "script_missing"),
        ("txt2img/alwayson-unknown", ErrorClass.ELSEWHERE, "script_missing"),
        ("errors/float-steps", ErrorClass.PERMANENT, "invalid_request"),
        ("errors/wrong-type-steps", ErrorClass.PERMANENT, "invalid_request"),
        ("errors/invalid-json", ErrorClass.PERMANENT, "invalid_request"),
        ("errors/array-body", ErrorClass.PERMANENT, "invalid_request"),
        ("errors/img2img-bad-image", ErrorClass.PERMANENT, "init_image_invalid"),
        ("img2img/url-image", ErrorClass.PERMANENT, "init_image_invalid"),
        ("img2img/no-init", ErrorClass.PERMANENT, "init_image_missing"),
        ("img2img/empty-init", ErrorClass.TRANSIENT, "backend_error"),
        ("errors/steps-0", ErrorClass.TRANSIENT, "backend_error"),
        ("errors/unknown-override-key", ErrorClass.TRANSIENT, "backend_error"),
        ("txt2img/hires-latent", ErrorClass.TRANSIENT, "backend_error"),
        ("txt2img/from-infotext", ErrorClass.TRANSIENT, "backend_error"),
        ("models/override-broken-file", ErrorClass.ELSEWHERE, "checkpoint_broken"),
        ("models/override-deleted-file", ErrorClass.ELSEWHERE, "checkpoint_broken"),
        ("models/after-failed-load", ErrorClass.POISONED, "server_poisoned"),
        ("models/poisoned-still", ErrorClass.POISONED, "server_poisoned"),
    ],
)
def test_recorded_errors_have_their_class(name, error_class, code):
    response = recording(name)["response"]
    found = error_of(response["status"], response["json"])
    assert isinstance(found, BackendError)
    assert (found.error_class, found.code) == (error_class, code)
    assert found.message and found.hint


@pytest.mark.parametrize("name", ["none-txt2img", "wrong-password", "right-bearer"])
def test_recorded_refusals_never_reached_the_server(name):
    response = recording(f"auth/{name}")["response"]
    found = error_of(response["status"], response["json"])
    assert isinstance(found, NeverReached)
    assert found.health == "refused"


def test_recorded_missing_route_is_a_starting_server():
    response = recording("discovery/not-found")["response"]
    assert error_of(response["status"], response["json"]).health == "starting"


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        {},
        {"detail": 5},
        {"detail": [{"loc": 3, "msg": None}, "x", None]},
        {"error": ["a"], "message": {"b": 1}},
        {"message": "nul \0 and half \ud83d"},
        {"message": "x" * 100_000},
    ],
)
@pytest.mark.parametrize("status", [400, 418, 422, 500, 599])
def test_any_body_makes_an_error_that_can_be_stored(status, body):
    found = error_of(status, body)
    assert found.message.encode()
    assert "\0" not in found.message
    assert len(found.message) < 700


def test_request_that_is_too_large_for_a_proxy_is_an_error_of_class_elsewhere(scripted):
    driver = scripted(http(413, b"<h1>Request Entity Too Large</h1>", "text/html")).driver()
    request = driver.prepare(order(kind="img2img", init_images=[PIXEL]), None)
    with pytest.raises(BackendError) as caught:
        driver.run(request, uuid.uuid4())
    assert caught.value.error_class is ErrorClass.ELSEWHERE
    assert "nginx" in caught.value.hint


@pytest.mark.parametrize("status", [200, 500, 502, 503, 504])
def test_web_page_instead_of_an_answer_may_hide_a_running_job(scripted, status):
    driver = scripted(http(status, b"<h1>Bad Gateway</h1>", "text/html")).driver()
    with pytest.raises(LostAnswer) as caught:
        driver.run(driver.prepare(order(), None), uuid.uuid4())
    assert caught.value.code == "bad_answer"
    assert str(status) in caught.value.message


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_not_followed_and_took_nothing(scripted, status):
    elsewhere = scripted(http())
    target = {"location": f"{elsewhere.url}/sdapi/v1/txt2img"}
    driver = scripted(http(status, b"", **target)).driver(username="me", password="secret")
    with pytest.raises(NeverReached, match="leads somewhere else"):
        driver.run(driver.prepare(order(), None), uuid.uuid4())
    probe = driver.probe()
    assert probe.health == "offline"
    assert "leads somewhere else" in probe.text
    assert elsewhere.requests == [], "the password went nowhere else"
