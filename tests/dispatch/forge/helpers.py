"""What the tests of the Forge dispatcher share: a fake with its driver, and a server by script."""

import contextlib
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from dispatch.dispatchers.base import Address, Order
from dispatch.dispatchers.forge import ForgeDispatcher
from dispatch.fakes.forge import FakeForge

RECORDINGS = Path(__file__).parents[2] / "recordings" / "forge"
CAT = {
    "positive_prompt": "a cat",
    "negative_prompt": "blurry",
    "width": 64,
    "height": 64,
    "steps": 2,
    "seed": 1234,
    "sampler_name": "Euler",
    "scheduler": "Simple",
}
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


def order(checkpoint="", kind="txt2img", **params):
    """Return an order; None takes a parameter out of the usual ones."""
    wanted = {name: value for name, value in {**CAT, **params}.items() if value is not None}
    return Order(kind=kind, params=wanted, checkpoint=checkpoint)


class Driver:
    """A dispatcher and the fake that it drives; the fake's settings by keyword."""

    def __init__(self, username="", password="", **settings):
        self.fake = FakeForge(**{"seconds": 0.0, **settings}).start()
        self.faults = self.fake.faults
        self.dispatcher = ForgeDispatcher(Address(self.fake.url, username, password))
        self._others = []

    def prepare(self, checkpoint="", *, inventory=..., **params):
        """Prepare an order with what the fake lists now, unless told otherwise."""
        known = self.dispatcher.inventory() if inventory is ... else inventory
        return self.dispatcher.prepare(order(checkpoint, **params), known)

    def run(self, checkpoint="", *, token=None, **params):
        """Prepare and run an order to its answer."""
        return self.dispatcher.run(self.prepare(checkpoint, **params), token or uuid.uuid4())

    def begin(self, **params):
        """Run an order in a thread, from a dispatcher of its own, as a lane does."""
        other = ForgeDispatcher(self.dispatcher.address)
        self._others.append(other)
        return Started(other, other.prepare(order(**params), None))

    @property
    def sent(self):
        """The last body that reached the fake."""
        return self.fake.log.runs()[-1].payload

    def close(self):
        self.fake.stop()
        for dispatcher in (self.dispatcher, *self._others):
            dispatcher.close()


class Started:
    """A run in its own thread; `result()` waits for its answer and raises what it raised."""

    def __init__(self, dispatcher, request):
        self.token = uuid.uuid4()
        self.dispatcher = dispatcher
        self._answer = self._error = None
        self._thread = threading.Thread(target=self._run, args=(request,), daemon=True)
        self._thread.start()

    def _run(self, request):
        try:
            self._answer = self.dispatcher.run(request, self.token)
        except Exception as error:
            self._error = error

    @property
    def is_running(self):
        return self._thread.is_alive()

    def result(self, seconds=10):
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "no answer yet"
        if self._error:
            raise self._error
        return self._answer


def wait_for(condition: Callable[[], object], seconds: float = 5):
    """Return the first true value of `condition()`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)
    return value


class Request:
    """A request as it came in."""

    def __init__(self, method, path, headers, body):
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body


class Scripted:
    """A server that answers each request with the next answer, the last one for ever.

    An answer is bytes, or a function of (connection, request) that writes them itself. The
    connection is closed after each answer unless `keep`.
    """

    def __init__(
        self, answers, *, host="127.0.0.1", wrap=lambda connection: connection, keep=False
    ):
        self.requests = []
        self.connections = 0
        self._answers = list(answers)
        self._wrap = wrap
        self._keep = keep
        self._open = []
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._listener = socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
        self.port = self._listener.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def driver(self, **settings):
        """Return a dispatcher for this server."""
        return ForgeDispatcher(Address(settings.pop("url", self.url), **settings))

    def _accept(self):
        while True:
            connection, _ = self._listener.accept()
            if self._stopping.is_set():
                connection.close()
                return
            connection.settimeout(20)
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        with contextlib.suppress(OSError):
            connection = self._wrap(connection)
            self._open.append(connection)
            with connection, connection.makefile("rb") as stream:
                while request := self._read(stream):
                    with self._lock:
                        self.requests.append(request)
                        last = len(self._answers) == 1
                        answer = self._answers[0] if last else self._answers.pop(0)
                    if callable(answer):
                        answer(connection, request)
                    else:
                        connection.sendall(answer)
                    if not self._keep:
                        connection.shutdown(socket.SHUT_WR)
                        return

    @staticmethod
    def _read(stream):
        line = stream.readline().decode()
        if not line:
            return None
        method, path, _ = line.split(" ", 2)
        headers = {}
        while (line := stream.readline().decode().strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return Request(method, path, headers, stream.read(int(headers.get("content-length", 0))))

    def close(self):
        self._stopping.set()
        socket.create_connection(self._listener.getsockname()[:2]).close()  # wakes accept()
        self._thread.join(5)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def http(status=200, body=b"", kind="application/json", **headers):
    """Return the bytes of an HTTP answer; what is no bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"content-type": kind, "content-length": len(content), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + content


def answered(images=(PIXEL,), **info):
    """Return the body of a good answer, changed as told."""
    infotext = "a cat\nSteps: 2, Sampler: Euler, Schedule type: Simple, Seed: 1234"
    told = {
        "infotexts": [infotext] * len(images),
        "index_of_first_image": 0,
        "all_seeds": [1234 + place for place in range(len(images))],
        "sd_model_name": "meadow_v3",
        "sampler_name": "Euler",
        **info,
    }
    return {"images": list(images), "parameters": {}, "info": json.dumps(told)}


def recording(name):
    """Return one recorded exchange, for example "errors/unknown-sampler"."""
    return json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
