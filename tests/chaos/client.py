"""A program that sends work and does not give up, whatever happens to the other side."""

import base64
import contextlib
import io
import random
import threading
from collections.abc import Callable
from typing import Any

import requests
from PIL import Image

from tests.chaos.farm import Farm
from tests.processes.installation import Api, eventually

__all__ = ["Client"]

# What a request may be answered while everything breaks; each says to come again.
_LATER = (429, 500, 503, 507)
_TOGETHER = 3  # jobs of one bulk order


class Client(threading.Thread):
    """Submits its orders as a careful program does; cancels some jobs, and takes some of that back.

    `accepted` are the ids that it was answered, by the order's number; `cancelled` those that are
    cancelled for good: the cancel was answered with 200, and nobody retried them.
    """

    def __init__(self, farm: Farm, api: Api, numbers: range, seed: int) -> None:
        super().__init__(daemon=True)
        self.accepted: dict[int, tuple[str, ...]] = {}
        self.cancelled: set[str] = set()
        self.error: BaseException | None = None
        self.pause = threading.Event()  # set: go on without waiting between two orders
        self._farm = farm
        self._api = api
        self._numbers = numbers
        self._chance = random.Random(seed)
        self._orders: dict[int, tuple[str, dict[str, Any]]] = {}

    def run(self) -> None:
        try:
            for number in self._numbers:
                self._orders[number] = self._order(number)
                self.accepted[number] = self.submit(number)
                self._change_one()
                self.pause.wait(self._chance.uniform(0, 0.4))
        except BaseException as error:
            self.error = error

    def submit(self, number: int, seconds: float = 180) -> tuple[str, ...]:
        """Send an order again and again under one idempotency key until there is an answer."""

        def answered() -> tuple[str, ...] | None:
            path, body = self._orders[number]
            with contextlib.suppress(requests.RequestException):
                answer = self._api.post(path, json=body)
                if answer.status_code in (200, 202):
                    return _ids(answer.json())
                if answer.status_code == 409 and "depends_on" in body:
                    # What it should wait for came to nothing before it could be said.
                    self._orders[number] = (path, _alone(body))
                    return None
                assert answer.status_code in _LATER, answer.text
            return None

        found: tuple[str, ...] = eventually(answered, seconds, f"order {number} accepted")
        return found

    # --- What it asks for -------------------------------------------------------------------
    def _order(self, number: int) -> tuple[str, dict[str, Any]]:
        params: dict[str, Any] = {
            "positive_prompt": f"picture {number}",
            "width": 64,
            "height": 64,
            "steps": 4,
            "seed": number,
            "batch_size": 1 + number % 2,
        }
        body: dict[str, Any] = {
            "generation_params": params,
            "idempotency_key": f"chaos-{number}",
        }
        # Each client has every third number: so each kind comes to each of them.
        match number // 3 % 5:
            case 1:
                params |= {"init_images": [_picture(number % 4)], "denoising_strength": 0.5}
            case 2 if self.accepted:
                parent = self._chance.choice([ids[-1] for ids in self.accepted.values()])
                on_failure = self._chance.choice(["cancel", "run"])
                body["depends_on"] = [{"job": parent, "on_failure": on_failure}]
            case 4:  # made round by round, and each time others may come first
                params["n_iter"] = 3
                body["lane"] = "background"
            case 3:
                order = {"bulk_quantity": _TOGETHER, "seed_variation": "incremental"}
                return "/api/v2/generate/bulk", {**body, **order}
        return "/api/v2/generate", body

    def _change_one(self) -> None:
        chance = self._chance.random()
        if chance < 0.08:
            job = self._chance.choice(list(self.accepted.values()))[0]
            if self._asked(lambda: self._api.post(f"/api/v2/jobs/{job}/cancel")):
                self.cancelled.add(job)
        elif chance < 0.14 and self.cancelled:
            job = self._chance.choice(sorted(self.cancelled))
            self.cancelled.discard(job)  # whatever is answered: it may have been done
            self._asked(lambda: self._api.post(f"/api/v2/jobs/{job}/retry"))

    @staticmethod
    def _asked(ask: Callable[[], requests.Response]) -> bool:
        with contextlib.suppress(requests.RequestException):
            return ask().status_code == 200
        return False


def _alone(body: dict[str, Any]) -> dict[str, Any]:
    """Return the order without its parents, as another one: a key belongs to one body."""
    rest = {name: value for name, value in body.items() if name != "depends_on"}
    return {**rest, "idempotency_key": f"{body['idempotency_key']}-alone"}


def _ids(answer: dict[str, Any]) -> tuple[str, ...]:
    if "jobs" in answer:
        return tuple(str(job["mobilesd_job_id"]) for job in answer["jobs"])
    return (str(answer["mobilesd_job_id"]),)


def _picture(number: int) -> str:
    """Return a picture of more than 4 kB, so that it is kept as a file of its own."""
    pixels = random.Random(number).randbytes(64 * 64 * 3)
    out = io.BytesIO()
    Image.frombytes("RGB", (64, 64), pixels).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()
