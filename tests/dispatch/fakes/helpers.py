"""What the tests of the fake Forge share: recordings, a client, comparisons."""

import base64
import contextlib
import io
import json
import re
import threading
import time
from pathlib import Path

import requests
from PIL import Image

from dispatch.fakes.forge import Checkpoint, FakeForge, Lora

RECORDINGS = Path(__file__).parents[2] / "recordings" / "forge"
SHA_A = "e1758bd15a76cb0e240a88cec88b7d4af749dab0c03c76bb0c5d16684363e847"
SHA_B = "8a62674095b57cd2e3ba8a397c743593c30aba2fc549e7434b93c72beb69d198"
RANDOM_A = Checkpoint("random_a.safetensors", SHA_A)
RANDOM_FULL = Checkpoint("random_full.safetensors")
RANDOM_B = Checkpoint("Pony/random_b.safetensors", SHA_B, hashed=True)
RANDOM_C = Checkpoint("random_c.safetensors", SHA_A)
BROKEN = Checkpoint("broken.safetensors", broken=True)
CAT = {
    "prompt": "a cat",
    "negative_prompt": "blurry",
    "steps": 2,
    "width": 64,
    "height": 64,
    "cfg_scale": 7,
    "seed": 1234,
    "sampler_name": "Euler",
    "scheduler": "Simple",
}
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAAYElEQVR4nO3PAQkAMQDEsHuY8El/GWWQUAP9tnu2l"
    "zt7moGagZqBmoGagZqBmoGagZqBmoGagZqBmoGagZqBmoGagZqBmoGagZqBmoGagZqBmoGagZqBmoGagZqBmoGagZqB"
    "moHaDyKFA3Z0V193AAAAAElFTkSuQmCC"
)
_PICTURE = re.compile(r"<base64 PNG (\d+)x(\d+), \d+ chars>")
# Drawn anew for each job; only their kind can be compared.
_RANDOM = {"subseed": int, "all_subseeds": list, "job_timestamp": str}


def recording(name):
    """Return one recorded exchange, for example "errors/steps-0"."""
    return json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))


def transcript(name):
    """Return the lines of a recorded *.jsonl."""
    lines = (RECORDINGS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def recorded_forge(**changes):
    """Return a fake with the models of the recorded server, and no time to wait."""
    settings = {
        "seconds": 0,
        "checkpoints": [RANDOM_A, RANDOM_FULL, RANDOM_B],
        "loras": [Lora("styles/random_lora.safetensors", "9a8437a54c35")],
        "embeddings": ["random_emb"],
        "options": {"sd_checkpoint_hash": SHA_B},
    }
    return FakeForge(**{**settings, **changes})


class Client:
    """Calls one fake; every call is its own connection, so that none waits for another."""

    def __init__(self, forge):
        self.forge = forge

    def call(self, method, path, **options):
        return requests.request(method, self.forge.url + path, timeout=20, **options)

    def get(self, path):
        return self.call("GET", path)

    def post(self, path, body=None):
        return self.call("POST", path, json=body)

    def txt2img(self, **fields):
        return self.post("/sdapi/v1/txt2img", {**CAT, **fields})

    def img2img(self, **fields):
        return self.post("/sdapi/v1/img2img", {**CAT, "init_images": [PIXEL], **fields})

    def progress(self):
        return self.get("/sdapi/v1/progress?skip_current_image=true").json()

    def task(self, token, **fields):
        return self.post("/internal/progress", {"id_task": token, **fields}).json()

    def fault(self, kind, **fields):
        return self.post("/_fake/faults", {"kind": kind, **fields})

    def runs(self):
        return self.get("/_fake/log").json()

    def replay(self, exchange):
        """Send the request of a recording."""
        sent = exchange["request"]
        body = sent["body"].encode() if "body" in sent else None
        return self.call(
            sent["method"],
            sent["path"],
            json=sent.get("json"),
            data=body,
            headers=sent.get("headers"),
        )


class Background:
    """A call in its own thread; `result()` waits for it and raises what it raised."""

    def __init__(self, call, *arguments, **fields):
        self._outcome = None
        self._error = None
        self._thread = threading.Thread(
            target=self._run, args=(call, arguments, fields), daemon=True
        )
        self._thread.start()

    def _run(self, call, arguments, fields):
        try:
            self._outcome = call(*arguments, **fields)
        except requests.RequestException as error:
            self._error = error

    @property
    def done(self):
        return not self._thread.is_alive()

    def result(self):
        self._thread.join(20)
        assert self.done
        if self._error:
            raise self._error
        return self._outcome


def wait_for(condition, seconds=5):
    """Return the first true value of `condition()`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(requests.RequestException):
            if value := condition():
                return value
        time.sleep(0.005)
    raise AssertionError("It did not happen in time.")


def picture(encoded):
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


def _picture_size(text):
    if found := _PICTURE.match(text):
        return tuple(map(int, found.groups()))
    return picture(text).size if text.startswith("iVBOR") and len(text) > 1000 else None


def info(response):
    return json.loads(response.json()["info"])


def assert_like(expected, actual, where="answer"):
    """Compare an answer with a recorded one: fields, their order, values; pictures by size."""
    if isinstance(expected, dict):
        assert isinstance(actual, dict), where
        assert list(actual) == list(expected), where
        for name, value in expected.items():
            if name in _RANDOM:
                assert isinstance(actual[name], _RANDOM[name]), f"{where}.{name}"
            elif name == "info" and isinstance(value, str) and value.startswith("{"):
                assert_like(json.loads(value), json.loads(actual[name]), f"{where}.info")
            else:
                assert_like(value, actual[name], f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(actual) == len(expected), where
        for index, (one, other) in enumerate(zip(expected, actual, strict=True)):
            assert_like(one, other, f"{where}[{index}]")
    elif isinstance(expected, str) and (size := _picture_size(expected)):
        assert picture(actual).size == size, where
    elif isinstance(expected, float) or isinstance(actual, float):
        assert type(actual) is type(expected), where
        assert actual == expected, where
    else:
        assert actual == expected, where


def assert_answers(exchange, response):
    """Compare a response with a recorded one, its length included where nothing is random."""
    expected = exchange["response"]
    assert response.status_code == expected["status"], response.text[:300]
    if expected.get("json") == "(left out)":
        return
    for name in ("content-type", "www-authenticate"):
        assert response.headers.get(name) == expected["headers"].get(name)
    if "json" not in expected:
        assert response.text == expected["text"]
        return
    assert_like(expected["json"], response.json())
    # Pictures and subseeds differ, and the recorded machine had longer paths.
    if not any(
        word in str(expected["json"]) for word in ("subseed", "base64", "iVBOR", "/srv/forge")
    ):
        assert response.headers["content-length"] == expected["headers"]["content-length"]
