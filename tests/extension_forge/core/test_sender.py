"""How what waits is brought to MobileSD: in order, again and again, and never in vain."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from mobilesd_forge import sender as sender_module
from mobilesd_forge.client import Client
from mobilesd_forge.faults import Fault
from mobilesd_forge.outbox import Outbox
from mobilesd_forge.sender import LONGEST_PAUSE, LOOK_SECONDS, MAX_INTERNAL_ERRORS, Sender

from tests.extension_forge.core.conftest import order
from tests.extension_forge.core.scripted import Asked, Reply, Scripted, problem
from tests.processes.installation import eventually


@pytest.fixture
def sender(outbox: Outbox, client: Client) -> Sender:
    return Sender(outbox, lambda: client, lambda: None)


def prompt_of(asked: Asked) -> str:
    return str(asked.json["generation_params"]["positive_prompt"])


def test_what_waits_is_sent_in_order(sender: Sender, outbox: Outbox, server: Scripted) -> None:
    server.answer = lambda asked: Reply(202, json={"mobilesd_job_id": "x"})
    for number in range(3):
        outbox.add(order(str(number)), str(number))
    assert sender.send_all() == LOOK_SECONDS
    assert [prompt_of(asked) for asked in server.asked] == ["0", "1", "2"]
    assert outbox.count() == 0
    assert sender.fault is None


def test_many_go_to_the_address_of_bulk_orders(
    sender: Sender, outbox: Outbox, server: Scripted
) -> None:
    server.answer = lambda asked: Reply(202, json={})
    outbox.add(order(count=3), "1")
    sender.send_all()
    assert server.asked[0].path == "/api/v2/generate/bulk"


def test_nothing_is_asked_when_nothing_waits(sender: Sender, server: Scripted) -> None:
    sender.send_all()
    assert not server.asked


def test_what_is_refused_makes_way_for_the_next(
    sender: Sender, outbox: Outbox, server: Scripted
) -> None:
    server.answer = lambda asked: (
        problem(400, "invalid_field_value", message="Wrong.")
        if prompt_of(asked) == "bad"
        else Reply(202, json={})
    )
    outbox.add(order("bad"), "1")
    outbox.add(order("good"), "2")
    sender.send_all()
    assert outbox.count() == 0
    assert [(entry.prompt, why) for entry, why in outbox.look().refused] == [("bad", "Wrong.")]
    assert sender.fault is None


@pytest.mark.parametrize(
    "reply",
    [
        problem(401, "api_key_expired"),
        problem(403, "scope_missing", scope="jobs:write"),
        problem(426, "extension_too_old"),
        problem(503, "submissions_closed"),
        problem(503, "database_busy"),
        problem(429, "rate_limited"),
        problem(500, "internal_error"),
        Reply(200, body=b"<h1>hello</h1>"),
        Reply(404, body=b"<h1>hello</h1>"),
        Reply(302, headers={"Location": "https://box"}),
        Reply(hang_up=True),
    ],
)
def test_what_may_pass_is_waited_out_in_order(
    sender: Sender, outbox: Outbox, server: Scripted, reply: Reply
) -> None:
    server.answer = lambda asked: reply
    outbox.add(order("first"), "1")
    outbox.add(order("second"), "2")
    assert sender.send_all() > 0
    assert {prompt_of(asked) for asked in server.asked} == {"first"}
    assert outbox.count() == 2
    assert sender.fault is not None
    server.answer = lambda asked: Reply(202, json={})
    sender.send_all()
    assert outbox.count() == 0
    assert sender.fault is None


def test_pauses_grow_up_to_a_minute_and_differ(
    sender: Sender, outbox: Outbox, server: Scripted
) -> None:
    server.answer = lambda asked: problem(503, "database_busy")
    outbox.add(order(), "1")
    pauses = [sender.send_all() for _ in range(10)]
    assert 1 < pauses[0] < 3
    assert pauses[3] > pauses[1]
    assert max(pauses) <= LONGEST_PAUSE * 1.25
    assert len(set(pauses[-4:])) == 4


def test_mobilesd_says_for_how_long_to_wait(
    sender: Sender, outbox: Outbox, server: Scripted
) -> None:
    server.answer = lambda asked: problem(429, "rate_limited", headers={"Retry-After": "42"})
    outbox.add(order(), "1")
    assert sender.send_all() == 42


def test_an_order_above_a_whole_days_quota_makes_way_for_the_next(
    sender: Sender, outbox: Outbox, server: Scripted
) -> None:
    said = {"message": "The quota allows 10 jobs in 24 hours.", "hint": "Submit fewer jobs."}
    server.answer = lambda asked: (
        problem(429, "quota_exceeded", jobs=20, limit=10, **said)
        if asked.path.endswith("/bulk")
        else Reply(202, json={})
    )
    outbox.add(order("many", count=20), "1")
    outbox.add(order("one"), "2")
    sender.send_all()
    assert outbox.count() == 0
    why = "The quota allows 10 jobs in 24 hours. Submit fewer jobs."
    assert [(entry.prompt, said) for entry, said in outbox.look().refused] == [("many", why)]


@pytest.mark.parametrize("details", [{"jobs": 3, "limit": 10}, {"limit": 10}, {"jobs": "20"}])
def test_a_quota_that_is_free_again_later_is_waited_for(
    sender: Sender, outbox: Outbox, server: Scripted, details: dict[str, Any]
) -> None:
    server.answer = lambda asked: problem(
        429,
        "quota_exceeded",
        headers={"Retry-After": "300"},
        message="The quota is used up.",
        hint="Some of it is free again in 5 minutes.",
        **details,
    )
    outbox.add(order(count=3), "1")
    assert sender.send_all() == 300
    assert outbox.count() == 1
    assert sender.fault is not None
    assert sender.fault.text == "The quota is used up. Some of it is free again in 5 minutes."


def test_an_order_at_which_mobilesd_fails_does_not_hold_up_the_others_for_ever(
    sender: Sender, outbox: Outbox, server: Scripted
) -> None:
    server.answer = lambda asked: (
        problem(500, "internal_error", message="A fault of its own.")
        if prompt_of(asked) == "bad"
        else Reply(202, json={})
    )
    outbox.add(order("bad"), "1")
    outbox.add(order("good"), "2")
    for _ in range(MAX_INTERNAL_ERRORS - 1):
        sender.send_all()
    assert outbox.count() == 2
    sender.send_all()
    assert outbox.count() == 0
    assert [entry.prompt for entry, _ in outbox.look().refused] == ["bad"]


def test_while_another_process_sends_nothing_is_sent(
    sender: Sender, outbox: Outbox, folder: Path, server: Scripted
) -> None:
    outbox.add(order(), "1")
    with Outbox(folder, "0123456789ab").sending():
        assert sender.send_all() == LOOK_SECONDS
    assert not server.asked


def test_two_senders_of_one_folder_send_each_once(
    outbox: Outbox, folder: Path, client: Client, server: Scripted
) -> None:
    server.answer = lambda asked: Reply(202, json={})
    for number in range(20):
        outbox.add(order(str(number)), str(number))
    senders = [
        Sender(Outbox(folder, "0123456789ab"), lambda: client, lambda: None) for _ in range(2)
    ]
    threads = [threading.Thread(target=one.send_all) for one in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent = [prompt_of(asked) for asked in server.asked]
    assert sent == [str(number) for number in range(20)]


def test_a_missing_setting_is_told_and_what_waits_stays(outbox: Outbox) -> None:
    def connect() -> Client:
        raise Fault("key_missing", "Enter a key.")

    outbox.add(order(), "1")
    sender = Sender(outbox, connect, lambda: None)
    sender.send_all()
    assert sender.fault is not None
    assert sender.fault.text == "Enter a key."
    assert outbox.count() == 1


@pytest.mark.parametrize("reason", ["wake", "settings"])
def test_a_pause_ends_when_there_is_a_reason(
    outbox: Outbox,
    client: Client,
    server: Scripted,
    monkeypatch: pytest.MonkeyPatch,
    reason: str,
) -> None:
    monkeypatch.setattr(sender_module, "FIRST_PAUSE", 1000.0)
    monkeypatch.setattr(sender_module, "LONGEST_PAUSE", 1000.0)
    monkeypatch.setattr(sender_module, "LOOK_SECONDS", 0.05)
    server.answer = lambda asked: Reply(hang_up=True)
    setting = ["old"]
    sender = Sender(outbox, lambda: client, lambda: setting[0])
    outbox.add(order(), "1")
    thread = threading.Thread(target=sender.run)
    thread.start()
    try:
        eventually(lambda: sender.fault)
        server.answer = lambda asked: Reply(202, json={})
        if reason == "wake":
            sender.wake()
        else:
            setting[0] = "new"
        eventually(lambda: outbox.count() == 0)
    finally:
        sender.stop()
        thread.join(5)
    assert not thread.is_alive()


def test_the_thread_outlives_what_nobody_thought_of(
    outbox: Outbox, client: Client, server: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer = lambda asked: Reply(202, json={})
    broken = [True]

    def connect() -> Client:
        if broken:
            raise RuntimeError("oh")
        return client

    sender = Sender(outbox, connect, lambda: None)
    outbox.add(order(), "1")
    thread = threading.Thread(target=sender.run)
    thread.start()
    try:
        eventually(lambda: sender.fault)
        assert sender.fault is not None
        assert "RuntimeError" in sender.fault.text
        broken.clear()
        sender.wake()
        eventually(lambda: outbox.count() == 0)
    finally:
        sender.stop()
        thread.join(5)


def test_a_repeat_has_the_same_key_and_the_same_body(
    sender: Sender, outbox: Outbox, server: Scripted
) -> None:
    server.answer = lambda asked: Reply(hang_up=True)
    outbox.add(order(), "1")
    sender.send_all()
    sender.send_all()
    first, second = (json.loads(asked.body) for asked in server.asked)
    assert first == second
    assert first["idempotency_key"]
