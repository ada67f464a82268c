"""One sentence for each waiting job, and the button that helps."""

from datetime import timedelta

import pytest
from django.utils import timezone

from dispatch.candidates import reasons
from dispatch.models import Health, Inventory
from dispatch.scheduling import why_waiting
from jobs.models import QueueSettings
from jobs.ports import Button
from tests import factories
from tests.dispatch.scheduling_cases import candidate, listed, state


def buttons(reason):
    return [(button.kind, button.target) for button in reason.buttons]


def test_an_offline_server_can_be_tested():
    reason = why_waiting(candidate(), [state(healthy=False, offline_for=250.0)])
    assert reason.message == "a has been offline for 4 min. It does not answer."
    assert buttons(reason) == [("test_server", "a")]


def test_a_server_that_was_woken_is_waited_for():
    reason = why_waiting(candidate(), [state(healthy=False, waking="It was woken at 12:00 UTC.")])
    assert "woken at 12:00" in reason.message
    assert buttons(reason) == []


def test_a_missing_model_names_the_servers_that_have_it():
    servers = [state(checkpoints=listed("x")), state("b"), state("c", checkpoints=None)]
    reason = why_waiting(candidate("y", target="a"), servers)
    assert reason.code == "model_missing"
    assert "b, c could do it." in reason.action
    assert buttons(reason) == [
        ("edit", ""),
        ("choose_server", "b"),
        ("choose_server", "c"),
    ]


def test_a_job_of_a_removed_server_can_go_to_another():
    reason = why_waiting(candidate(target="gone"), [state("b"), state("c", paused=True)])
    assert reason.code == "server_removed"
    assert buttons(reason) == [("choose_server", "b")]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"held": "The queue is paused."}, ("resume_queue", "")),
        ({"held": "Paused for forge.", "held_app_type": "forge"}, ("resume_queue", "forge")),
    ],
)
def test_a_paused_queue_can_be_resumed(fields, expected):
    assert buttons(why_waiting(candidate(**fields), [state()])) == [expected]


def test_a_paused_server_can_be_resumed():
    assert buttons(why_waiting(candidate(), [state(paused=True)])) == [("resume_server", "a")]


def test_a_missing_lora_is_said_though_the_job_is_made_all_the_same():
    servers = [state(loras=frozenset({"other"}))]
    reason = why_waiting(candidate(loras=("Detail",)), servers)
    assert reason.code == "server_busy"
    assert "Detail is not there: the picture would be made without it." in reason.message
    assert why_waiting(candidate(loras=("OTHER",)), servers).action == ""


def test_a_server_that_yields_says_why():
    reason = why_waiting(candidate(), [state(yields="A game holds 9000 MB.")])
    assert (reason.code, "A game holds 9000 MB." in reason.message) == ("yielding", True)


@pytest.mark.django_db
@pytest.mark.parametrize("of", ["queue", "server"])
def test_outside_of_its_hours_it_says_when_it_opens(of):
    now = timezone.now()
    server = factories.server()
    row = server if of == "server" else QueueSettings()
    row.hours = f"{now + timedelta(hours=2):%H:%M}-{now + timedelta(hours=3):%H:%M}"
    row.time_zone = "UTC"
    row.save()
    job = factories.job()
    reason = reasons([job])[job.pk]
    assert reason.code == "outside_hours"
    assert f"{now + timedelta(hours=2):%H:%M}" in reason.message
    assert reason.message.startswith("The queue is" if of == "queue" else "a is")


@pytest.mark.django_db
def test_after_until_the_server_can_be_resumed():
    factories.server(run_until=timezone.now() - timedelta(hours=1))
    job = factories.job()
    reason = reasons([job])[job.pk]
    assert reason.code == "outside_hours"
    assert reason.buttons == (Button("Resume a", "resume_server", "a"),)


@pytest.mark.django_db
def test_a_held_job_shows_its_nod_before_anything_else():
    factories.server(health=Health.OFFLINE)
    job = factories.job(held=True)
    assert reasons([job])[job.pk].code == "held"


@pytest.mark.django_db
def test_the_rows_give_health_loras_and_waking():
    server = factories.server(
        health=Health.OFFLINE, health_since=timezone.now() - timedelta(minutes=5)
    )
    job = factories.job()
    assert "has been offline for 5 min" in reasons([job])[job.pk].message
    server.health, server.yields_since, server.yield_text = (
        Health.HEALTHY,
        timezone.now(),
        "Somebody draws on its page.",
    )
    server.save()
    assert "draws on its page" in reasons([job])[job.pk].message
    server.yields_since = None
    server.save()
    Inventory.objects.create(server=server, data={"loras": ["b"]}, updated_at=timezone.now())
    job.generation_params["positive_prompt"] = "a <lora:missing:1>"
    job.save()
    assert "missing is not there" in reasons([job])[job.pk].message
