"""`/_fake/*`: the fake's own routes, for faults, the log of runs and the model files."""

from __future__ import annotations

from typing import Any

from dispatch.fakes.forge.errors import RequestRefused
from dispatch.fakes.forge.faults import BadFault, Faults, read_fault
from dispatch.fakes.forge.inventory import Checkpoint, Inventory
from dispatch.fakes.forge.job import encode_json
from dispatch.fakes.forge.routes import Request, Response, refusal
from dispatch.fakes.forge.runlog import RunLog

PREFIX = "/_fake/"


class Control:
    """Reachable at every time, also while the fake plays dead."""

    def __init__(self, faults: Faults, log: RunLog, inventory: Inventory) -> None:
        self._faults = faults
        self._log = log
        self._inventory = inventory
        self._routes = {
            ("GET", "faults"): lambda _: self._faults.as_json(),
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): lambda _: self._faults.clear(),
            ("GET", "log"): lambda _: self._log.as_json(),
            ("DELETE", "log"): lambda _: self._log.clear(),
            ("POST", "checkpoints"): self._change_checkpoints,
        }

    def handle(self, request: Request) -> Response:
        """Answer a request to /_fake/*."""
        route = self._routes.get((request.method, request.path.removeprefix(PREFIX)))
        try:
            if route is None:
                known = ", ".join(f"{method} {PREFIX}{name}" for method, name in self._routes)
                raise RequestRefused(404, f"Not a route of the fake. It has: {known}.")
            return Response(200, encode_json(route(request)))
        except RequestRefused as error:
            return refusal(error)

    def _add_fault(self, request: Request) -> dict[str, Any]:
        body = request.json()
        try:
            fault = read_fault(body)
        except BadFault as error:
            raise RequestRefused(422, str(error)) from None
        self._faults.put(fault)
        return fault.as_json()

    def _change_checkpoints(self, request: Request) -> None:
        body = request.json()
        lists = [body.get(name, []) for name in ("add", "remove")] if isinstance(body, dict) else []
        names = [name for items in lists if isinstance(items, list) for name in items]
        if not names or not all(isinstance(name, str) and name for name in names):
            text = 'Send {"add": [file names], "remove": [file names]}, then refresh-checkpoints.'
            raise RequestRefused(422, text)
        for name in lists[0]:
            self._inventory.add(Checkpoint(name))
        for name in lists[1]:
            self._inventory.remove(name)
