"""A background job of many pictures gives way after the one that is being made (issue 4.4)."""

from datetime import UTC, datetime

import pytest
from django.db import transaction
from django.utils import timezone

from dispatch.dispatchers.base import Answer, Picture, Progress
from dispatch.fakes.forge import FakeForge
from dispatch.lanes import store
from dispatch.lanes.run import Run
from gallery.models import Image
from jobs import again, transitions
from jobs.choices import Outcome, Status
from jobs.models import Event, Job, JobProgress, QueueSettings
from tests import factories
from tests.dispatch.lane_harness import (
    cancel,
    connected,
    eventually,
    lane,
    no_attempt_left,
    queue,
    samples,
    taken_over,
    until_final,
)

pytestmark = pytest.mark.django_db(transaction=True)

PAST = datetime(2020, 1, 1, tzinfo=UTC)


def background(rounds: int = 4, **fields) -> Job:
    """Queue a background job of so many rounds, its seeds from 500 on."""
    params = {"n_iter": rounds, "seed": 500, **fields.pop("params", {})}
    fields.setdefault("lane_class", "background")
    wanted = rounds * params.get("batch_size", 1)
    [job] = queue(params=params, images_wanted=wanted, **fields)
    return job


def submit(**fields) -> Job:
    """Queue a job as the API does: servers that could take it are woken."""
    with transaction.atomic():
        [job] = queue(**fields)
        transitions.announce_waiting(job)
    return job


def made(job: Job) -> int:
    return Job.objects.values_list("images_made", flat=True).get(pk=job.pk)


def in_round(fake: FakeForge, job: Job, number: int) -> bool:
    """Tell whether the backend is in the middle of a job's round, counted from 1."""
    return made(job) == number - 1 and len(fake.log.runs()) >= number and samples(fake)


def results(job: Job) -> list[tuple]:
    columns = ("index", "seed", "sha256", "infotext")
    return list(Image.objects.filter(job=job).order_by("index").values_list(*columns))


def seeds(fake: FakeForge) -> list[int]:
    return [run.payload["seed"] for run in fake.log.runs()]


def statuses(job: Job) -> list[str]:
    told = Event.objects.filter(job=job, kind="job.status").order_by("pk")
    return [event.payload["status"] for event in told]


def outcomes(job: Job) -> list[str]:
    return list(job.attempts.order_by("number").values_list("outcome", flat=True))


# --- Giving way ---------------------------------------------------------------------------


def test_an_interactive_job_starts_between_two_pictures_of_a_background_job():
    with FakeForge(seconds=0.5) as fake:
        server = connected(fake)
        job = background(6)
        with lane(server, linger=0.05):
            eventually(lambda: in_round(fake, job, 2))
            urgent = submit(params={"seed": 9})
            done, first = until_final([job, urgent])
        runs = fake.log.runs()
        whole = background(6, lane_class="interactive")
        with lane(server, linger=0.05):
            [at_once] = until_final([whole])
    assert [run.payload["seed"] for run in runs] == [500, 501, 9, 502, 503, 504, 505]
    assert (done.status, first.status) == (Status.COMPLETED, Status.COMPLETED)
    assert first.finished_at < done.finished_at
    assert len(fake.log.runs()) == 8, "an interactive job is not cut"
    assert [place for place, *_ in results(job)] == [0, 1, 2, 3, 4, 5]
    assert results(job) == results(whole)
    drawn = {"subseed": None}  # by the server for each run; without strength it has no effect
    assert done.generation_info | drawn == at_once.generation_info | drawn
    assert done.attempts_made == 1
    assert no_attempt_left()


def test_the_interactive_job_is_there_before_the_round_ends():
    with FakeForge(seconds=2) as fake:
        server = connected(fake)
        job = background(2)
        with lane(server, linger=0.05):
            eventually(lambda: in_round(fake, job, 1))
            until_final([job, submit(params={"seed": 9})])
        first, urgent, _ = fake.log.runs()
    assert urgent.payload["seed"] == 9
    assert urgent.arrived_at < first.ended_at


def test_a_job_that_goes_on_is_never_seen_to_wait_and_no_other_comes_between():
    with FakeForge(seconds=0.2) as fake:
        server = connected(fake)
        job = background(4)
        other = background(1, params={"seed": 900})
        with lane(server, linger=0.05):
            until_final([job, other])
    assert seeds(fake) == [500, 501, 502, 503, 900]
    assert statuses(job) == ["processing"] * 4 + ["completed"]
    assert outcomes(job) == [Outcome.ROUND] * 3 + [Outcome.COMPLETED]


def test_behind_its_last_round_the_next_background_job_is_handed_over():
    with FakeForge(seconds=2) as fake:
        server = connected(fake)
        jobs = [background(2), background(1, params={"seed": 900})]
        with lane(server, linger=0.05):
            until_final(jobs)
        first, last, other = fake.log.runs()
    assert other.arrived_at < last.ended_at
    assert last.arrived_at >= first.ended_at


def test_a_more_urgent_background_job_comes_between_two_rounds():
    with FakeForge(seconds=0.4) as fake:
        server = connected(fake)
        job = background(3)
        with lane(server, linger=0.05):
            eventually(lambda: in_round(fake, job, 1))
            urgent = submit(lane_class="background", priority=1, params={"seed": 9})
            until_final([job, urgent])
    assert seeds(fake) == [500, 9, 501, 502]


def test_pictures_of_a_batch_are_made_together_and_stay_in_order():
    with FakeForge(seconds=0.3) as fake:
        server = connected(fake)
        job = background(3, params={"batch_size": 2})
        with lane(server, linger=0.05):
            eventually(lambda: in_round(fake, job, 1))
            until_final([job, submit(params={"seed": 9})])
    assert seeds(fake) == [500, 9, 502, 504]
    assert [row[:2] for row in results(job)] == [(n, str(500 + n)) for n in range(6)]


def test_with_a_subseed_the_pictures_are_those_of_one_run():
    params = {"subseed": 70, "subseed_strength": 0.3}
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        jobs = [
            background(3, params=params),
            background(3, params=params, lane_class="interactive"),
        ]
        with lane(server, linger=0.05):
            until_final(jobs)
    cut, whole = map(results, jobs)
    assert len(fake.log.runs()) == 4
    assert cut == whole
    assert ["Variation seed: 72" in text for *_, text in cut] == [False, False, True]


# --- What ends it at a picture ------------------------------------------------------------


@pytest.mark.parametrize(
    ("closed", "opened"),
    [({"paused": True}, {"paused": False}), ({"run_until": PAST}, {"run_until": None})],
)
def test_a_pause_or_closed_hours_take_effect_after_the_picture(closed, opened):
    with FakeForge(seconds=0.3) as fake:
        server = connected(fake)
        job = background(4)
        with lane(server, linger=0.05):
            eventually(lambda: in_round(fake, job, 2))
            QueueSettings.objects.update_or_create(pk=1, defaults=closed)
            eventually(lambda: made(job) == 2)
        job.refresh_from_db()
        assert (job.status, job.images_made) == (Status.PENDING, 2)
        assert [row[:2] for row in results(job)] == [(0, "500"), (1, "501")]
        QueueSettings.objects.update(**opened)
        with lane(server, linger=0.05):
            [done] = until_final([job])
    assert done.status == Status.COMPLETED
    assert seeds(fake) == [500, 501, 502, 503]
    assert done.started_at == done.attempts.get(number=1).created_at


def test_a_cancelled_job_keeps_its_finished_pictures_and_a_retry_makes_the_others():
    with FakeForge(seconds=0.3) as fake:
        server = connected(fake)
        job = background(4)
        with lane(server, linger=0.05):
            eventually(lambda: in_round(fake, job, 3))
            cancel(job)
        assert [row[:2] for row in results(job)] == [(0, "500"), (1, "501")]
        with transaction.atomic():
            assert again.retry(job.pk)
        fake.log.clear()
        with lane(server, linger=0.05):
            [done] = until_final([job])
    assert done.status == Status.COMPLETED
    assert seeds(fake) == [502, 503]
    assert [row[:2] for row in results(job)] == [(n, str(500 + n)) for n in range(4)]
    assert done.generation_info["all_seeds"] == [500, 501, 502, 503]


def test_at_the_end_of_its_time_the_lane_leaves_the_rest_to_the_next_one():
    with FakeForge(seconds=0.3) as fake:
        server = connected(fake)
        job = background(4)
        with lane(server, budget=0.5):
            pass
        job.refresh_from_db()
        assert job.status == Status.PENDING
        assert 0 < job.images_made < 4
        with lane(server, linger=0.05):
            until_final([job])
    assert seeds(fake) == [500, 501, 502, 503]


def test_a_job_that_began_in_time_goes_on_after_its_deadline():
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        job = background(3, images_made=1, deadline=timezone.now())
        with lane(server, linger=0.05):
            [done] = until_final([job])
    assert done.status == Status.COMPLETED
    assert seeds(fake) == [501, 502]


def test_of_a_job_that_is_in_the_background_no_more_all_the_rest_is_made_at_once():
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        job = background(5, images_made=2, lane_class="interactive")
        with lane(server, linger=0.05):
            until_final([job])
        [run] = fake.log.runs()
    assert (run.payload["seed"], run.payload["n_iter"]) == (502, 3)
    assert [row[:2] for row in results(job)] == [(2, "502"), (3, "503"), (4, "504")]


# --- When things go wrong -----------------------------------------------------------------


def test_an_error_in_a_round_costs_that_round_alone(monkeypatch):
    monkeypatch.setattr("dispatch.lanes.outcomes.backoff_seconds", lambda made: 0.05)
    with FakeForge(seconds=0.3) as fake:
        server = connected(fake)
        job = background(3)
        with lane(server, linger=0.5):
            eventually(lambda: in_round(fake, job, 1))
            fake.faults.add("http_500", after_steps=2)
            [done] = until_final([job])
    assert done.status == Status.COMPLETED
    assert seeds(fake) == [500, 501, 501, 502]
    assert done.attempts_made == 2, "the answer that was an error, and the last one"
    assert len(results(job)) == 3


def test_without_memory_for_a_batch_the_rest_is_made_in_smaller_ones():
    with FakeForge(seconds=0.2) as fake:
        server = connected(fake)
        job = background(2, params={"batch_size": 4})
        with lane(server, linger=0.05):
            eventually(lambda: in_round(fake, job, 1))
            fake.faults.add("oom", times=99, over_pixels=2 * 64 * 64)
            [done] = until_final([job])
        sizes = [run.payload["batch_size"] for run in fake.log.runs() if not run.faults]
    assert done.status == Status.COMPLETED
    assert sizes == [4, 2, 2]
    assert [row[:2] for row in results(job)] == [(n, str(500 + n)) for n in range(8)]


def test_a_round_that_somebody_interrupts_is_made_again():
    with FakeForge(seconds=0.3) as fake:
        server = connected(fake)
        job = background(2, params={"batch_size": 2, "steps": 8})
        with lane(server, linger=0.05):
            eventually(lambda: made(job) == 2 and len(fake.log.runs()) == 2 and samples(fake))
            fake.engine.state.interrupted = True
            until_final([job])
    assert seeds(fake) == [500, 502, 502]
    assert outcomes(job) == [Outcome.ROUND, Outcome.INTERRUPTED, Outcome.COMPLETED]
    assert [row[:2] for row in results(job)] == [(n, str(500 + n)) for n in range(4)]


def test_a_lane_without_its_lease_stores_the_round_and_begins_no_other():
    with FakeForge(seconds=0.5) as fake:
        server = connected(fake)
        job = background(3)
        with lane(server):
            eventually(lambda: in_round(fake, job, 2))
            taken_over()
    job.refresh_from_db()
    assert (job.status, job.images_made) == (Status.PENDING, 2)
    assert seeds(fake) == [500, 501]


@pytest.mark.parametrize(
    ("step", "skip", "runs"),
    [
        ("dispatch.lanes.store.complete", 1, [500, 501, 501, 502]),
        ("dispatch.lanes.claims.Claimer.next_round", 0, [500, 500, 501, 502]),
        ("jobs.transitions.take_round", 1, [500, 501, 501, 502]),
        ("dispatch.lanes.store._insert", 1, [500, 501, 501, 502]),
        ("jobs.transitions.claim", 1, [500, 500, 501, 502]),
        ("dispatch.lanes.claims.Claimer.send", 0, [500, 501, 502]),
        ("jobs.transitions.mark_submitted", 1, [500, 501, 502]),
    ],
)
def test_after_a_crash_at_any_step_what_was_stored_is_not_made_again(cluster, step, skip, runs):
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        job = background(3)
        cluster.start(server, halt_at=step, skip=skip).join()
        stored = made(job)
        assert len(results(job)) == stored, "pictures and their number are stored together"
        cluster.start(server)
        [done] = until_final([job])
        tokens = [run.token for run in fake.log.runs()]
    assert done.status == Status.COMPLETED
    assert seeds(fake) == runs
    assert len(set(tokens)) == len(tokens), "each under a token of its own"
    assert [row[:2] for row in results(job)] == [(n, str(500 + n)) for n in range(3)]
    eventually(no_attempt_left)


def test_pictures_beyond_those_of_a_round_are_not_taken():
    """An extension may add some; the next round would make those at their places."""
    made = [Picture(factories.png(color=name), seed=n) for n, name in enumerate(("red", "blue"))]
    kept = store.write_files(Answer(made, {}), at_most=1)
    assert [picture.seed for picture in kept.answer.pictures] == [0]
    assert len(kept.files) == 1


# --- What is seen of it -------------------------------------------------------------------


def test_progress_is_that_of_the_whole_job():
    with FakeForge(seconds=0.6) as fake:
        server = connected(fake)
        job = background(3)
        with lane(server, linger=0.05):
            eventually(lambda: in_round(fake, job, 2))
            row = eventually(
                lambda: JobProgress.objects.filter(job=job, text__startswith="Picture 2").first()
            )
            assert "Picture 2 of 3 · " in row.text
            assert 1 / 3 <= row.progress < 2 / 3
            assert row.attempt == job.attempts.get(ended_at=None).token
            until_final([job])


def test_a_round_counts_for_its_part_of_the_work_and_the_wait():
    job = factories.job(
        Status.PROCESSING,
        generation_params={"width": 1000, "height": 1000, "steps": 10, "n_iter": 4},
        images_wanted=4,
        images_made=1,
    )
    run = Run(factories.attempt(job, images=1))
    run.expected_seconds, run.later_seconds = 12.0, 24.0
    run.moved(Progress(active=True, fraction=0.5, eta=6.0, sampling=True))
    assert run.units == pytest.approx(10)
    assert run.done_of_job() == pytest.approx(0.375)
    assert (run.remaining(), run.remaining_of_job()) == (6.0, 30.0)
    run.later_seconds = None
    assert run.remaining_of_job() == pytest.approx(6 + 2 * 12), "as this round shows"
