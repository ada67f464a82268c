"""contracts/api.md and issue 4: many jobs moved or cancelled by one request; duplicate; retry."""

import uuid

import pytest

from apikeys.actors import SYSTEM
from jobs import services
from jobs.choices import LaneClass, Status
from jobs.models import Event, Job
from tests import factories

pytestmark = pytest.mark.django_db
MOVE, CANCEL = "/api/v2/queue/move", "/api/v2/queue/cancel"


def queue(**fields):
    return list(Job.objects.queued().filter(**fields))


def ids(*jobs):
    return [str(job.pk) for job in jobs]


@pytest.fixture
def jobs():
    return [factories.job(position=1_000 * number) for number in range(6)]


@pytest.mark.parametrize(
    ("moved", "goal", "order"),
    [
        ([4, 1], {"to": "top"}, [1, 4, 0, 2, 3, 5]),
        ([0, 2], {"to": "bottom"}, [1, 3, 4, 5, 0, 2]),
        ([5, 0], {"before": 3}, [1, 2, 0, 5, 3, 4]),
        ([3, 1, 5], {"after": 2}, [0, 2, 1, 3, 5, 4]),
        ([2, 3], {"after": 1}, [0, 1, 2, 3, 4, 5]),
        ([0, 1, 2, 3, 4, 5], {"to": "top"}, [0, 1, 2, 3, 4, 5]),
    ],
)
@pytest.mark.parametrize("spread", [1_000, 1, 0], ids=["room", "no room", "ties"])
@pytest.mark.parametrize("by", ["staff", "member"])
@pytest.mark.parametrize("mixed", [False, True], ids=["alone", "among others"])
def test_they_stand_side_by_side_in_their_order(
    api, boss, member, by, spread, moved, goal, order, mixed
):
    made = [
        factories.job(owner=member, position=10**15 + 2 * spread * n, id=uuid.UUID(int=2 * n + 1))
        for n in range(6)
    ]
    if mixed:
        others = [
            factories.job(position=10**15 + (2 * n + 1) * spread, id=uuid.UUID(int=2 * n + 2))
            for n in range(6)
        ]
        places = [queue().index(job) for job in others]
    body = {name: str(made[v].pk) if isinstance(v, int) else v for name, v in goal.items()}
    client = boss if by == "staff" else api
    answer = client.send("POST", MOVE, {"jobs": ids(*(made[n] for n in moved)), **body})
    assert answer.status_code == 200, answer.json()
    assert answer.json()["moved"] == ids(*(made[n] for n in sorted(moved)))
    assert answer.json()["skipped"] == []
    assert [made.index(job) for job in queue(owner=member)] == order
    if mixed and by == "member":
        assert [queue().index(job) for job in others] == places


def test_who_does_not_wait_any_more_is_named_and_in_nobodys_way(api, member):
    mine = [factories.job(owner=member, position=n) for n in range(3)]
    running = factories.job(Status.PROCESSING, owner=member)
    strange, none = factories.job(), uuid.uuid4()
    named = [*ids(mine[2], running, strange), str(none)]
    answer = api.send("POST", MOVE, {"jobs": named, "to": "top"})
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "message": "1 job moved.",
        "moved": ids(mine[2]),
        "skipped": [
            {
                "mobilesd_job_id": str(running.pk),
                "status": "processing",
                "message": "The job is processing.",
            },
            *(
                {"mobilesd_job_id": pk, "status": None, "message": "There is no such job."}
                for pk in (str(strange.pk), str(none))
            ),
        ],
    }
    assert queue(owner=member) == [mine[2], mine[0], mine[1]]


def test_from_several_priorities_they_go_to_the_ends_of_their_own_and_beside_a_job_to_its(boss):
    urgent = [factories.job(priority=1, position=n) for n in range(2)]
    later = [factories.job(priority=9, position=n) for n in range(2)]
    boss.send("POST", MOVE, {"jobs": ids(urgent[1], later[1]), "to": "top"})
    assert queue() == [urgent[1], urgent[0], later[1], later[0]]
    background = factories.job(lane_class=LaneClass.BACKGROUND, priority=3)
    goal = {"after": str(background.pk)}
    boss.send("POST", MOVE, {"jobs": ids(later[0], urgent[0]), **goal})
    assert queue() == [urgent[1], later[1], background, urgent[0], later[0]]
    assert {(job.priority, job.lane_class) for job in queue()[-2:]} == {(3, "background")}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"to": "top"}, 400, "missing_required_field"),
        ({"jobs": []}, 400, "missing_required_field"),
        ({"jobs": [], "to": "top"}, 400, "invalid_field_value"),
        ({"jobs": "x", "to": "top"}, 400, "invalid_field_value"),
        ({"jobs": ["x"], "to": "top"}, 400, "invalid_field_value"),
        ({"jobs": [str(uuid.uuid4()) for _ in range(1001)], "to": "top"}, 400, None),
        ({"jobs": [str(uuid.uuid4())], "sideways": 1}, 400, "unsupported_parameter"),
        ({"jobs": [str(uuid.uuid4())], "before": str(uuid.uuid4())}, 404, "job_not_found"),
    ],
)
def test_what_is_no_move_changes_nothing(boss, jobs, body, status, code):
    answer = boss.send("POST", MOVE, body)
    assert answer.status_code == status
    assert code is None or answer.json()["error"] == code
    assert queue() == jobs


def test_beside_one_of_themselves_or_of_what_runs_is_refused(boss, jobs):
    body = {"jobs": ids(*jobs[:2]), "after": str(jobs[1].pk)}
    assert boss.send("POST", MOVE, body).status_code == 400
    Job.objects.filter(pk=jobs[5].pk).update(status=Status.PROCESSING)
    body["after"] = str(jobs[5].pk)
    answer = boss.send("POST", MOVE, body)
    assert (answer.status_code, answer.json()["error"]) == (409, "job_operation_conflict")


def test_arranged_jobs_take_over_each_others_places(jobs):
    running = jobs[1]
    Job.objects.filter(pk=running.pk).update(status=Status.PROCESSING)
    wanted = [jobs[n].pk for n in (5, 1, 2, 0)]
    done = services.arrange(wanted, SYSTEM)
    assert list(done.jobs) == [jobs[n].pk for n in (5, 0)], "the third of them stood there already"
    assert [left.job for left in done.skipped] == [running.pk]
    assert queue() == [jobs[n] for n in (5, 2, 3, 4, 0)]


def test_many_are_cancelled_by_one_request(api, member):
    mine = [factories.job(owner=member) for _ in range(2)]
    running = factories.job(Status.PROCESSING, owner=member, server_alias="gpu")
    attempt = factories.attempt(running)
    done = factories.job(Status.COMPLETED, owner=member)
    strange = factories.job()
    named = ids(mine[0], running, done, strange)
    answer = api.send("POST", CANCEL, {"jobs": named})
    assert answer.status_code == 200
    body = answer.json()
    assert body["cancelled"] == 2
    assert [(left["mobilesd_job_id"], left["status"]) for left in body["skipped"]] == [
        (str(done.pk), "completed"),
        (str(strange.pk), None),
    ]
    attempt.refresh_from_db()
    assert attempt.outcome == "cancelled"
    assert api.send("POST", f"/api/v2/undo/{body['undo']['id']}").json()["restored"] == 2
    states = dict(Job.objects.values_list("pk", "status"))
    assert (states[mine[0].pk], states[running.pk]) == ("pending", "pending")


def test_a_batch_and_all_that_waits_are_cancelled(api, member):
    answer = api.send(
        "POST",
        "/api/v2/generate/bulk",
        {"generation_params": {"positive_prompt": "a"}, "bulk_quantity": 3},
    )
    alone = factories.job(owner=member)
    running = factories.job(Status.PROCESSING, owner=member)
    batch = api.send("POST", CANCEL, {"batch": answer.json()["bulk_job_id"]}).json()
    assert batch["cancelled"] == 3
    rest = api.send("POST", CANCEL, {"all": True}).json()
    assert rest["cancelled"] == 1
    states = dict(Job.objects.values_list("pk", "status"))
    assert (states[alone.pk], states[running.pk]) == ("cancelled", "processing")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"all": False}, 400),
        ({"all": True, "jobs": [str(uuid.uuid4())]}, 400),
        ({"job": str(uuid.uuid4())}, 400),
        ({"batch": "x"}, 400),
        ({"batch": str(uuid.uuid4())}, 404),
    ],
)
def test_what_does_not_say_which_jobs_cancels_none(boss, jobs, body, status):
    assert boss.send("POST", CANCEL, body).status_code == status
    assert queue() == jobs


def test_pausing_after_the_current_job_is_what_pausing_is_and_now_is_refused(boss):
    pause = "/api/v2/queue/pause"
    answer = boss.send("POST", pause, {"after": "now"})
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_parameter")
    assert boss.send("GET", "/api/v2/queue").json()["paused"] is False
    assert boss.send("POST", pause, {"after": "current"}).json()["paused"] is True


PARAMS = {"positive_prompt": "a fox", "width": 512, "height": 512, "steps": 4, "seed": 7}


@pytest.mark.parametrize("status", Status.values)
def test_a_duplicate_is_a_new_job_of_the_same_order(api, member, status):
    job = factories.job(
        status, owner=member, generation_params=PARAMS, priority=2, source_info="a phone"
    )
    answer = api.send("POST", f"/api/v2/jobs/{job.pk}/duplicate")
    assert answer.status_code == 202, answer.json()
    copy = Job.objects.get(pk=answer.json()["mobilesd_job_id"])
    assert copy.pk != job.pk
    assert (copy.status, copy.priority, copy.source_info) == ("pending", 2, "a phone")
    assert copy.generation_params["seed"] == 7
    assert copy.generation_params["positive_prompt"] == "a fox"


def test_a_duplicate_with_a_new_seed_and_one_key_is_made_once(api, member):
    job = factories.job("completed", owner=member, generation_params=PARAMS)
    body = {"seed": "new", "idempotency_key": "k"}
    first = api.send("POST", f"/api/v2/jobs/{job.pk}/duplicate", body)
    again = api.send("POST", f"/api/v2/jobs/{job.pk}/duplicate", body)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["mobilesd_job_id"] == again.json()["mobilesd_job_id"]
    assert Job.objects.get(pk=first.json()["mobilesd_job_id"]).generation_params["seed"] != 7


def test_the_duplicate_of_a_job_with_pictures_has_files_of_its_own(api, member):
    import base64
    import random

    from PIL import Image

    from jobs.models import JobInput

    noise = Image.frombytes("RGB", (64, 64), random.Random(1).randbytes(64 * 64 * 3))
    import io

    stream = io.BytesIO()
    noise.save(stream, "PNG")
    picture = base64.b64encode(stream.getvalue()).decode()
    answer = api.send(
        "POST", "/api/v2/generate", {"generation_params": {**PARAMS, "init_images": [picture]}}
    )
    job_id = answer.json()["mobilesd_job_id"]
    copy = api.send("POST", f"/api/v2/jobs/{job_id}/duplicate").json()["mobilesd_job_id"]
    jobs = Job.objects.in_bulk([job_id, copy])
    first, second = jobs.values()
    assert first.generation_params["init_images"] == second.generation_params["init_images"]
    assert JobInput.objects.filter(job__in=jobs).count() == 2


def test_nobody_duplicates_the_job_of_somebody_else(api):
    answer = api.send("POST", f"/api/v2/jobs/{factories.job().pk}/duplicate")
    assert (answer.status_code, answer.json()["error"]) == (404, "job_not_found")


def test_a_retry_can_draw_a_new_seed(api, member):
    from jobs.checksums import JOB, of_row

    for seed in ("same", "new"):
        job = factories.job(Status.FAILED, owner=member, generation_params=PARAMS)
        answer = api.send("POST", f"/api/v2/jobs/{job.pk}/retry", {"seed": seed})
        assert answer.status_code == 200
        shown = answer.json()["job"]["generation_params"]
        assert (shown["seed"] == 7) == (seed == "same")
        assert shown | {"seed": 7} == PARAMS
    job.refresh_from_db()
    assert job.checksum == of_row(job, JOB)
    kinds = Event.objects.filter(job=job).order_by("id").values_list("kind", flat=True)
    assert list(kinds) == ["job.status", "job.changed"]


@pytest.mark.parametrize("body", [{"seed": 7}, {"seed": "other"}, {"sed": "new"}])
def test_what_is_no_seed_retries_nothing(api, member, body):
    job = factories.job(Status.FAILED, owner=member)
    assert api.send("POST", f"/api/v2/jobs/{job.pk}/retry", body).status_code == 400
    job.refresh_from_db()
    assert job.status == Status.FAILED
