"""schemathesis over the API of a live MobileSD, with every check."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import requests

from tests.processes.installation import ROOT, Installation

__all__ = ["ENV", "NOT_BY_KEY", "STREAMS", "Fuzz", "Report"]

# The hooks name a new address in each request, as a proxy does.
ENV = {"MOBILESD_TRUSTED_PROXIES": "127.0.0.1"}
CONFIG = "tests/documents/schemathesis.toml"
# A stream does not end.
STREAMS = ["events"]
# With a key, these would sooner or later take the run's own key away.
NOT_BY_KEY = ["v1_delete_key", "v1_revoke_key", "v1_rotate_key", "v1_change_key", "v1_put_key"]


@dataclass(frozen=True)
class Report:
    """What schemathesis says, which operations' answers it checked (`GET /healthz`), how many."""

    text: str
    called: frozenset[str]
    requests: int


@dataclass
class Fuzz:
    """One run; `seconds` bound it, and all of them are used. `seed` makes it the same each time."""

    inst: Installation
    seconds: int
    examples: int = 10
    phases: str = "examples,coverage,fuzzing"
    seed: int | None = None
    options: Sequence[str] = field(default_factory=list)

    def by_key(self) -> Report:
        """Run everything that a key may do but manage keys; return the report."""
        key = self.inst.create_key("--scopes", "admin,jobs:all", "--rate", "unlimited")
        left_out = [f"--exclude-operation-id={name}" for name in (*STREAMS, *NOT_BY_KEY)]
        return self._run({"Authorization": f"Api-Key {key}"}, left_out)

    def keys(self, username: str, password: str) -> Report:
        """Run all that manages keys, as somebody who is signed in; return the report."""
        page = requests.Session()
        address = f"{self.inst.url}/sign-in"
        page.get(address, timeout=20).raise_for_status()
        form = {"username": username, "password": password}
        form["csrfmiddlewaretoken"] = page.cookies["csrftoken"]
        page.post(address, data=form, timeout=20).raise_for_status()
        cookies = "; ".join(f"{name}={value}" for name, value in page.cookies.items())
        headers = {"Cookie": cookies, "X-CSRFToken": page.cookies["csrftoken"]}
        # It takes a session for a key that it made up itself, and so for one that is not checked.
        return self._run(headers, ["--include-tag=Keys", "--exclude-checks=ignored_auth"])

    def _run(self, headers: dict[str, str], which: Sequence[str]) -> Report:
        # Each operation once, before the time is spent on those that have much to try out.
        once = self._ran(headers, [*which, "--phases=fuzzing", "--max-examples=1"])
        options = [f"--phases={self.phases}", f"--max-examples={self.examples}", *self.options]
        options += [f"--max-time={self.seconds}"]
        much = self._ran(headers, [*which, *options])
        return Report(
            once.text + much.text, once.called | much.called, once.requests + much.requests
        )

    def _ran(self, headers: dict[str, str], options: Sequence[str]) -> Report:
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", CONFIG]
        command += ["run", f"{self.inst.url}/api/schema/", "--checks=all", "--no-color"]
        command += ["--request-timeout=40", "--warnings=off"]
        command += ["--continue-on-failure", "--suppress-health-check=all"]
        command += options
        if self.seed is None:
            command += ["--generation-database=none"]
        else:
            command += [f"--seed={self.seed}", "--generation-deterministic"]
        for name, value in headers.items():
            command += ["--header", f"{name}: {value}"]
        env = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.documents.fuzz_hooks"}
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "report.ndjson"
            done = subprocess.run(
                [*command, "--report=ndjson", f"--report-ndjson-path={file}"],
                cwd=ROOT,
                env=env,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=self.seconds + 120,
            )
            text = done.stdout + done.stderr
            assert done.returncode == 0, text
            checked = list(_checked(file))
        return Report(text, frozenset(checked), len(checked))


def _checked(report: Path) -> Iterator[str]:
    """Give the operation of each request whose answer was checked."""
    with report.open(encoding="utf-8") as lines:
        for line in lines:
            recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
            for name, case in recorder.get("cases", {}).items():  # none in one that was left out
                if recorder.get("checks", {}).get(name):
                    yield f"{case['value']['method']} {case['value']['path']}"
