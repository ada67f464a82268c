"""contracts/api.md, the row of `/api/v2/jobs/{id}/move`, and what dropping a job does."""

import uuid
from unittest.mock import ANY

import pytest
from django.utils import timezone

from jobs.choices import LaneClass, Status
from jobs.models import Event, Job
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db


def path(job):
    return f"/api/v2/jobs/{job.pk}/move"


def moved(client, job, **goal):
    answer = client.send("POST", path(job), {k: str(v) for k, v in goal.items()})
    assert answer.status_code == 200, answer.json()
    return answer.json()["job"]


def queue(**fields):
    return list(Job.objects.queued().filter(**fields))


@pytest.fixture
def jobs():
    """Four jobs of the installation, in the order of their submission."""
    return [factories.job(position=1_000 * number) for number in range(1, 5)]


def test_it_answers_the_job_at_its_new_place(boss, jobs):
    answer = boss.send("POST", path(jobs[3]), {"to": "top"})
    assert answer.status_code == 200
    assert set(answer.json()) == {"success", "message", "job"}
    assert answer.json()["job"]["queue_position"] == 1
    event = Event.objects.get()
    assert (event.kind, event.payload) == (
        "job.changed",
        {
            "job": str(jobs[3].pk),
            "status": "pending",
            "fields": ["queue_position", "priority", "lane"],
            "request_id": answer.headers["X-Request-ID"],
            "by": ANY,
        },
    )


@pytest.mark.parametrize(
    ("who", "goal", "order"),
    [
        (3, {"before": 0}, [3, 0, 1, 2]),
        (3, {"before": 1}, [0, 3, 1, 2]),
        (0, {"before": 3}, [1, 2, 0, 3]),
        (0, {"after": 3}, [1, 2, 3, 0]),
        (3, {"after": 0}, [0, 3, 1, 2]),
        (0, {"after": 1}, [1, 0, 2, 3]),
        (1, {"after": 0}, [0, 1, 2, 3]),
        (2, {"to": "top"}, [2, 0, 1, 3]),
        (1, {"to": "bottom"}, [0, 2, 3, 1]),
        (0, {"to": "top"}, [0, 1, 2, 3]),
        (3, {"to": "bottom"}, [0, 1, 2, 3]),
    ],
)
@pytest.mark.parametrize("spread", [1_000, 1, 0], ids=["room", "no room", "ties"])
@pytest.mark.parametrize("by", ["staff", "member"])
def test_it_goes_where_it_is_sent(api, boss, member, by, spread, who, goal, order):
    made = [
        factories.job(owner=member, position=10**15 + spread * number, id=uuid.UUID(int=number + 1))
        for number in range(4)
    ]
    named = {k: made[v].pk if isinstance(v, int) else v for k, v in goal.items()}
    shown = moved(boss if by == "staff" else api, made[who], **named)
    assert [made.index(job) for job in queue()] == order
    assert shown["queue_position"] == order.index(who) + 1


def test_next_to_a_job_of_another_priority_it_takes_that_over(boss, jobs):
    urgent = factories.job(priority=1, lane_class=LaneClass.INTERACTIVE)
    background = factories.job(priority=5, lane_class=LaneClass.BACKGROUND)
    shown = moved(boss, jobs[2], before=urgent.pk)
    assert (shown["priority"], shown["queue_position"]) == (1, 1)
    shown = moved(boss, jobs[1], after=background.pk)
    assert (shown["priority"], shown["lane"]) == (5, "background")
    assert queue() == [jobs[2], urgent, jobs[0], jobs[3], background, jobs[1]]


def test_top_and_bottom_are_those_of_its_priority(boss, jobs):
    urgent = factories.job(priority=1)
    later = factories.job(priority=9)
    moved(boss, jobs[3], to="top")
    moved(boss, jobs[0], to="bottom")
    assert queue() == [urgent, jobs[3], jobs[1], jobs[2], jobs[0], later]


def test_a_job_submitted_later_comes_after_one_at_the_bottom(boss):
    first, second = factories.job(), factories.job()
    moved(boss, first, to="bottom")
    third = factories.job()
    assert queue() == [second, first, third]


def test_many_drops_into_one_gap_keep_the_order(boss, jobs):
    Job.objects.filter(pk=jobs[1].pk).update(position=jobs[0].position + 1)
    order = [*jobs]
    for number in range(30):
        mover = order[-1 - number % 2]
        moved(boss, mover, after=jobs[0].pk)
        order.remove(mover)
        order.insert(order.index(jobs[0]) + 1, mover)
        assert queue() == order


def test_members_permute_their_own_jobs_and_let_others_keep_their_places(api, member, boss):
    mine = [factories.job(owner=member, position=10 * number) for number in (1, 3, 6)]
    others = [factories.job(position=10 * number) for number in (2, 4, 5, 7)]
    moved(api, mine[2], to="top")
    assert queue() == [mine[2], others[0], mine[0], others[1], others[2], mine[1], others[3]]
    moved(api, mine[2], to="bottom")
    assert queue() == [mine[0], others[0], mine[1], others[1], others[2], mine[2], others[3]]


def test_a_member_can_not_name_the_job_of_somebody_else(api, member, jobs):
    mine = factories.job(owner=member)
    for neighbour in (jobs[0].pk, uuid.uuid4()):
        answer = api.send("POST", path(mine), {"before": str(neighbour)})
        assert (answer.status_code, answer.json()["error"]) == (404, "job_not_found")
    answer = api.send("POST", path(jobs[0]), {"to": "top"})
    assert (answer.status_code, answer.json()["error"]) == (404, "job_not_found")
    assert queue() == [*jobs, mine]


@pytest.mark.parametrize("status", [s for s in Status.values if s != Status.PENDING])
def test_what_does_not_wait_can_not_be_moved_and_nothing_moves_next_to_it(boss, jobs, status):
    started = factories.job(status)
    for answer in (
        boss.send("POST", path(started), {"to": "top"}),
        boss.send("POST", path(jobs[3]), {"before": str(started.pk)}),
    ):
        assert (answer.status_code, answer.json()["error"]) == (409, "job_operation_conflict")
    assert queue() == jobs


def test_a_deleted_job_can_not_be_moved(boss, jobs):
    Job.objects.filter(pk=jobs[0].pk).update(deleted_at=timezone.now())
    assert boss.send("POST", path(jobs[0]), {"to": "top"}).status_code == 404
    assert boss.send("POST", path(jobs[1]), {"after": str(jobs[0].pk)}).status_code == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "missing_required_field"),
        ({"to": "middle"}, "invalid_field_value"),
        ({"to": ["top"]}, "invalid_field_value"),
        ({"before": "x"}, "invalid_field_value"),
        ({"after": 3}, "invalid_field_value"),
        ({"to": "top", "before": str(uuid.uuid4())}, "job_operation_invalid"),
        ({"place": 3}, "unsupported_parameter"),
    ],
)
def test_what_is_no_place_is_400(boss, jobs, body, code):
    answer = boss.send("POST", path(jobs[1]), body)
    assert (answer.status_code, answer.json()["error"]) == (400, code)
    assert queue() == jobs


@pytest.mark.parametrize("side", ["before", "after"])
def test_next_to_itself_is_400(boss, jobs, side):
    answer = boss.send("POST", path(jobs[1]), {side: str(jobs[1].pk)})
    assert (answer.status_code, answer.json()["error"]) == (400, "job_operation_invalid")


def test_too_many_jobs_in_the_way_of_a_member_are_refused(api, boss, member, monkeypatch):
    from jobs.services import places

    mine = [factories.job(owner=member, position=10 * number) for number in range(4)]
    factories.job(position=15)
    monkeypatch.setattr(places, "MAX_BETWEEN", 2)
    answer = api.send("POST", path(mine[0]), {"to": "bottom"})
    assert (answer.status_code, answer.json()["error"]) == (400, "job_operation_invalid")
    assert boss.send("POST", path(mine[0]), {"to": "bottom"}).status_code == 200, "staff push none"


def test_the_scope_is_asked_for(member):
    reader = Api(factories.key(member, scopes=["jobs:read"])[1])
    job = factories.job(owner=member)
    assert reader.send("POST", path(job), {"to": "top"}).status_code == 403
