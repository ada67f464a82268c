"""The extension's core against a whole MobileSD, over sockets."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mobilesd_forge.client import SCOPES
from mobilesd_forge.faults import Fault
from mobilesd_forge.service import Service
from mobilesd_forge.settings import Settings

from dispatch.fakes.forge import FakeForge
from tests.extension_forge.core.between import Wire
from tests.processes.installation import Api, Installation, eventually

pytestmark = [
    pytest.mark.processes,
    pytest.mark.xdist_group("processes"),
    pytest.mark.timeout(300),  # the first one waits for a whole installation to be made
]

PARAMS = {"positive_prompt": "a boat", "width": 64, "height": 64, "steps": 4, "seed": 5}


class MobileSD(Installation):
    """An installation with a key that sees all jobs; making one takes a process."""

    def start(self, *, wait: bool = True) -> None:
        super().start(wait=wait)
        if not hasattr(self, "key"):
            self.key = self.create_key("--scopes", ",".join([*SCOPES, "jobs:all"]))
            self.all = Api(self.url, self.key)

    def jobs_of(self, service: Service) -> list[dict[str, Any]]:
        answer = self.all.get("/api/v2/jobs", params={"limit": "200"}).json()
        return [job for job in answer["jobs"] if service.installation in str(job["source_info"])]


@pytest.fixture(scope="module")
def mobilesd(prepared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MobileSD]:
    """One that stays up for all tests here that do not kill it."""
    folder = tmp_path_factory.mktemp("mobilesd") / "data"
    shutil.copytree(prepared_folder, folder)
    with MobileSD(folder) as running:
        yield running


@pytest.fixture
def mortal(prepared_folder: Path, tmp_path: Path) -> Iterator[MobileSD]:
    """One for a test that kills it."""
    shutil.copytree(prepared_folder, tmp_path / "mobilesd")
    with MobileSD(tmp_path / "mobilesd") as running:
        yield running


@pytest.fixture
def wire(mobilesd: MobileSD) -> Iterator[Wire]:
    made = Wire(mobilesd.port)
    yield made
    made.close()


def test_a_click_becomes_the_job_that_was_clicked(
    mobilesd: MobileSD, service_for: Callable[..., Service]
) -> None:
    mobilesd.manage("add_server", "one", "http://127.0.0.1:9")
    service = service_for(mobilesd.url, mobilesd.key, target="one", priority=3, lane="background")
    assert service.test_connection().startswith(f"Connected to MobileSD 0.1.0 at {mobilesd.url}")
    eventually(lambda: service.server_choices() == ["one"])
    service.start()
    service.submit(PARAMS, click_id="1")
    service.submit(PARAMS, click_id="2", count=3, seed_variation="incremental")
    eventually(lambda: service.outbox.count() == 0)
    *many, one = mobilesd.jobs_of(service)
    assert one["generation_params"].items() >= PARAMS.items()
    assert (one["target_server_alias"], one["priority"], one["lane"]) == ("one", 3, "background")
    assert one["source_info"] == f"forge-extension/1.0.0 {service.installation}"
    assert sorted(job["generation_params"]["seed"] for job in many) == [5, 6, 7]


@pytest.mark.parametrize("moment", ["on_request", "on_answer"])
def test_mobilesd_is_killed_between_order_and_answer_and_there_is_one_job(
    mortal: MobileSD,
    service_for: Callable[..., Service],
    moment: str,
) -> None:
    wire = Wire(mortal.port)
    service = service_for(wire.url, mortal.key)

    def kill(request: bytes) -> bool:
        if request.startswith(b"POST"):
            setattr(wire, moment, lambda request: True)
            mortal.kill()
            return False
        return True

    setattr(wire, moment, kill)
    service.submit(PARAMS, click_id="1")
    service.sender.send_all()
    assert service.sender.fault is not None
    assert service.outbox.count() == 1
    assert service.submit(PARAMS, click_id="1").text == "This click was taken already."
    eventually(lambda: not mortal.left_behind(), 20)
    mortal.start()
    service.start()
    eventually(lambda: service.outbox.count() == 0, 30)
    assert len(mortal.jobs_of(service)) == 1
    wire.close()


def test_what_was_clicked_while_mobilesd_was_away_arrives_once_and_in_order(
    mortal: MobileSD, service_for: Callable[..., Service]
) -> None:
    service = service_for(mortal.url, mortal.key)
    mortal.stop()
    service.start()
    for name in ("1", "2", "2", "3"):
        service.submit({**PARAMS, "positive_prompt": name}, click_id=name)
    eventually(lambda: service.sender.fault)
    fault = service.sender.fault
    assert fault is not None
    assert f"Nothing answers at {mortal.url}" in fault.text
    assert service.state()["waiting"] == 3
    mortal.start()
    eventually(lambda: service.outbox.count() == 0, 60)
    prompts = [job["generation_params"]["positive_prompt"] for job in mortal.jobs_of(service)]
    assert prompts == ["3", "2", "1"]


def test_each_fault_of_the_key_is_named(
    mobilesd: MobileSD, service_for: Callable[..., Service]
) -> None:
    service = service_for(mobilesd.url, "abcdefgh.0123456789abcdefghijklmnopqrstuv")
    assert "does not know this API key" in service.test_connection()
    service.store_key(mobilesd.create_key("--scopes", "jobs:read,servers:read"))
    assert "lacks the permissions jobs:write, images:read" in service.test_connection()
    service.submit(PARAMS, click_id="1")
    service.sender.send_all()
    assert service.sender.fault is not None
    assert "lacks the permission jobs:write" in service.sender.fault.text
    key = mobilesd.create_key()
    service.store_key(key)
    _change_key(mobilesd, key, "expiry_date=timezone.now()")
    assert "has expired" in service.test_connection()
    _change_key(mobilesd, key, "expiry_date=None, revoked=True")
    assert "was revoked" in service.test_connection()
    service.store_key(mobilesd.key)
    service.start()
    eventually(lambda: service.outbox.count() == 0)
    assert len(mobilesd.jobs_of(service)) == 1, "the click waited for the right key"


def _change_key(mobilesd: MobileSD, key: str, change: str) -> None:
    prefix = key.partition(".")[0]
    mobilesd.manage(
        "shell",
        "-c",
        "from apikeys.models import ApiKey; from django.utils import timezone;"
        f" ApiKey.objects.filter(prefix={prefix!r}).update({change})",
    )


def test_a_refusal_is_shown_in_mobilesds_words_and_can_be_sent_again(
    mobilesd: MobileSD, folder: Path
) -> None:
    target = ["other"]
    service = Service(folder, lambda: Settings(url=mobilesd.url, target=target[0]))
    service.store_key(mobilesd.key)
    service.submit(PARAMS, click_id="1")
    target[0] = ""
    service.submit({**PARAMS, "width": 63}, click_id="2")
    service.sender.send_all()
    first, second = service.state()["outbox"]
    assert (first["state"], second["state"]) == ("refused", "refused")
    assert "names no server: 'other'." in first["why"]
    assert "The servers are: " in first["why"]
    assert "width must be a whole number from 64 to 8192, but is 63." in second["why"]
    mobilesd.manage("add_server", "other", "http://127.0.0.1:10")
    service.send_again(first["name"])
    service.drop(second["name"])
    service.sender.send_all()
    assert service.state()["outbox"] == []
    assert len(mobilesd.jobs_of(service)) == 1


def test_the_panel_shows_the_jobs_of_this_installation_as_they_run(
    mobilesd: MobileSD, service_for: Callable[..., Service]
) -> None:
    service = service_for(mobilesd.url, mobilesd.key)
    mobilesd.all.post("/api/v2/generate", json={"generation_params": PARAMS})  # somebody else's
    service.start()
    service.submit({**PARAMS, "steps": 20}, click_id="1")

    def shown() -> dict[str, Any]:
        jobs = service.state()["jobs"]
        assert len(jobs) <= 1
        return dict(jobs[0]) if jobs else {}

    waits = eventually(lambda: shown() if shown() and service.state()["live"] else None)
    assert waits["status"] == "pending"
    assert waits["waiting"]
    assert waits["prompt"] == "a boat"
    bars: list[float] = []
    with FakeForge(step_seconds=0.5) as fake:
        mobilesd.manage("add_server", "fake", fake.url)
        end = time.monotonic() + 60
        while time.monotonic() < end and shown()["status"] != "completed":
            if shown()["status"] == "processing":
                bars.append(shown()["progress"])
            time.sleep(0.02)
        done = shown()
        assert done["status"] == "completed"
        assert (done["pictures"], done["can_send_back"]) == (1, True)
        assert any(0 < bar < 1 for bar in bars)
        assert bars == sorted(bars)
        assert "Steps: 20" in service.infotext(done["id"])
        kind, content = service.picture(done["id"], 0)
        assert kind.startswith("image/")
        assert len(content) > 100
        with pytest.raises(Fault, match="no such picture"):
            service.picture(done["id"], 1)


def test_a_job_is_cancelled_and_retried_from_the_panel(
    mobilesd: MobileSD, service_for: Callable[..., Service]
) -> None:
    service = service_for(mobilesd.url, mobilesd.key)
    service.start()
    service.submit(PARAMS, click_id="1")

    def is_shown_as(status: str) -> Any:
        return next((job for job in service.state()["jobs"] if job["status"] == status), None)

    job = eventually(lambda: is_shown_as("pending"))
    service.cancel(job["id"])
    assert eventually(lambda: is_shown_as("cancelled"))["can_retry"]
    service.retry(job["id"])
    eventually(lambda: is_shown_as("pending"))
    with pytest.raises(Fault):
        service.cancel("no-such-job")


def test_without_events_the_panel_asks_again_and_again(
    mobilesd: MobileSD, wire: Wire, service_for: Callable[..., Service]
) -> None:
    wire.on_request = lambda request: not request.startswith(b"GET /api/v2/events")
    service = service_for(wire.url, mobilesd.key)
    service.start()
    service.submit(PARAMS, click_id="1")
    job = eventually(lambda: service.state()["jobs"])[0]
    assert not service.state()["live"]
    mobilesd.all.post(f"/api/v2/jobs/{job['id']}/cancel")
    eventually(lambda: service.state()["jobs"][0]["status"] == "cancelled", 10)


def test_mobilesd_is_asked_nothing_while_nobody_looks(
    mobilesd: MobileSD,
    wire: Wire,
    service_for: Callable[..., Service],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bytes] = []

    def note(request: bytes) -> bool:
        asked.append(request.partition(b"\r\n")[0])
        return True

    wire.on_request = note
    monkeypatch.setattr("mobilesd_forge.watcher.LOOK_SECONDS", 0.5)
    service = service_for(wire.url, mobilesd.key)
    service.start()
    eventually(lambda: service.state()["live"])
    # The stream is left at its next sign of life: an event, or 15 s.
    time.sleep(0.6)
    order = {"generation_params": PARAMS}
    mobilesd.all.post("/api/v2/generate", json=order)
    eventually(lambda: not service.watcher._live)
    count = len(asked)
    mobilesd.all.post("/api/v2/generate", json=order)
    time.sleep(2)
    assert len(asked) == count, asked[count:]
    service.state()
    eventually(lambda: len(asked) > count)


def test_another_address_shows_its_own_jobs(mobilesd: MobileSD, folder: Path) -> None:
    url = [mobilesd.url]
    service = Service(folder, lambda: Settings(url=url[0]))
    service.store_key(mobilesd.key)
    service.start()
    try:
        service.submit(PARAMS, click_id="1")
        eventually(lambda: service.state()["jobs"])
        url[0] = "http://127.0.0.1:9"
        eventually(lambda: not service.state()["jobs"], 30)
        assert "entered for" in service.state()["fault"]
    finally:
        service.stop()


def test_nothing_secret_is_in_what_the_panel_gets(
    mobilesd: MobileSD, service_for: Callable[..., Service]
) -> None:
    service = service_for(mobilesd.url, mobilesd.key)
    service.submit(PARAMS, click_id="1")
    service.sender.send_all()
    service.watcher.read_list()
    assert service.state()["jobs"]
    assert mobilesd.key.partition(".")[2] not in json.dumps(service.state())
