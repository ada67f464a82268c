"""A whole MobileSD on this machine: `manage.py up` as a real process, in a folder of its own.

    with Installation(tmp_path / "data") as inst:
        fake = inst.fake("gpu")
        inst.api.post("/api/v2/generate", json={…})

On leaving, everything is stopped, and a process that stayed behind fails the test.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import requests

from dispatch.fakes.forge import FakeForge
from mobilesd.supervisor.network import free_port

__all__ = ["Api", "Installation", "eventually"]

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 60


def eventually(true: Callable[[], Any], seconds: float = 15, what: str = "") -> Any:
    """Wait until something holds, and return it."""
    end = time.monotonic() + seconds
    while True:
        value = true()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds} s: {what or true}"
        time.sleep(0.05)


class Api(requests.Session):
    """A client of the installation's REST API, with a key if one is given."""

    def __init__(self, base: str, key: str = "") -> None:
        super().__init__()
        self.base = base
        if key:
            self.headers["Authorization"] = f"Api-Key {key}"

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        kwargs.setdefault("timeout", 20)
        return super().request(method, self.base + url, *args, **kwargs)


class Installation:
    """One data folder, and the `up` that runs with it.

    `arguments` are those of `up`; the port is a free one. `env` sets more variables. With a
    `run_dir` it is one of several that share the data folder.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        run_dir: Path | None = None,
        wait: bool = True,
    ) -> None:
        self.data_dir = data_dir
        self.run_dir = run_dir or data_dir / "run"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.arguments = arguments
        self.env = {
            **{name: value for name, value in os.environ.items() if "MOBILESD_" not in name},
            "MOBILESD_DATA_DIR": str(data_dir),
            **({"MOBILESD_RUN_DIR": str(run_dir)} if run_dir else {}),
            "PYTHONUNBUFFERED": "1",
            **(env or {}),
        }
        self._wait = wait
        self._key = ""
        own = run_dir or data_dir
        self._log = own.with_name(f"{own.name}.log")
        self._fakes = contextlib.ExitStack()
        self.up: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Installation":
        try:
            self.start(wait=self._wait)
        except BaseException as error:
            self.__exit__(type(error))
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if self.up is not None and self.up.poll() is None:
                self.stop()
        finally:
            left = self.left_behind()
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            self._fakes.close()
            if kind is not None:
                sys.stderr.write(f"--- log of the installation ---\n{self.logs}\n")
        assert not left, f"left behind: {[_title(process) for process in left]}"

    # --- Start and end ---------------------------------------------------------------------
    def start(self, *, wait: bool = True) -> None:
        """Start `up`; wait until it says that it is ready."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self.up = subprocess.Popen(
                [sys.executable, "manage.py", "up", "--port", str(self.port), *self.arguments],
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until /readyz says yes."""
        assert self.up is not None

        def ready() -> bool:
            assert self.up is not None
            assert self.up.poll() is None, f"up ended:\n{self.logs}"
            return self.answer("/readyz") == 200

        eventually(ready, READY_SECONDS, "ready")

    def stop(self, how: signal.Signals = signal.SIGINT, seconds: float = 8) -> float:
        """Stop `up` as Ctrl-C does; return the seconds that it took until every process ended."""
        assert self.up is not None
        begin = time.monotonic()
        self.up.send_signal(how)
        self.up.wait(timeout=seconds)
        return time.monotonic() - begin

    def kill(self) -> None:
        """Kill `up` alone, as the OOM killer would."""
        assert self.up is not None
        self.up.kill()
        self.up.wait()

    # --- Processes -------------------------------------------------------------------------
    def left_behind(self) -> list[psutil.Process]:
        """Return the processes of this installation, wherever their parents are."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                return False
            environment = process.environ()
            return all(
                environment.get(name) == self.env.get(name)
                for name in ("MOBILESD_DATA_DIR", "MOBILESD_RUN_DIR")
            )
        return False

    def children(self) -> list[psutil.Process]:
        """Return every process below `up`."""
        assert self.up is not None
        return psutil.Process(self.up.pid).children(recursive=True)

    def state(self) -> dict[str, Any]:
        """Return the content of supervisor.json."""
        found: dict[str, Any] = json.loads((self.run_dir / "supervisor.json").read_text())
        return found

    def process(self, name: str) -> psutil.Process:
        """Return the process that `up` started for a role; wait until there is one."""

        def running() -> psutil.Process | None:
            # The file names a process until `up` has seen that it ended.
            with contextlib.suppress(OSError, ValueError, psutil.Error):
                for child in self.state()["children"]:
                    if child["name"] == name and child["pid"] is not None:
                        return psutil.Process(child["pid"])
            return None

        found: psutil.Process = eventually(running, 40, f"a process for {name}")
        return found

    def workers(self, cluster: str) -> list[psutil.Process]:
        """Return the workers of a cluster, without its monitor and its pusher.

        The sentinel starts the workers first, then the monitor, then the pusher.
        """

        def below() -> list[psutil.Process]:
            with contextlib.suppress(psutil.Error):  # it was just started anew
                return self.process(cluster).children()
            return []

        sentinel = eventually(below, 20, "a sentinel")[0]

        def whole() -> list[psutil.Process]:
            found = sorted(sentinel.children(), key=lambda child: (child.create_time(), child.pid))
            return found if len(found) >= 4 else []

        found: list[psutil.Process] = eventually(whole, 20, "workers")
        return found[:-2]

    # --- What people and programs do -------------------------------------------------------
    def answer(self, path: str) -> int | None:
        """Return the status code of a GET without a key, or None when nothing answers."""
        with contextlib.suppress(requests.RequestException):
            return requests.get(self.url + path, timeout=5).status_code
        return None

    def manage(self, *arguments: str) -> str:
        """Run a management command; return what it printed, fail if it failed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def create_user(self, username: str = "admin", password: str = "correct horse") -> None:
        """Make an administrator."""
        self.env["DJANGO_SUPERUSER_PASSWORD"] = password
        try:
            self.manage(
                "createsuperuser", "--noinput", "--username", username, "--email", "a@b.example"
            )
        finally:
            del self.env["DJANGO_SUPERUSER_PASSWORD"]

    def create_key(self, *arguments: str) -> str:
        """Make an API key; return `P.S`."""
        printed = self.manage("create_api_key", "test", *arguments)
        return printed.strip().splitlines()[-1]

    @property
    def api(self) -> Api:
        """Return a new client with the installation's key, made at the first use."""
        if not self._key:
            self._key = self.create_key()
        return Api(self.url, self._key)

    def fake(self, alias: str = "fake", **options: Any) -> FakeForge:
        """Start a fake server in this process and register it under this alias."""
        fake = self._fakes.enter_context(FakeForge(**options))
        self.manage("add_server", alias, fake.url)
        return fake

    def submit(self, alias: str | None = None, **params: Any) -> str:
        """Submit a small job; return its id."""
        asked = {"positive_prompt": "a boat", "width": 64, "height": 64, "steps": 4, **params}
        body = {"target_server_alias": alias, "generation_params": asked}
        answer = self.api.post("/api/v2/generate", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["mobilesd_job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job as the API tells it."""
        answer = self.api.get(f"/api/v2/jobs/{job_id}/status")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["job"]
        return found

    @property
    def logs(self) -> str:
        """Return everything that `up` and its children printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""


def _title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return f"{process.pid} {' '.join(process.cmdline()[1:])}"
    return str(process.pid)
