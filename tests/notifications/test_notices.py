"""From events to messages: one for each event and notifier, one for a whole batch."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from dispatch import standing
from dispatch.models import Health
from jobs import events, transitions
from jobs.choices import Status
from jobs.models import Batch, Event, Job, Notice, Notifier
from jobs.notifications import fanout, runner, services
from tests import factories
from tests.notifications.conftest import later, told

pytestmark = pytest.mark.django_db(transaction=True)


def end(job: Job, status: str = Status.COMPLETED) -> None:
    """Let a job end as a lane does, with its event."""
    Job.objects.filter(pk=job.pk).update(status=status, server_alias="forge-1")
    job.refresh_from_db()
    with transaction.atomic():
        transitions._status_event(
            job,
            trouble=transitions.Trouble("x", "The GPU is gone.", "Look for it.")
            if status == Status.FAILED
            else None,
        )


def quiet(*_: str) -> str:
    return ""


def run(send=quiet) -> int:
    return runner.run(send=send)


def test_a_job_is_told_when_it_is_done_and_when_it_failed(notifier, anna, receiver) -> None:
    notifier()
    good, bad, off = (factories.job(owner=anna) for _ in range(3))
    end(good)
    end(bad, Status.FAILED)
    end(off, Status.CANCELLED)
    assert runner.run() == 1
    assert [kind for kind, _ in told()] == ["done", "failed"]
    failed = Notice.objects.get(kind="failed")
    assert "The GPU is gone. Look for it." in failed.text
    assert len(receiver.got) == 1, "what is due together goes as one message"
    assert good.pk.hex[:8].encode() in receiver.got[0].body
    assert b"lighthouse" not in receiver.got[0].body, "no prompt leaves"


def test_an_event_is_told_once_also_by_two_at_once(notifier, anna) -> None:
    row = notifier()
    end(factories.job(owner=anna))
    stale = Notifier.objects.select_related("owner").get(pk=row.pk)
    assert run() == 1
    assert not fanout.fan_out(stale, fanout.actor_of(stale))
    assert run() == 0
    assert len(told()) == 1


def test_a_notifier_tells_what_happens_after_it_was_made_and_switched_on(notifier, anna) -> None:
    end(factories.job(owner=anna))
    row = notifier()
    assert run() == 0
    from apikeys.actors import Actor

    services.edit(row.pk, Actor.of_user(anna), {"is_active": False})
    end(factories.job(owner=anna))
    services.edit(row.pk, Actor.of_user(anna), {"is_active": True})
    assert run() == 0
    assert told() == []


def test_nobody_is_told_of_the_jobs_of_others(notifier, anna) -> None:
    notifier()
    notifier(owner=factories.staff("boss"))
    end(factories.job(owner=factories.user("bob")))
    assert run() == 0
    anna.is_active = False
    anna.save()
    end(factories.job(owner=anna))
    assert run() == 0


def batch_of(anna, count: int, **fields) -> list[Job]:
    batch = Batch.objects.create(total=count, created_at=timezone.now(), name="Cats")
    return [factories.job(owner=anna, batch=batch, **fields) for _ in range(count)]


def test_a_batch_is_one_message_by_its_last_job(notifier, anna) -> None:
    notifier()
    jobs = batch_of(anna, 3)
    end(jobs[0])
    end(jobs[1], Status.FAILED)
    assert run() == 0
    end(jobs[2])
    assert run() == 1
    assert told() == [("failed", "Cats is over")]
    assert "2 done, 1 failed" in Notice.objects.get().text


def test_a_batch_whose_jobs_end_within_one_look_is_one_message(notifier, anna) -> None:
    notifier()
    for job in batch_of(anna, 3):
        end(job)
    assert run() == 1
    assert told() == [("done", "Cats is over")]


def test_a_batch_that_waits_for_a_nod_says_so(notifier, anna) -> None:
    notifier()
    jobs = batch_of(anna, 3)
    Job.objects.filter(pk__in=[job.pk for job in jobs[1:]]).update(held=True)
    end(jobs[0])
    run()
    assert told() == [("done", "Cats: the first are there")]
    assert "2 wait for your nod" in Notice.objects.get().text


def test_the_empty_queue_is_told_once_by_the_last_end(notifier, anna) -> None:
    notifier(kinds=["queue_empty"])
    first, second = factories.job(owner=anna), factories.job(owner=anna)
    end(first)
    run()
    assert told() == []
    end(second)
    run()
    assert told() == [("queue_empty", "The queue is empty")]


def test_two_last_ends_within_one_look_are_one_message(notifier, anna) -> None:
    notifier(kinds=["queue_empty"])
    for job in [factories.job(owner=anna) for _ in range(2)]:
        end(job)
    run()
    assert told() == [("queue_empty", "The queue is empty")]


def test_the_queue_of_a_member_is_empty_while_others_wait(notifier, anna) -> None:
    notifier(kinds=["queue_empty"])
    notifier(owner=factories.staff(), kinds=["queue_empty"])
    factories.job(owner=factories.user())
    end(factories.job(owner=anna))
    run()
    assert told() == [("queue_empty", "The queue is empty")], "staff see that somebody waits"


def test_a_stalled_picture_is_told_to_its_owner_alone(notifier, anna) -> None:
    notifier(kinds=["stalled"])
    notifier(owner=factories.staff(), kinds=["stalled"])
    for owner in (anna, factories.user()):
        job = factories.job(Status.PROCESSING, owner=owner)
        told_of = events.JobStalled(
            job=str(job.pk), attempt="x", server_alias="forge-1", seconds=390.0
        )
        with transaction.atomic():
            events.emit_for_job("job.stalled", job, told_of)
    assert run() == 1
    [notice] = Notice.objects.all()
    assert "No sign of progress on forge-1 for 6 min." in notice.text


def test_a_server_is_told_when_it_goes_and_not_while_it_stays_away(notifier) -> None:
    notifier(kinds=["server_offline"])
    server = factories.server("forge-1")
    for health in (Health.OFFLINE, Health.ASIDE, Health.HEALTHY, Health.REFUSED):
        with transaction.atomic():
            standing.set_health(server.pk, health)
    run()
    assert told() == [
        ("server_offline", "forge-1 is offline"),
        ("server_offline", "forge-1 refuses our sign-in"),
    ]


def test_quiet_hours_hold_back_and_sum_up(notifier, anna, receiver) -> None:
    now = timezone.now()
    begin, over = now - timedelta(hours=1), now + timedelta(hours=1)
    row = notifier(quiet_hours=f"{begin:%H:%M}-{over:%H:%M}", time_zone="UTC")
    for _ in range(3):
        end(factories.job(owner=anna))
    assert runner.run() == 0
    due = Notice.objects.first().due_at
    assert abs((due - over).total_seconds()) <= 60
    later()
    assert runner.run() == 0, "still quiet: put off again"
    Notifier.objects.filter(pk=row.pk).update(quiet_hours="")
    later()
    assert runner.run() == 1
    [got] = receiver.got
    assert b"3 messages" in got.body


def test_a_test_comes_in_quiet_hours_too(notifier, anna, receiver) -> None:
    from apikeys.actors import Actor

    row = notifier(quiet_hours="00:00-24:00")
    services.test(row.pk, Actor.of_user(anna))
    assert runner.run() == 1
    assert b"It works" in receiver.got[0].body


def test_a_failure_is_tried_again_later_and_given_up(notifier, anna) -> None:
    row = notifier()
    end(factories.job(owner=anna))
    for number, wait in enumerate([10, 60, 300, 1800, 7200], 1):
        assert run(lambda *_: "The service answered with status 500.") == 0
        notice = Notice.objects.get()
        left = (notice.due_at - timezone.now()).total_seconds()
        assert (notice.tries, abs(left - wait) < 5) == (number, True)
        later()
    run(lambda *_: "The service answered with status 500.")
    assert Notice.objects.get().given_up_at is not None
    row.refresh_from_db()
    assert row.last_error == "The service answered with status 500."
    later()
    assert run() == 0


def test_a_sender_that_dies_is_replaced_when_its_claim_is_over(notifier, anna) -> None:
    notifier()
    end(factories.job(owner=anna))

    def dies(*_: str) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(dies)
    assert run() == 0, "somebody may be at it"
    later()
    assert run() == 1


def test_a_late_result_does_not_undo_what_another_sender_wrote(notifier, anna) -> None:
    row = notifier()
    end(factories.job(owner=anna))

    def slow(*_: str) -> str:
        later()
        assert run() == 1
        return "The service did not answer in time."

    run(slow)
    notice = Notice.objects.get()
    assert notice.sent_at is not None
    assert notice.given_up_at is None
    assert row.pk


def test_what_was_told_is_forgotten_after_a_while(notifier, anna) -> None:
    notifier()
    end(factories.job(owner=anna))
    run()
    assert runner.forget_notices() == 0
    Notice.objects.update(due_at=timezone.now() - timedelta(days=15))
    assert runner.forget_notices() == 1


def test_nothing_is_started_without_need(notifier, anna) -> None:
    assert not runner.is_needed()
    notifier()
    assert not runner.is_needed()
    with transaction.atomic():
        events.emit("queue.paused", {}, public=True)
    assert runner.is_needed()
    run()
    assert not runner.is_needed()
    assert Event.objects.exists()
