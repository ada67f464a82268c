"""One sentence for each waiting job, and the button that helps."""

import random
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from dispatch.candidates import reasons
from dispatch.models import Health, Inventory
from dispatch.reasons import why_waiting
from dispatch.scheduling import choose
from jobs.choices import Outcome, Status
from jobs.models import Attempt, Job, QueueSettings
from jobs.moments import in_words
from jobs.ports import Button
from tests import factories
from tests.dispatch.scheduling_cases import candidate, listed, state
from tests.due import due
from tests.planning.test_heads import some_job


def buttons(reason):
    return [(button.kind, button.target) for button in reason.buttons]


def test_an_offline_server_can_be_tested():
    reason = why_waiting(candidate(), [state(healthy=False, offline_for=250.0)])
    assert reason.message == "a has been offline for 4 min. It does not answer."
    assert buttons(reason) == [("test_server", "a")]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"health": "starting"}, "a is starting."),
        ({"health": "unknown"}, "a has not been asked yet how it is."),
        (
            {"health": "refused", "health_text": "It wants a password."},
            "a refuses our sign-in. It wants a password.",
        ),
        (
            {"health": "aside", "failures": 3, "looked_at": "14:32 (UTC)"},
            "a failed 3 times in a row. It is looked at again at 14:32 (UTC).",
        ),
        (
            {"health": "aside", "health_text": "A failed model load broke it."},
            "a is set aside. A failed model load broke it.",
        ),
    ],
)
def test_a_server_that_is_not_well_says_in_which_way(fields, said):
    reason = why_waiting(candidate(), [state(healthy=False, **fields)])
    assert (reason.code, reason.message) == ("server_offline", said)
    assert reason.action
    assert buttons(reason) == [("test_server", "a")]


def test_a_job_that_is_left_to_a_server_with_the_model_says_so():
    free = state("a", loaded="y.safetensors")
    busy = state("b", loaded="x.safetensors", busy=True, free_in=5.0)
    assert choose(free, [job := candidate("x")], [busy]).left_to == {job.id: "b"}
    assert why_waiting(job, [free, busy]).message.startswith("It is left to b, which has the")
    late = candidate("x", waited=1e6)
    assert why_waiting(late, [free, busy]).message == "It waits for its turn on a or b."


def test_a_server_that_sees_an_old_run_off_says_so():
    reason = why_waiting(candidate(), [state(sees_off="A cancelled picture has to end there.")])
    assert reason.message == "It waits for a. A cancelled picture has to end there."


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


@pytest.mark.django_db
def test_a_server_set_aside_says_when_it_is_looked_at_again():
    again = timezone.now() + timedelta(minutes=3)
    factories.server(health=Health.ASIDE, failures_in_row=3, probe_at=again)
    job = factories.job()
    said = f"a failed 3 times in a row. It is looked at again at {in_words(again, timezone.now())}."
    assert reasons([job])[job.pk].message == said


@pytest.mark.django_db
def test_what_a_server_has_to_be_rid_of_is_told_from_its_rows():
    factories.server("b", enabled=False)
    server = factories.server(lane_token=uuid4())
    job = factories.job()
    old = factories.attempt(lane=uuid4())
    assert "when MobileSD stopped has to end there" in reasons([job])[job.pk].message
    Attempt.objects.filter(pk=old.pk).update(lane=server.lane_token)
    assert reasons([job])[job.pk].message == "It waits for its turn on a."
    Attempt.objects.filter(pk=old.pk).update(ended_at=timezone.now())
    assert "A cancelled picture has to end there" in reasons([job])[job.pk].message


@pytest.mark.django_db
def test_a_job_whose_old_run_is_not_cleared_says_so():
    factories.server()
    job = factories.job()
    factories.attempt(job, ended_at=timezone.now(), outcome=Outcome.CANCELLED)
    assert not due(timezone.now()).exists()
    reason = reasons([job])[job.pk]
    assert reason.code == "old_run"
    assert buttons(reason) == [("test_server", "a")]


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(6))
def test_no_job_that_is_not_due_is_said_to_wait_for_its_turn(seed):
    rng, now = random.Random(seed), timezone.now()
    factories.server()
    parents = [factories.job(status, app_type="other") for status in Status.values]
    owners = [None, factories.user()]
    jobs = [some_job(rng, owners, parents) for _ in range(40)]
    if seed == 5:
        QueueSettings(paused_app_types=["forge"]).save()
    waiting = list(Job.objects.filter(pk__in=[job.pk for job in jobs], deleted_at__isnull=True))
    now_due = set(due(now).values_list("pk", flat=True))
    told = reasons(waiting)
    assert not [told[job.pk] for job in waiting if job.pk not in now_due and _turn(told[job.pk])]
    assert any(_turn(told[job.pk]) for job in waiting) is bool(seed != 5)


def _turn(reason):
    return reason.code == "server_busy"
