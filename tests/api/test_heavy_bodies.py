"""Large bodies: at most two are in work at a time, and each slot is given back."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from jobs import services
from mobilesd.errors import InvalidInput
from mobilesd.http import heavy
from tests import factories
from tests.api.conftest import Api, encoded

pytestmark = pytest.mark.django_db
GENERATE = "/api/v2/generate"
HEAVY = encoded({"generation_params": {"positive_prompt": "x" * (heavy.HEAVY_BYTES + 10)}})
LIGHT = encoded({"generation_params": {"positive_prompt": "a cat"}})


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("body", "most"), [(HEAVY, heavy.SLOTS), (LIGHT, 4)])
def test_as_many_are_in_work_as_there_are_slots(monkeypatch, body, most):
    _, token = factories.key()
    lock, inside, peak = threading.Lock(), [0], [0]

    def slow(*_):
        with lock:
            inside[0] += 1
            peak[0] = max(peak[0], inside[0])
        time.sleep(0.3)  # long enough for all four to get here, if they may
        with lock:
            inside[0] -= 1
        raise InvalidInput("seen")

    monkeypatch.setattr(services, "submit", slow)

    def send(_):
        try:
            return Api(token).send("POST", GENERATE, body).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(send, range(4))) == [400] * 4
    assert peak[0] == most


@pytest.mark.parametrize("body", [HEAVY, HEAVY[:-1], b"\xff" + HEAVY])
def test_each_slot_is_given_back(api, body):
    for _ in range(heavy.SLOTS + 1):
        assert api.send("POST", GENERATE, body).status_code in {400, 413}


def test_who_gets_no_slot_is_told_when_to_come_back(api, monkeypatch):
    monkeypatch.setattr(heavy, "PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(heavy, "_slots", threading.BoundedSemaphore(1))
    heavy._slots.acquire()
    answer = api.send("POST", GENERATE, HEAVY)
    assert (answer.status_code, answer.json()["error"]) == (503, "server_busy")
    assert answer.headers["Retry-After"] == "5"
    heavy._slots.release()
    assert api.send("POST", GENERATE, HEAVY).status_code in {400, 413}


def test_only_so_many_wait_because_each_holds_a_thread(api, monkeypatch):
    monkeypatch.setattr(heavy, "_slots", threading.BoundedSemaphore(1))
    monkeypatch.setattr(heavy, "_places", threading.BoundedSemaphore(1))
    heavy._slots.acquire()
    heavy._places.acquire()
    began = time.monotonic()
    answer = api.send("POST", GENERATE, HEAVY)
    assert (answer.status_code, answer.json()["error"]) == (503, "server_busy")
    assert time.monotonic() - began < heavy.PATIENCE_SECONDS / 2, "it did not wait"
