"""When jobs start, what grouping would save, and putting the queue into that order."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from dispatch import forecast, plan
from dispatch.models import Inventory, Timing
from jobs.choices import Status
from jobs.models import Job, JobDependency, QueueSettings
from tests import factories

pytestmark = pytest.mark.django_db
# 512 × 512, 4 steps: 1.05 units of work
UNITS = 512 * 512 / 1e6 * 4


@pytest.fixture
def server():
    """A server that runs x and y at 2 s a unit and needs 50 s for a load; x is loaded."""
    row = factories.server(loaded_checkpoint="x")
    models = [{"name": name, "hashes": []} for name in ("x", "y")]
    Inventory.objects.create(server=row, data={"checkpoints": models}, updated_at=timezone.now())
    for name in ("x", "y"):
        Timing.objects.create(
            server=row, checkpoint=name, runs=3, unit_seconds=2, loads=1, load_seconds=50
        )
    return row


def starts(boss, job):
    text = boss.send("GET", f"/api/v2/jobs/{job.pk}/status").json()["job"]["estimated_start_time"]
    return None if text is None else (parse_datetime(text) - timezone.now()).total_seconds()


def test_each_waiting_job_has_a_time_at_which_it_should_start(boss, server):
    jobs = [factories.job(checkpoint=name) for name in ("x", "y", "x")]
    assert starts(boss, jobs[0]) == pytest.approx(0, abs=2)
    assert starts(boss, jobs[2]) == pytest.approx(2 * UNITS, abs=2), "with the loaded model"
    assert starts(boss, jobs[1]) == pytest.approx(4 * UNITS, abs=2)


def test_a_window_that_opens_later_delays_them_and_one_that_closes_tells_how_many_fit(boss, server):
    now = timezone.now()
    server.hours = f"{now + timedelta(hours=1):%H:%M}-{now + timedelta(hours=1, minutes=1):%H:%M}"
    server.save()
    jobs = [factories.job(checkpoint="x") for _ in range(100)]
    assert 3400 < starts(boss, jobs[0]) <= 3600
    fits = boss.send("GET", "/api/v2/queue").json()["fits"]
    assert fits["jobs"] == pytest.approx(60 / (2 * UNITS), abs=1.1)


def test_what_cannot_start_has_no_time(boss, server):
    held = factories.job(checkpoint="x", held=True)
    missing = factories.job(checkpoint="nowhere")
    assert starts(boss, held) is None
    assert starts(boss, missing) is None


def test_asked_again_and_again_it_is_played_once(boss, server, monkeypatch):
    jobs = [factories.job(checkpoint="x") for _ in range(5)]
    played = []
    real = forecast.play
    monkeypatch.setattr(forecast, "play", lambda *a, **k: played.append(1) or real(*a, **k))
    for job in jobs:
        starts(boss, job)
    assert len(played) == 1


@pytest.mark.parametrize(
    "turned_off",
    [
        lambda server: QueueSettings.objects.create(paused=True),
        lambda server: QueueSettings.objects.create(paused_app_types=["forge"]),
        lambda server: QueueSettings.objects.create(run_until=timezone.now()),
        lambda server: type(server).objects.update(paused=True),
        lambda server: type(server).objects.update(health="offline"),
        lambda server: type(server).objects.update(yields_since=timezone.now()),
        lambda server: type(server).objects.update(hours=tomorrow()),
    ],
    ids=["queue", "app type", "over", "server paused", "offline", "in use", "closed"],
)
def test_the_preview_tells_as_much_while_something_is_off(boss, server, turned_off):
    """The evening before is when one orders the queue, with the PC still off."""
    long_jobs("xyxyxyxy")
    on = preview(boss)
    turned_off(server)
    plan.forget()
    off = preview(boss)
    for name in ("as_ordered", "grouped"):
        assert off[name]["loads"] == on[name]["loads"] > 0
        assert off[name]["left"] == 0
        assert off[name]["seconds"] == pytest.approx(on[name]["seconds"], abs=1)


@pytest.mark.parametrize(
    ("values", "assumed"),
    [({"paused": True}, "a is resumed"), ({"health": "offline"}, "a is back"), ({}, None)],
)
def test_the_preview_says_what_it_assumes(boss, browser, server, values, assumed):
    long_jobs("xy")
    type(server).objects.update(**values)
    assert preview(boss)["assumes"] == ([assumed] if assumed else [])
    page = browser.get("/queue/plan").content.decode()
    assert ("once a is" in page) == bool(assumed)


def test_a_server_that_is_off_is_left_out_where_others_do_its_work(boss, server):
    away = factories.server("b", url="http://127.0.0.1:8", health="offline")
    Timing.objects.create(server=away, checkpoint="x", runs=3, unit_seconds=0.1)
    jobs = long_jobs("xyxy")
    assert preview(boss)["assumes"] == []
    Job.objects.filter(pk=jobs[0].pk).update(target_server_alias="b")
    plan.forget()
    assert preview(boss)["assumes"] == ["b is back"]


def test_jobs_of_a_chain_and_jobs_that_were_put_off_are_counted_in_the_preview(boss, server):
    first, second, late = long_jobs("xxx")
    JobDependency.objects.create(job=second, parent=first)
    Job.objects.filter(pk=late.pk).update(not_before=timezone.now() + timedelta(hours=1))
    course = preview(boss)["as_ordered"]
    assert course["left"] == 0
    assert course["seconds"] == pytest.approx(3600 + 2 * 1.048576 * 40, abs=3)


def test_the_preview_tells_how_many_jobs_are_behind_those_it_looks_at(
    boss, browser, server, monkeypatch
):
    monkeypatch.setattr(plan, "PREVIEWED", 4)
    long_jobs("xyxyxyx")
    found = preview(boss)
    assert (len(found["order"]), found["behind"]) == (4, 3)
    page = browser.get("/queue/plan").content.decode()
    assert "The first 4 jobs are looked at; 3 more wait" in page


def test_the_preview_does_not_say_that_all_is_well_where_nothing_can_run(browser, server):
    for job in long_jobs("xy"):
        Job.objects.filter(pk=job.pk).update(checkpoint="nowhere")
    page = browser.get("/queue/plan").content.decode()
    assert "None of the 2 waiting jobs can be counted" in page
    assert "stands well" not in page


def mixed(count=12, **fields):
    return [factories.job(checkpoint="xy"[n % 2], **fields) for n in range(count)]


def tomorrow():
    now = timezone.now()
    return f"{now + timedelta(hours=2):%H:%M}-{now + timedelta(hours=3):%H:%M}"


def preview(boss):
    return boss.send("GET", "/api/v2/queue/plan").json()


def long_jobs(names):
    params = {"width": 1024, "height": 1024, "steps": 40, "seed": 1, "positive_prompt": "a"}
    return [factories.job(checkpoint=name, generation_params=params) for name in names]


def test_the_preview_tells_what_grouping_saves(boss, server):
    jobs = long_jobs("xyxyxyxy")
    found = boss.send("GET", "/api/v2/queue/plan").json()
    assert found["grouped"]["loads"] == 1
    assert found["as_ordered"]["loads"] > 1
    saved = found["as_ordered"]["seconds"] - found["grouped"]["seconds"]
    assert saved == pytest.approx(50 * (found["as_ordered"]["loads"] - 1), abs=1)
    names = {str(job.pk): job.checkpoint for job in jobs}
    assert "".join(names[job_id] for job_id in found["order"]) == "xxxxyyyy"


def test_the_preview_can_be_applied(boss, server):
    long_jobs("xyxyxyxy")
    found = boss.send("GET", "/api/v2/queue/plan").json()
    answer = boss.send("POST", "/api/v2/queue/plan", {"order": found["order"]}).json()
    assert answer["moved"] > 0
    assert [str(job.pk) for job in Job.objects.queued()] == found["order"]
    again = boss.send("POST", "/api/v2/queue/plan", {"order": found["order"]}).json()
    assert again["moved"] == 0


def test_jobs_that_left_are_skipped_and_new_ones_stay_behind(boss, server):
    jobs = mixed(6)
    order = boss.send("GET", "/api/v2/queue/plan").json()["order"]
    Job.objects.filter(pk=order[0]).update(status=Status.CANCELLED)
    new = factories.job(checkpoint="x")
    boss.send("POST", "/api/v2/queue/plan", {"order": [*order, str(uuid4())]})
    assert [str(job.pk) for job in Job.objects.queued()] == [*order[1:], str(new.pk)]
    assert len(jobs) == 6


def test_somebody_orders_only_their_own_jobs_among_their_own_places(api, member, server):
    mine, other = member, factories.user()
    jobs = [factories.job(owner=owner) for owner in (mine, other, mine, other, mine)]
    order = [str(job.pk) for job in reversed(jobs)]
    api.send("POST", "/api/v2/queue/plan", {"order": order})
    after = [job.pk for job in Job.objects.queued()]
    assert after == [jobs[n].pk for n in (4, 1, 2, 3, 0)]


def test_priorities_stay_apart(boss, server):
    late, early = factories.job(priority=7), factories.job(priority=3)
    boss.send("POST", "/api/v2/queue/plan", {"order": [str(late.pk), str(early.pk)]})
    assert [job.pk for job in Job.objects.queued()] == [early.pk, late.pk]


@pytest.mark.parametrize(
    "body",
    [{}, {"order": "x"}, {"order": ["x"]}, {"order": [str(UUID(int=n)) for n in range(501)]}],
)
def test_an_order_that_is_none_is_refused(boss, body):
    answer = boss.send("POST", "/api/v2/queue/plan", body)
    assert answer.status_code == 400
    assert "order" in answer.json()["details"]["fields"]


def test_without_anything_learned_there_is_no_plan(boss):
    factories.server()
    answer = boss.send("GET", "/api/v2/queue/plan")
    assert answer.status_code == 409


# --- Hours over REST


@pytest.mark.parametrize("path", ["/api/v2/queue", "/api/v2/servers/a"])
def test_hours_are_set_and_shown(boss, server, path):
    body = {"hours": "Mon-Sun 00:00-24:00", "time_zone": "Europe/Berlin", "run_until": "06:30"}
    answer = boss.send("PATCH", path, body)
    assert answer.status_code == 200
    found = answer.json().get("server", answer.json())
    assert found["hours"] == "Mon-Sun 00:00-24:00"
    assert found["time_zone"] == "Europe/Berlin"
    until = parse_datetime(found["run_until"])
    assert timezone.now() < until <= timezone.now() + timedelta(hours=25)
    assert found["closes_at"] == found["run_until"]
    removed = boss.send("PATCH", path, {"hours": "", "run_until": ""}).json()
    found = removed.get("server", removed)
    assert (found["hours"], found["run_until"], found["closes_at"]) == ("", None, None)


@pytest.mark.parametrize("path", ["/api/v2/queue", "/api/v2/servers/a"])
@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"hours": "at night"}, "hours"),
        ({"hours": 5}, "hours"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"run_until": "soon"}, "run_until"),
        ({"run_until": "2020-01-01T00:00:00Z"}, "run_until"),
        ({"run_until": "2099-01-01T00:00:00"}, "run_until"),
    ],
)
def test_hours_that_make_no_sense_are_named_and_change_nothing(boss, server, path, body, named):
    answer = boss.send("PATCH", path, {"hours": "23:00-07:00", **body})
    assert answer.status_code == 400
    assert list(answer.json()["details"]["fields"]) == [named]
    server.refresh_from_db()
    assert (server.hours, QueueSettings.current().hours) == ("", "")


@pytest.mark.parametrize("of", ["queue", "server"])
def test_resuming_ends_an_until_that_has_come(boss, server, of):
    row = server if of == "server" else QueueSettings()
    row.run_until = timezone.now() - timedelta(minutes=1)
    row.save()
    job = factories.job(checkpoint="x")
    reason = boss.send("GET", f"/api/v2/jobs/{job.pk}/status").json()["job"]["waiting_reason"]
    assert reason["code"] == "outside_hours"
    boss.send("POST", "/api/v2/queue/resume", {"server": "a"} if of == "server" else {})
    row.refresh_from_db()
    assert row.run_until is None
