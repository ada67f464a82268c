"""schemathesis over the API of a live MobileSD, with every check."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import requests

from tests.processes.installation import ROOT, Installation

__all__ = ["ENV", "Fuzz"]

# The hooks name a new address in each request, as a proxy does.
ENV = {"MOBILESD_TRUSTED_PROXIES": "127.0.0.1"}
CONFIG = "tests/documents/schemathesis.toml"
# A stream does not end.
_STREAMS = ["events"]
# With a key, these would sooner or later take the run's own key away.
_OF_KEYS = ["v1_delete_key", "v1_revoke_key", "v1_rotate_key", "v1_change_key", "v1_put_key"]


@dataclass
class Fuzz:
    """One run; `seconds` bound it, and all of them are used."""

    inst: Installation
    seconds: int
    examples: int = 10
    phases: str = "examples,coverage,fuzzing"
    options: Sequence[str] = field(default_factory=list)

    def by_key(self) -> str:
        """Run everything that a key may do but manage keys; return the report."""
        key = self.inst.create_key("--scopes", "admin,jobs:all", "--rate", "unlimited")
        left_out = [f"--exclude-operation-id={name}" for name in (*_STREAMS, *_OF_KEYS)]
        return self._run({"Authorization": f"Api-Key {key}"}, left_out)

    def keys(self, username: str, password: str) -> str:
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

    def _run(self, headers: dict[str, str], which: Sequence[str]) -> str:
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", CONFIG]
        command += ["run", f"{self.inst.url}/api/schema/", "--checks=all", "--no-color"]
        command += [f"--phases={self.phases}", f"--max-examples={self.examples}"]
        command += [f"--max-time={self.seconds}", "--request-timeout=40", "--warnings=off"]
        command += ["--continue-on-failure", "--suppress-health-check=all"]
        command += ["--generation-database=none", *which, *self.options]
        for name, value in headers.items():
            command += ["--header", f"{name}: {value}"]
        env = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.documents.fuzz_hooks"}
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=self.seconds + 120,
        )
        report = done.stdout + done.stderr
        assert done.returncode == 0, report
        assert re.search(r"\d+ generated", report), report
        return report
