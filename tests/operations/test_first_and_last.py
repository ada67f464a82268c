"""Moving to the very front or end of the queue takes over what stands there, and says so."""

import pytest

from apikeys.actors import SYSTEM, Actor
from jobs import services
from jobs.choices import LaneClass
from jobs.models import Event, Job
from tests import factories

pytestmark = pytest.mark.django_db


def queue():
    return list(Job.objects.queued())


def moved(where, *jobs, actor=SYSTEM):
    return services.move_many([job.pk for job in jobs], services.Goal(where), actor)


def level(job):
    fresh = Job.objects.get(pk=job.pk)
    return fresh.priority, fresh.lane_class


@pytest.fixture
def line():
    """One job each of priority 3, 5 and 8, and one in the background."""
    return [
        *(factories.job(priority=n) for n in (3, 5, 8)),
        factories.job(priority=2, lane_class=LaneClass.BACKGROUND),
    ]


@pytest.mark.parametrize("who", [1, 2, 3])
def test_first_is_before_everything_whatever_its_priority(line, who):
    done = moved("first", line[who])
    assert queue()[0] == line[who]
    assert level(line[who]) == (3, "interactive")
    assert (done.taken.priority, done.taken.lane_class, done.taken.count) == (3, "interactive", 1)


@pytest.mark.parametrize("who", [0, 1, 2])
def test_last_is_behind_everything_whatever_its_priority(line, who):
    moved("last", line[who])
    assert queue()[-1] == line[who]
    assert level(line[who]) == (2, "background")


def test_what_is_at_the_end_already_keeps_its_priority(line):
    assert moved("first", line[0]).taken is None
    assert level(line[0]) == (3, "interactive")
    assert moved("last", line[3]).taken is None
    assert queue() == line


def test_several_take_over_the_foremost_and_say_how_many_changed(line):
    done = moved("first", line[2], line[0])
    assert queue()[:2] == [line[0], line[2]]
    assert done.taken.count == 1
    assert level(line[2]) == (3, "interactive")


def test_all_of_them_at_once_have_one_priority_then(line):
    moved("last", *line)
    assert queue() == line
    assert {level(job) for job in line} == {(2, "background")}


def test_members_go_to_the_front_of_their_own_and_nobody_elses_job_moves_back():
    member = factories.user()
    mine = [
        factories.job(owner=member, priority=4, position=20),
        factories.job(owner=member, position=40),
    ]
    others = [factories.job(priority=1, position=10), factories.job(priority=4, position=15)]
    moved("first", mine[1], actor=Actor.of_user(member))
    assert queue() == [others[0], others[1], mine[1], mine[0]]
    assert level(mine[1]) == (4, "interactive")


def test_the_event_names_what_a_move_may_have_changed(line):
    moved("first", line[2])
    event = Event.objects.get()
    assert event.payload["fields"] == ["queue_position", "priority", "lane"]
