"""What Forge's page is told of a click, and what the service knows of MobileSD."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from mobilesd_forge import service as service_module
from mobilesd_forge.service import Service
from mobilesd_forge.settings import Settings

from tests.extension_forge.core.conftest import KEY
from tests.extension_forge.core.scripted import Asked, Reply, Scripted, problem
from tests.processes.installation import eventually

PARAMS = {"positive_prompt": "a boat"}


def test_a_click_is_answered_before_anything_is_sent(
    service_for: Callable[..., Service], server: Scripted
) -> None:
    service = service_for(server.url, KEY, target="gpu", priority=3, lane="background")
    assert (
        service.submit(PARAMS, click_id="1").text
        == "1 job is on its way to MobileSD (1 in the outbox)."
    )
    assert (
        service.submit(PARAMS, click_id="2", count=3).text
        == "3 jobs are on their way to MobileSD (2 in the outbox)."
    )
    assert service.outbox.count() == 2
    assert not server.asked


def test_a_second_click_is_said_to_be_one(service_for: Callable[..., Service]) -> None:
    service = service_for("http://box", KEY)
    service.submit(PARAMS, click_id="1")
    again = service.submit(PARAMS, click_id="1")
    assert (again.accepted, again.text) == (True, "This click was taken already.")
    assert service.outbox.count() == 1


def test_a_click_is_sent_by_the_threads(
    service_for: Callable[..., Service], server: Scripted
) -> None:
    server.answer = lambda asked: Reply(202, json={})
    service = service_for(server.url, KEY, target="gpu", priority=3, lane="background")
    service.start()
    running = threading.active_count()
    service.start()
    assert threading.active_count() == running
    service.submit(PARAMS, click_id="1")
    eventually(lambda: service.outbox.count() == 0)
    sent = [asked.json for asked in server.asked if asked.method == "POST"]
    assert len(sent) == 1
    assert sent[0]["target_server_alias"] == "gpu"
    assert (sent[0]["priority"], sent[0]["lane"]) == (3, "background")
    assert sent[0]["source_info"] == f"forge-extension/1.0.0 {service.installation}"


def test_a_click_is_said_to_be_queued_once_mobilesd_has_it(
    service_for: Callable[..., Service], server: Scripted
) -> None:
    server.answer = lambda asked: Reply(202, json={})
    service = service_for(server.url, KEY)
    service.start()
    assert service.submit(PARAMS, click_id="1").text == "1 job queued in MobileSD."
    assert service.submit(PARAMS, click_id="2", count=3).text == "3 jobs queued in MobileSD."
    assert service.held() == {"waiting": 0, "refused": 0}


def test_the_first_click_while_mobilesd_is_away_says_that_it_is_kept(
    service_for: Callable[..., Service], server: Scripted
) -> None:
    server.answer = lambda asked: Reply(hang_up=True)
    service = service_for(server.url, KEY)
    service.start()
    said = service.submit(PARAMS, click_id="1")
    assert said.accepted
    assert said.text == (
        "1 job kept in the outbox (1 waits there) and sent later."
        f" The connection to {server.url} broke off."
    )
    assert service.held() == {"waiting": 1, "refused": 0}
    server.answer = lambda asked: Reply(202, json={})
    assert service.submit(PARAMS, click_id="2").text == "1 job queued in MobileSD."


def test_a_click_that_mobilesd_refuses_is_said_to_be_refused(
    service_for: Callable[..., Service], server: Scripted
) -> None:
    server.answer = lambda asked: problem(400, "invalid_field_value", message="Wrong width.")
    service = service_for(server.url, KEY)
    service.start()
    for _ in range(2):  # the second half of a double click must not hide it
        said = service.submit(PARAMS, click_id="1")
        assert (said.accepted, said.text) == (False, "MobileSD refused it. Wrong width.")
    assert service.held() == {"waiting": 0, "refused": 1}


def test_a_click_of_which_nothing_is_heard_in_time_is_said_to_be_on_its_way(
    service_for: Callable[..., Service], server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(asked: Asked) -> Reply:
        server.free.wait(30)
        return Reply(202, json={})

    monkeypatch.setattr(service_module, "OUTCOME_SECONDS", 0.1)
    server.answer = late
    service = service_for(server.url, KEY)
    service.start()
    said = service.submit(PARAMS, click_id="1")
    assert said.accepted
    assert said.text == "1 job is on its way to MobileSD (1 in the outbox)."
    server.free.set()
    eventually(lambda: service.outbox.count() == 0)


def test_while_mobilesd_is_away_the_click_says_that_it_is_kept(
    service_for: Callable[..., Service], server: Scripted
) -> None:
    server.answer = lambda asked: problem(503, "submissions_closed")
    service = service_for(server.url, KEY)
    service.submit(PARAMS, click_id="1")
    service.sender.send_all()
    said = service.submit(PARAMS, click_id="2")
    assert said.accepted
    assert said.text == (
        "1 job kept in the outbox (2 wait there) and sent later."
        " MobileSD takes no jobs now: that is switched off there."
    )


def test_without_a_key_the_click_is_kept_and_says_what_is_missing(
    service_for: Callable[..., Service],
) -> None:
    service = service_for("http://box")
    said = service.submit(PARAMS, click_id="1")
    assert said.accepted
    assert said.text.startswith(
        "1 job kept in the outbox (1 waits there) and sent later. Enter an API"
    )
    assert service.outbox.count() == 1


@pytest.mark.parametrize("url", ["", "http://box/path"])
def test_without_an_address_nothing_is_taken(service_for: Callable[..., Service], url: str) -> None:
    service = service_for(url)
    said = service.submit(PARAMS, click_id="1")
    assert not said.accepted
    assert said.text.endswith("Nothing was queued.")
    assert service.outbox.count() == 0


@pytest.mark.parametrize("count", [0, -1, 1001])
def test_a_count_out_of_bounds_is_refused(service_for: Callable[..., Service], count: int) -> None:
    said = service_for("http://box").submit(PARAMS, click_id="1", count=count)
    assert (said.accepted, said.text) == (
        False,
        "The count must be from 1 to 1000. Nothing was queued.",
    )


def test_a_folder_that_can_not_be_used_breaks_only_the_clicks(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    service = Service(blocked, lambda: Settings(url="http://box"))
    service.start()
    said = service.submit(PARAMS, click_id="1")
    assert not said.accepted
    assert f"The folder {blocked} can't be used" in said.text
    assert service.state()["fault"] == service.test_connection()
    service.refresh_servers()
    service.stop()


def test_the_servers_are_asked_for_in_the_background(
    service_for: Callable[..., Service], server: Scripted
) -> None:
    answered = {"servers": [{"alias": "gpu"}, {"alias": 5}, {}, 7, {"alias": "cpu"}]}
    server.answer = lambda asked: Reply(json=answered)
    service = service_for(server.url, KEY)
    assert service.server_choices() == []
    service.refresh_servers()
    eventually(service.server_choices)
    assert service.server_choices() == ["gpu", "cpu"]
    server.answer = lambda asked: Reply(hang_up=True)
    before = len(server.asked)
    service.refresh_servers()
    eventually(lambda: len(server.asked) > before)
    assert service.server_choices() == ["gpu", "cpu"], "what is known stays"


def test_whoever_shows_the_servers_right_after_asking_has_them(
    service_for: Callable[..., Service], server: Scripted
) -> None:
    server.answer = lambda asked: Reply(json={"servers": [{"alias": "gpu"}]})
    service = service_for(server.url, KEY)
    service.refresh_servers(wait=5)
    assert service.server_choices() == ["gpu"]


def test_a_server_list_that_does_not_come_is_not_waited_for_longer(
    service_for: Callable[..., Service], server: Scripted
) -> None:
    def late(asked: Asked) -> Reply:
        server.free.wait(30)
        return Reply(json={"servers": [{"alias": "gpu"}]})

    server.answer = late
    service = service_for(server.url, KEY)
    service.refresh_servers(wait=0.1)
    service.refresh_servers(wait=0.1)
    assert service.server_choices() == []
    server.free.set()
    eventually(service.server_choices)
    assert len(server.asked) == 1, "one question at a time"


def test_the_servers_are_known_soon_after_the_start(
    service_for: Callable[..., Service], server: Scripted
) -> None:
    server.answer = lambda asked: Reply(json={"servers": [{"alias": "gpu"}]})
    service = service_for(server.url, KEY)
    service.start()
    eventually(service.server_choices)
    assert service.server_choices() == ["gpu"]


def test_a_connection_that_works_wakes_the_outbox(
    service_for: Callable[..., Service], server: Scripted
) -> None:
    who = {
        "name": "forge",
        "scopes": ["jobs:read", "jobs:write", "servers:read", "images:read"],
        "server_version": "0.1.0",
    }
    server.answer = lambda asked: Reply(json=who) if "whoami" in asked.path else Reply(json={})
    service = service_for(server.url, KEY)
    said = service.test_connection()
    assert said == f"Connected to MobileSD 0.1.0 at {server.url}, with the key forge."


def test_each_start_has_a_page_token_of_its_own(service_for: Callable[..., Service]) -> None:
    one, two = service_for("http://box"), service_for("http://box")
    assert one.page_token != two.page_token
    assert one.is_page(one.page_token)
    assert not one.is_page(two.page_token)
    assert not one.is_page("")
    assert not one.is_page("ä")
