"""contracts/api.md, the rows of `/api/v2/queue` and `/api/v1/settings`, field by field."""

from unittest.mock import ANY

import pytest

from jobs.choices import Status
from jobs.models import Event, Job, QueueSettings
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
QUEUE, PAUSE, RESUME, CLEAR = (
    f"/api/v2/queue{part}" for part in ("", "/pause", "/resume", "/clear")
)
SETTINGS, PROCESSING = "/api/v1/settings", "/api/v1/settings/queue-processing"
EMPTY = {"pending": 0, "processing": 0, "completed": 0, "failed": 0, "cancelled": 0}


def standing(**fields):
    return {
        "success": True,
        "paused": False,
        "paused_app_types": [],
        "paused_servers": [],
        "accept_submissions": True,
        "counts": EMPTY,
        "counts_are_exact": True,
        "estimated_finish": None,
        "not_counted": ANY,  # of what was known a moment ago: see test_queue_finish
        "forecast_error": None,
        "hours": "",
        "time_zone": "UTC",
        "run_until": None,
        "opens_at": None,
        "closes_at": None,
        "fits": None,
        **fields,
    }


def test_get_answers_how_the_queue_stands(api, member):
    factories.job(owner=member)
    factories.job(Status.FAILED, owner=member)
    factories.job()
    answer = api.send("GET", QUEUE)
    assert answer.status_code == 200
    assert answer.json() == standing(counts={**EMPTY, "pending": 1, "failed": 1})


def test_pause_and_resume_answer_how_the_queue_stands_then(boss):
    assert boss.send("POST", PAUSE).json() == standing(paused=True)
    assert QueueSettings.current().paused
    answer = boss.send("POST", RESUME)
    assert (answer.status_code, answer.json()) == (200, standing())


def test_an_app_type_is_paused_on_its_own(boss):
    paused = standing(paused_app_types=["forge"])
    for _ in range(2):
        assert boss.send("POST", PAUSE, {"app_type": "forge"}).json() == paused
    assert boss.send("POST", RESUME).json() == paused, "another pause is left as it is"
    assert boss.send("POST", RESUME, {"app_type": "forge"}).json() == standing()


def test_a_server_is_paused_on_its_own(boss):
    server = factories.server("gpu")
    answer = boss.send("POST", PAUSE, {"server": "gpu"})
    assert answer.json() == standing(paused_servers=["gpu"])
    server.refresh_from_db()
    assert server.paused
    assert boss.send("POST", RESUME, {"server": "gpu"}).json() == standing()


def test_everybody_hears_of_a_pause(boss):
    boss.send("POST", PAUSE, {"app_type": "forge"})
    event = Event.objects.get(kind="queue.paused")
    assert event.public
    assert event.payload == {
        "paused": True,
        "paused_app_types": ["forge"],
        "server": None,
        "app_type": "forge",
        "request_id": ANY,
    }


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"server": "nowhere"}, 404, "server_not_found"),
        ({"app_type": "nothing"}, 400, "invalid_field_value"),
        ({"app_type": "forge", "server": "gpu"}, 400, "invalid_field_value"),
        ({"server": ""}, 400, "invalid_field_value"),
        ({"server": 3}, 400, "invalid_field_value"),
        ({"sever": "gpu"}, 400, "unsupported_parameter"),
        ([], 400, "invalid_json"),
    ],
)
@pytest.mark.parametrize("path", [PAUSE, RESUME])
def test_a_pause_of_what_there_is_none_of_changes_nothing(boss, path, body, status, code):
    factories.server("gpu")
    answer = boss.send("POST", path, body)
    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert boss.send("GET", QUEUE).json() == standing()
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", PAUSE),
        ("POST", RESUME),
        ("GET", SETTINGS),
        ("PUT", SETTINGS),
        ("PUT", PROCESSING),
    ],
)
def test_members_may_not_touch_what_concerns_all(api, method, path):
    answer = api.send(method, path, {"enabled": False} if method == "PUT" else None)
    assert (answer.status_code, answer.json()["error"]) == (403, "scope_missing")
    assert not QueueSettings.current().paused


def test_clear_cancels_the_own_jobs_that_wait_and_says_how_many(api, member):
    waiting = [factories.job(owner=member) for _ in range(2)]
    running = factories.job(Status.PROCESSING, owner=member)
    others = factories.job()
    answer = api.send("POST", CLEAR)
    assert answer.status_code == 200
    assert answer.json() == {
        **standing(counts={**EMPTY, "processing": 1, "cancelled": 2}),
        "cancelled": 2,
        "also": [],
        "undo": {"id": ANY, "expires_at": ANY},
    }
    states = dict(Job.objects.values_list("pk", "status"))
    assert {states[job.pk] for job in waiting} == {Status.CANCELLED}
    assert (states[running.pk], states[others.pk]) == (Status.PROCESSING, Status.PENDING)
    assert Event.objects.filter(kind="job.status", owner=member).count() == 2


def test_clear_can_be_narrowed_to_a_server_and_an_app_type(boss, settings):
    settings.DISPATCHERS = {**settings.DISPATCHERS, "other": settings.DISPATCHERS["forge"]}
    factories.server("gpu")
    meant = factories.job(target_server_alias="gpu")
    any_server = factories.job()
    other = factories.job(app_type="other", target_server_alias="gpu")
    assert boss.send("POST", CLEAR, {"server": "gpu", "app_type": "forge"}).json()["cancelled"] == 1
    assert boss.send("POST", CLEAR, {"app_type": "other"}).json()["cancelled"] == 1
    meant.refresh_from_db()
    other.refresh_from_db()
    any_server.refresh_from_db()
    assert (meant.status, other.status) == (Status.CANCELLED, Status.CANCELLED)
    assert any_server.status == Status.PENDING


def test_clear_of_a_removed_server_takes_its_jobs_and_of_an_unknown_one_is_404(boss):
    factories.job(target_server_alias="gone")
    assert boss.send("POST", CLEAR, {"server": "gone"}).json()["cancelled"] == 1
    answer = boss.send("POST", CLEAR, {"server": "never"})
    assert (answer.status_code, answer.json()["error"]) == (404, "server_not_found")


def test_a_long_queue_is_cleared_in_several_transactions(boss, monkeypatch):
    from jobs.services import cancelling

    monkeypatch.setattr(cancelling, "AT_ONCE", 2)
    for _ in range(5):
        factories.job()
    assert boss.send("POST", CLEAR).json()["cancelled"] == 5


def test_settings_are_shown(boss):
    answer = boss.send("GET", SETTINGS)
    assert answer.status_code == 200
    assert set(answer.json()) == {"success", "settings"}
    assert answer.json()["settings"] == {
        "accept_submissions": True,
        "queue_processing": True,
        "paused_app_types": [],
        "app_types": ["forge"],
        "default_app_type": "forge",
        "lanes": 2,
        "limits": {"body_bytes": 64 * 2**20, "bulk_jobs": 1000, "list_rows": 200},
    }


def test_put_changes_the_switches_that_it_names(boss):
    answer = boss.send("PUT", SETTINGS, {"accept_submissions": False})
    shown = answer.json()["settings"]
    assert (shown["accept_submissions"], shown["queue_processing"]) == (False, True)
    shown = boss.send("PUT", SETTINGS, {"queue_processing": False}).json()["settings"]
    assert (shown["accept_submissions"], shown["queue_processing"]) == (False, False)
    assert Event.objects.filter(kind="queue.paused").count() == 1


@pytest.mark.parametrize("path", ["/api/v1/generate", "/api/v2/generate", "/api/v2/generate/bulk"])
def test_while_submissions_are_closed_no_job_is_taken_and_pausing_never_refuses(boss, path):
    body = {"generation_params": {"positive_prompt": "a"}}
    body |= {"bulk_quantity": 2} if path.endswith("bulk") else {}
    boss.send("PUT", PROCESSING, {"enabled": False})
    assert boss.send("POST", path, {**body, "idempotency_key": "k"}).status_code == 202
    boss.send("PUT", SETTINGS, {"accept_submissions": False})
    count = Job.objects.count()
    answer = boss.send("POST", path, body)
    assert (answer.status_code, answer.json()["error"]) == (503, "submissions_closed")
    assert Job.objects.count() == count
    again = boss.send("POST", path, {**body, "idempotency_key": "k"})
    assert again.status_code == 200, "that one was taken before"


def test_queue_processing_pauses_and_resumes(boss):
    answer = boss.send("PUT", PROCESSING, {"enabled": False})
    assert answer.status_code == 200
    assert set(answer.json()) == {"success", "settings"}
    assert answer.json()["settings"]["queue_processing"] is False
    assert boss.send("GET", QUEUE).json()["paused"] is True
    boss.send("PUT", PROCESSING, {"enabled": True})
    assert boss.send("GET", QUEUE).json()["paused"] is False


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (PROCESSING, {}, "missing_required_field"),
        (PROCESSING, {"enabled": "yes"}, "invalid_field_value"),
        (PROCESSING, {"enabled": 0}, "invalid_field_value"),
        (SETTINGS, {}, "missing_required_field"),
        (SETTINGS, {"accept_submissions": "no"}, "invalid_field_value"),
        (SETTINGS, {"lanes": 9}, "unsupported_parameter"),
    ],
)
def test_settings_refuse_what_they_do_not_know(boss, path, body, code):
    answer = boss.send("PUT", path, body)
    assert (answer.status_code, answer.json()["error"]) == (400, code)
    assert boss.send("GET", QUEUE).json() == standing()


def test_staff_may_do_it_by_their_session(db):
    page = Api()
    page.force_login(factories.staff())
    assert page.send("PUT", PROCESSING, {"enabled": False}).status_code == 200
