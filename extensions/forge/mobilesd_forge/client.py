"""MobileSD's REST API, as far as this extension needs it. Blocks; raises Fault, nothing else."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mobilesd_forge import faults, sse
from mobilesd_forge.faults import Fault
from mobilesd_forge.transport import Answer, Transport
from mobilesd_forge.version import MINIMUM_SERVER_VERSION, VERSION, older, source_info

__all__ = ["MAX_BODY_BYTES", "SCOPES", "Client", "JobList", "WhoAmI"]

MAX_BODY_BYTES = 64 * 1024 * 1024  # MobileSD takes no more
SCOPES = ("jobs:read", "jobs:write", "servers:read", "images:read")
SEND_SECONDS = 60.0  # a body of many megabytes is checked and stored before the answer
SILENCE_SECONDS = 40.0  # MobileSD says something every 15 s
MAX_JOBS = 50
MAX_OTHER_JOBS = 20  # of those that run, and of those that wait
MAX_PICTURE_BYTES = 4 * 1024 * 1024
_PICTURES = {"image/png", "image/jpeg", "image/webp", "image/gif"}


@dataclass(frozen=True)
class WhoAmI:
    """What MobileSD says of the key and of itself."""

    name: str
    scopes: frozenset[str]
    server_version: str
    minimum_extension_version: str


@dataclass(frozen=True)
class JobList:
    """Jobs, newest first, and how many wait in all."""

    rows: list[dict[str, Any]]
    waiting: int


class Client:
    """One MobileSD, asked with one key, on behalf of one installation of the extension."""

    def __init__(self, url: str, key: str, installation: str) -> None:
        self.url = url
        self._transport = Transport(url, key)
        self._source = source_info(installation)

    # --- Who and what --------------------------------------------------------------------------
    def whoami(self, seconds: float = 8.0) -> WhoAmI:
        """Return who we are there."""
        answer = self._transport.call("GET", "/api/v2/whoami", seconds=seconds)
        if answer.status == 404 and _is_mobilesd_error(answer):
            raise faults.server_too_old("")
        found = self._object(answer)
        version = found.get("server_version")
        if not isinstance(version, str):
            raise faults.not_mobilesd(self.url)
        scopes = found.get("scopes")
        return WhoAmI(
            name=faults.plain(found.get("name", ""), 60),
            scopes=frozenset(s for s in scopes if isinstance(s, str))
            if isinstance(scopes, list)
            else frozenset(),
            server_version=faults.plain(version, 20),
            minimum_extension_version=faults.plain(found.get("minimum_extension_version", ""), 20),
        )

    def check(self) -> WhoAmI:
        """Return who we are there, if all that the extension does is allowed; else raise Fault."""
        who = self.whoami()
        if older(VERSION, who.minimum_extension_version):
            raise faults.too_old(self.url, who.minimum_extension_version)
        if older(who.server_version, MINIMUM_SERVER_VERSION):
            raise faults.server_too_old(who.server_version)
        missing = [scope for scope in SCOPES if scope not in who.scopes]
        if missing:
            many = "permissions" if len(missing) > 1 else "permission"
            raise Fault(
                "scope_missing",
                f"The API key lacks the {many} {', '.join(missing)}."
                " Add what is missing to the key on MobileSD's page Keys.",
            )
        return who

    def servers(self) -> list[str]:
        """Return the aliases of the servers, in MobileSD's order."""
        found = self._object(self._transport.call("GET", "/api/v2/servers")).get("servers")
        rows = found if isinstance(found, list) else []
        aliases = [row.get("alias") for row in rows if isinstance(row, dict)]
        return [faults.plain(alias, 80) for alias in aliases if isinstance(alias, str) and alias]

    # --- Sending -------------------------------------------------------------------------------
    def submit(self, body: bytes, *, bulk: bool) -> None:
        """Send an order, a JSON object that holds its idempotency key.

        Returns as soon as the order is MobileSD's, by this request or an earlier one.
        """
        # The version may have changed since the order was written down. Put in here, an order of
        # an older version is not refused as one of its version.
        said = b'{"source_info":' + json.dumps(self._source).encode() + b"," + body[1:]
        path = "/api/v2/generate/bulk" if bulk else "/api/v2/generate"
        answer = self._transport.call("POST", path, body=said, seconds=SEND_SECONDS)
        try:
            self._object(answer)
        except Fault as fault:
            # The key is of this click alone: what came with it before was this order, as an
            # extension of another version sent it.
            if fault.code != "idempotency_conflict":
                raise

    # --- Jobs ----------------------------------------------------------------------------------
    def jobs(self) -> JobList:
        """Return the newest jobs of this installation, and those that run or wait."""
        page = self._jobs_of("source", MAX_JOBS)
        name = "source"
        filters = page.get("filters")
        if not isinstance(filters, dict) or "source" not in filters:
            # A MobileSD that can't leave the version aside: it has ignored what it does not know.
            name = "source_info"
            page = self._jobs_of(name, MAX_JOBS)
        rows = _rows(page)
        if len(rows) < MAX_JOBS:
            return JobList(rows, sum(row.get("status") == "pending" for row in rows))
        # The oldest run first: they are the ones that the newest have pushed out. In this order,
        # one that begins to run meanwhile is found all the same.
        next_ones = self._jobs_of(name, MAX_OTHER_JOBS, status="pending", order="asc")
        running = self._jobs_of(name, MAX_OTHER_JOBS, status="processing")
        waiting = next_ones.get("total")
        return JobList(
            _merged(rows, _rows(next_ones)[::-1], _rows(running)),
            waiting if isinstance(waiting, int) else len(_rows(next_ones)),
        )

    def _jobs_of(self, name: str, limit: int, **more: str) -> dict[str, Any]:
        query = {name: self._source, "limit": str(limit), **more}
        return self._object(self._transport.call("GET", "/api/v2/jobs", query=query))

    def cancel(self, job_id: str) -> None:
        """Cancel a job that waits or runs."""
        path = f"/api/v2/jobs/{quote(job_id, safe='')}/cancel"
        self._object(self._transport.call("POST", path, body=b"{}"))

    def retry(self, job_id: str) -> None:
        """Queue a failed or cancelled job again."""
        path = f"/api/v2/jobs/{quote(job_id, safe='')}/retry"
        self._object(self._transport.call("POST", path, body=b"{}"))

    def picture(self, path: str) -> tuple[str, bytes]:
        """Return kind and content of a picture, by the path that a job named."""
        if not path.startswith("/") or path.startswith("//"):
            raise Fault("bad_picture", "MobileSD named a picture at another address.")
        answer = self._transport.call("GET", path, at_most=MAX_PICTURE_BYTES)
        if answer.status != 200:
            raise faults.of_answer(self.url, answer.status, answer.headers, answer.json)
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind not in _PICTURES:  # nothing that a browser would run
            raise Fault("bad_picture", "MobileSD sent something that is no picture.")
        return kind, answer.content

    @contextmanager
    def events(self, after: str, kinds: Sequence[str]) -> Iterator[Iterator[sse.Event | None]]:
        """Follow what happens after an event's id; None says only that the stream lives."""
        query = {"types": ",".join(kinds)}
        headers = {"Last-Event-ID": after} if after else {}
        with self._transport.lines(
            "/api/v2/events", query=query, headers=headers, seconds=SILENCE_SECONDS
        ) as lines:
            yield sse.events(lines)

    def _object(self, answer: Answer) -> dict[str, Any]:
        found = answer.json
        if not 200 <= answer.status < 300:
            raise faults.of_answer(self.url, answer.status, answer.headers, found)
        if not isinstance(found, dict):
            raise faults.not_mobilesd(self.url)
        return found


def _is_mobilesd_error(answer: Answer) -> bool:
    found = answer.json
    return isinstance(found, dict) and isinstance(found.get("details"), dict)


def _rows(page: dict[str, Any]) -> list[dict[str, Any]]:
    rows = page.get("jobs")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _merged(*lists: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each job once, newest first, as the last of the lists has it."""
    found = {str(row.get("mobilesd_job_id")): row for rows in lists for row in rows}
    # RFC 3339 in UTC: the order of the texts is that of the times. Those of one bulk order have
    # the same, and stay as they came.
    return sorted(
        found.values(), key=lambda row: str(row.get("creation_timestamp", "")), reverse=True
    )
