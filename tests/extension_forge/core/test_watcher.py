"""What the panel knows of the jobs: from lists, from events, and when it asks for neither."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mobilesd_forge import watcher as watcher_module
from mobilesd_forge.client import Client
from mobilesd_forge.faults import Fault
from mobilesd_forge.sse import Event, events
from mobilesd_forge.watcher import Watcher

from tests.extension_forge.core.scripted import Asked, Reply, Scripted, problem
from tests.extension_forge.core.some_jobs import MobileSDWithJobs, job
from tests.processes.installation import eventually


@pytest.fixture
def mobilesd(server: Scripted) -> MobileSDWithJobs:
    made = MobileSDWithJobs(job(1), job(2, "processing"))
    server.answer = made
    return made


@pytest.fixture
def watcher(client: Client, mobilesd: MobileSDWithJobs) -> Watcher:
    return Watcher(lambda: client, lambda: None)


@pytest.fixture
def run() -> Iterator[Callable[[Watcher], None]]:
    started: list[tuple[Watcher, list[threading.Thread]]] = []

    def run(watcher: Watcher) -> None:
        threads = [
            threading.Thread(target=target) for target in (watcher.keep_list, watcher.follow_events)
        ]
        started.append((watcher, threads))
        for thread in threads:
            thread.start()

    yield run
    for watcher, threads in started:
        watcher.stop()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()


def stream(*messages: tuple[str, str, dict[str, Any]]) -> Reply:
    """Return a stream of events that ends after them."""
    body = "retry: 2000\n\n"
    for kind, mark, data in messages:
        body += f"event: {kind}\n" + (f"id: {mark}\n" if mark else "")
        body += f"data: {json.dumps(data)}\n\n"
    return Reply(body=body.encode(), headers={"Content-Type": "text/event-stream"})


def progress(number: int, share: float, **more: Any) -> Event:
    job_id = job(number)["mobilesd_job_id"].replace("-", "")
    data = {"job": job_id, "progress": share, "text": "step 9", "eta": 3.0, **more}
    return Event("job.progress", data, "")


def test_the_list_is_read_and_shown(watcher: Watcher) -> None:
    assert not watcher.look().read
    assert watcher.read_list()
    view = watcher.look()
    assert view.read
    assert [j["status"] for j in view.jobs] == ["pending", "processing"]


def test_a_job_that_runs_is_shown_however_many_came_after_it(
    watcher: Watcher, mobilesd: MobileSDWithJobs, server: Scripted
) -> None:
    mobilesd.jobs[:] = [*(job(number) for number in range(59, 0, -1)), job(60, "processing")]
    assert watcher.read_list()
    view = watcher.look()
    shown = [one["id"] for one in view.jobs]
    assert shown == [one["mobilesd_job_id"] for one in mobilesd.jobs]
    assert view.jobs[-1]["status"] == "processing"
    assert view.waiting == 59
    assert len(server.asked) == 3


def test_of_very_many_the_newest_the_next_and_the_count_are_shown(
    watcher: Watcher, mobilesd: MobileSDWithJobs
) -> None:
    mobilesd.jobs[:] = [
        job(number, creation_timestamp=f"2026-01-31T{number // 60:02d}:{number % 60:02d}:00.000Z")
        for number in range(200, 0, -1)
    ]
    assert watcher.read_list()
    view = watcher.look()
    numbers = [int(one["id"][-12:]) for one in view.jobs]
    assert numbers == [*range(200, 150, -1), *range(20, 0, -1)]
    assert view.waiting == 200


def test_progress_moves_the_bar_of_its_job_alone(watcher: Watcher) -> None:
    watcher.read_list()
    watcher.take(progress(2, 0.75))
    watcher.take(progress(1, 0.5))  # late: it waits again
    watcher.take(progress(9, 0.5))  # somebody else's
    first, second = watcher.look().jobs
    assert (first["progress"], second["progress"]) == (0.0, 0.75)
    assert (second["step"], second["eta"]) == ("step 9", 3.0)


def test_odd_progress_is_made_plain(watcher: Watcher) -> None:
    watcher.read_list()
    watcher.take(progress(2, float("nan"), text=["x"], eta="soon"))
    watcher.take(Event("job.progress", {}, ""))
    assert watcher.look().jobs[1]["progress"] == 0.0
    assert watcher.look().jobs[1]["eta"] is None


def test_a_fault_is_told_and_what_is_known_stays(watcher: Watcher, server: Scripted) -> None:
    watcher.read_list()
    server.answer = lambda asked: problem(401, "api_key_expired")
    assert not watcher.read_list()
    view = watcher.look()
    assert view.fault is not None
    assert "expired" in view.fault.text
    assert len(view.jobs) == 2


def test_jobs_of_another_address_or_key_are_forgotten(
    client: Client, mobilesd: MobileSDWithJobs, server: Scripted
) -> None:
    setting = ["one"]
    watcher = Watcher(lambda: client, lambda: setting[0])
    watcher.read_list()
    setting[0] = "two"
    server.answer = lambda asked: Reply(hang_up=True)
    watcher.read_list()
    assert watcher.look().jobs == ()
    with pytest.raises(Fault):
        watcher.picture(job(1)["mobilesd_job_id"], 0)


def test_an_answer_lets_the_outbox_know(client: Client, mobilesd: MobileSDWithJobs) -> None:
    told: list[bool] = []
    watcher = Watcher(lambda: client, lambda: None, lambda: told.append(True))
    watcher.read_list()
    mobilesd.reply["/jobs"] = Reply(502)
    watcher.read_list()
    assert told == [True]


def asked_for(server: Scripted, path: str) -> list[Asked]:
    return [asked for asked in server.asked if asked.path.startswith(path)]


def test_nothing_is_asked_before_somebody_looks(
    watcher: Watcher, server: Scripted, run: Callable[[Watcher], None]
) -> None:
    run(watcher)
    assert not threading.Event().wait(0.3)
    assert not server.asked
    watcher.look()
    eventually(lambda: watcher.look().read)


def test_nothing_is_asked_any_more_when_nobody_looks(
    watcher: Watcher,
    server: Scripted,
    run: Callable[[Watcher], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watcher_module, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(watcher_module, "SHORTEST", 0.01)
    monkeypatch.setattr(watcher_module, "WITHOUT_EVENTS", 0.05)
    run(watcher)
    eventually(lambda: watcher.look().read and len(asked_for(server, "/api/v2/jobs")) > 3)
    threading.Event().wait(0.5)
    before = len(server.asked)
    threading.Event().wait(0.5)
    assert len(server.asked) == before


def test_a_stream_goes_on_where_it_broke(
    watcher: Watcher,
    mobilesd: MobileSDWithJobs,
    server: Scripted,
    run: Callable[[Watcher], None],
) -> None:
    mobilesd.reply["/events"] = stream(
        ("hello", "e:5", {}), ("job.status", "e:7", {"job": "x"}), ("job.progress", "", {})
    )
    run(watcher)
    eventually(lambda: watcher.look() and len(asked_for(server, "/api/v2/events")) >= 2)
    first, second = asked_for(server, "/api/v2/events")[:2]
    assert "last-event-id" not in first.headers
    assert second.headers["last-event-id"] == "e:7"


def test_an_event_brings_the_list_up_to_date_at_once(
    watcher: Watcher, mobilesd: MobileSDWithJobs, run: Callable[[Watcher], None]
) -> None:
    run(watcher)
    eventually(lambda: watcher.look().read)
    mobilesd.jobs[0] = job(1, "completed")
    watcher.take(Event("job.status", {"job": "x"}, "e:1"))
    eventually(lambda: watcher.look().jobs[0]["status"] == "completed", 2.5)


def test_events_that_are_refused_leave_the_list_alone(
    watcher: Watcher,
    mobilesd: MobileSDWithJobs,
    server: Scripted,
    run: Callable[[Watcher], None],
) -> None:
    mobilesd.reply["/events"] = problem(503, "server_busy")
    run(watcher)
    eventually(lambda: watcher.look() and asked_for(server, "/api/v2/events"))
    eventually(lambda: watcher.look().read)
    assert watcher.look().fault is None
    assert not watcher.look().live


def test_server_sent_events_are_read_as_the_standard_has_them() -> None:
    lines = [
        b": a comment\r",
        b"event: one",
        b"data: {",
        b'data: "a": 1}',
        b"id: 5",
        b"",
        b"data:no json",
        b"",
        b"event: nothing to tell",
        b"",
        b"odd line",
        b"data: []",
        b"",
    ]
    assert list(events(lines)) == [
        None,
        Event("one", {"a": 1}, "5"),
        Event("message", {}, "5"),
        Event("message", {}, "5"),
    ]
