"""What the queue page's buttons do: moving, many at once, batches, undo, pauses, editing."""

import json
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from apikeys.actors import Actor
from dispatch.models import Inventory
from jobs import services
from jobs.choices import Status
from jobs.models import Batch, Job, QueueSettings, Undo
from tests import factories
from tests.pages.conftest import HTMX


def _waiting(owner, count, **fields):
    return [
        factories.job(
            owner=owner,
            position=(n + 1) * 1_000_000,
            generation_params={"positive_prompt": f"job {n}", "width": 512, "height": 512},
            **fields,
        )
        for n in range(count)
    ]


def _order(owner):
    return [int(job.prompt.split()[1]) for job in Job.objects.queued().filter(owner=owner)]


def _toast(answer):
    return json.loads(answer.headers["HX-Trigger"])["toast"]


def _keys(*jobs):
    return [f"job-{job.pk}" for job in jobs]


def _batch(owner, done=2, waiting=3, held=0):
    batch = Batch.objects.create(total=done + waiting, owner=owner, created_at=timezone.now())
    for n in range(done + waiting):
        status = Status.COMPLETED if n < done else Status.PENDING
        job = factories.job(
            status,
            owner=owner,
            batch=batch,
            held=n >= done + waiting - held,
            generation_params={"positive_prompt": f"batch {n}"},
        )
        if n < done:
            factories.image(job)
    return batch


@pytest.mark.parametrize(
    ("goal", "wanted"),
    [
        ({"before": 0}, [2, 3, 0, 1, 4]),
        ({"after": 4}, [0, 1, 4, 2, 3]),
        ({"to": "top"}, [2, 3, 0, 1, 4]),
        ({"to": "bottom"}, [0, 1, 4, 2, 3]),
    ],
)
def test_several_are_moved_together_and_keep_their_order(browser, member, goal, wanted):
    jobs = _waiting(member, 5)
    where = {k: _keys(jobs[v])[0] if isinstance(v, int) else v for k, v in goal.items()}
    sent = {"pick": _keys(jobs[3], jobs[2]), **where}
    answer = browser.post("/queue/move", sent, headers=HTMX)
    assert answer.status_code == 204
    assert _toast(answer)["text"] == "2 jobs moved."
    assert _order(member) == wanted


def test_a_move_next_to_a_job_that_started_changes_nothing_and_says_so(browser, member):
    jobs = _waiting(member, 3)
    Job.objects.filter(pk=jobs[0].pk).update(status=Status.PROCESSING)
    sent = {"pick": _keys(jobs[2]), "before": _keys(jobs[0])[0]}
    answer = browser.post("/queue/move", sent, headers=HTMX)
    assert answer.status_code == 409
    assert "does not wait any more" in _toast(answer)["text"]
    assert _order(member) == [1, 2]


@pytest.mark.parametrize("picked", [[], ["job-x"], ["rubbish"], ["batch-"]])
def test_nothing_picked_is_said_in_words(browser, member, picked):
    _waiting(member, 1)
    answer = browser.post("/queue/many", {"pick": picked, "do": "cancel"}, headers=HTMX)
    assert answer.status_code == 409
    assert Job.objects.queued().count() == 1


def test_what_is_picked_of_others_is_left_alone(browser, member):
    theirs = _waiting(factories.user(), 2)
    for do in ("cancel", "top", "bottom"):
        sent = {"pick": _keys(*theirs), "do": do}
        assert browser.post("/queue/many", sent, headers=HTMX).status_code == 409
    assert Job.objects.queued().count() == 2


def test_many_are_cancelled_and_one_undo_brings_them_back(browser, member):
    jobs = _waiting(member, 4)
    sent = {"pick": _keys(jobs[1], jobs[2]), "do": "cancel"}
    toast = _toast(browser.post("/queue/many", sent, headers=HTMX))
    assert toast["text"] == "2 jobs cancelled."
    assert 0 < toast["undo"]["seconds"] <= 10
    assert _order(member) == [0, 3]
    back = browser.post(toast["undo"]["url"], headers=HTMX)
    assert _toast(back)["text"] == "2 jobs brought back."
    assert _order(member) == [0, 1, 2, 3]


def test_undo_without_scripts_is_a_button_in_the_toast(browser, member):
    (job,) = _waiting(member, 1)
    page = browser.post(f"/jobs/{job.pk}/cancel", follow=True).text
    (address,) = re.findall(r'action="(/undo/[^"]+)"', page)
    assert "1 job brought back." in browser.post(address, follow=True).text
    assert _order(member) == [0]


def test_all_that_is_selected_gets_a_priority(browser, member):
    jobs = _waiting(member, 3)
    sent = {"pick": _keys(jobs[0], jobs[2]), "do": "priority", "priority": "2"}
    assert "2 jobs" in _toast(browser.post("/queue/many", sent, headers=HTMX))["text"]
    assert [Job.objects.get(pk=job.pk).priority for job in jobs] == [2, 5, 2]
    for wrong in ("0", "11", "x", "", "²"):
        sent["priority"] = wrong
        assert browser.post("/queue/many", sent, headers=HTMX).status_code == 400


def test_a_job_past_its_deadline_does_not_stop_the_priority_of_the_others(browser, member):
    jobs = _waiting(member, 3)
    late = timezone.now() - timedelta(minutes=1)
    Job.objects.filter(pk=jobs[1].pk).update(deadline=late)
    sent = {"pick": _keys(*jobs), "do": "priority", "priority": "1"}
    assert browser.post("/queue/many", sent, headers=HTMX).status_code == 204
    assert {job.priority for job in Job.objects.all()} == {1}


def test_to_the_top_is_the_top_of_the_whole_queue_and_says_what_it_took_over(browser, member):
    (urgent,) = _waiting(member, 1, priority=3)
    jobs = _waiting(member, 3)
    sent = {"pick": _keys(jobs[1]), "to": "top"}
    toast = _toast(browser.post("/queue/move", sent, headers=HTMX))
    assert toast["text"] == "Moved. Its priority is 3 now."
    assert list(Job.objects.queued()) == [jobs[1], urgent, jobs[0], jobs[2]]
    sent = {"pick": _keys(urgent, jobs[2]), "do": "top"}
    toast = _toast(browser.post("/queue/many", sent, headers=HTMX))
    assert toast["text"] == "2 jobs moved to the top. 1 of them changed to priority 3."


def test_a_drag_beside_another_level_says_what_it_took_over(browser, member):
    (job,) = _waiting(member, 1)
    (beside,) = _waiting(member, 1, priority=8, lane_class="background")
    sent = {"pick": _keys(job), "after": _keys(beside)[0]}
    toast = _toast(browser.post("/queue/move", sent, headers=HTMX))
    assert toast["text"] == "Moved. Its priority is 8 now, in the background."
    sent = {"pick": _keys(job), "before": _keys(beside)[0]}
    assert _toast(browser.post("/queue/move", sent, headers=HTMX))["text"] == "Moved."


def test_rows_show_a_priority_and_the_background_where_they_are_not_the_usual(browser, member):
    _waiting(member, 1)
    page = browser.get("/").text
    assert "<span>Priority" not in page
    assert "<span>Background" not in page
    _waiting(member, 1, priority=2, lane_class="background")
    page = browser.get("/").text
    assert page.count("<span>Priority 2</span>") == 1
    assert page.count("<span>Background</span>") == 1


def test_a_batch_is_one_entry_with_its_results(browser, member):
    _waiting(member, 1)
    batch = _batch(member)
    page = browser.get("/queue/active").text
    assert page.count("data-entry=") == 2
    assert f'data-entry="batch-{batch.pk}"' in page
    assert "2 of 5 done" in page
    assert page.count("thumbnail?size=256") == 2


def test_a_batch_is_moved_and_cancelled_as_one(browser, member):
    (job,) = _waiting(member, 1)
    batch = _batch(member)
    sent = {"pick": f"batch-{batch.pk}", "before": _keys(job)[0]}
    browser.post("/queue/move", sent, headers=HTMX)
    assert Job.objects.queued().last() == job
    toast = _toast(browser.post(f"/batches/{batch.pk}/cancel", headers=HTMX))
    assert toast["text"] == "3 jobs cancelled."
    assert Job.objects.queued().count() == 1
    browser.post(toast["undo"]["url"], headers=HTMX)
    assert Job.objects.queued().count() == 4


@pytest.mark.parametrize(("go", "left"), [("true", 3), ("false", 1)])
def test_a_nod_decides_about_the_rest(browser, member, go, left):
    batch = _batch(member, held=2)
    assert "2 more wait for your nod." in browser.get("/").text
    answer = browser.post(f"/batches/{batch.pk}/nod", {"go": go}, headers=HTMX)
    assert answer.status_code == 204
    assert Job.objects.queued().filter(batch=batch, held=False).count() == left
    again = browser.post(f"/batches/{batch.pk}/nod", {"go": go}, headers=HTMX)
    assert again.status_code == 409


def test_the_batch_of_somebody_else_is_not_there(browser):
    batch = _batch(factories.user(), held=1)
    assert browser.get(f"/batches/{batch.pk}").status_code == 404
    for action in ("cancel", "nod"):
        assert browser.post(f"/batches/{batch.pk}/{action}").status_code == 404
    assert Job.objects.queued().count() == 3


def test_one_server_and_one_app_type_are_paused_and_resumed(staff_browser):
    factories.server("gpu")
    sent = {"to": "pause", "server": "gpu"}
    assert (
        "gpu is paused." in _toast(staff_browser.post("/queue/switch", sent, headers=HTMX))["text"]
    )
    assert "gpu is paused: nothing new starts there." in staff_browser.get("/").text
    staff_browser.post("/queue/switch", {"to": "resume", "server": "gpu"})
    staff_browser.post("/queue/switch", {"to": "pause", "app_type": "forge"})
    assert QueueSettings.current().paused_app_types == ["forge"]
    assert "Paused for forge jobs" in staff_browser.get("/").text


def test_a_failed_job_is_retried_with_the_same_or_a_new_seed(browser, member):
    for seed, same in (("same", True), ("new", False)):
        params = {"positive_prompt": "x", "seed": 7}
        job = factories.job(Status.FAILED, owner=member, generation_params=params)
        assert (
            browser.post(f"/jobs/{job.pk}/retry", {"seed": seed}, headers=HTMX).status_code == 204
        )
        job.refresh_from_db()
        assert job.status == Status.PENDING
        assert (job.generation_params["seed"] == 7) is same


def test_a_doubled_tap_duplicates_once(browser, member):
    (job,) = _waiting(member, 1)
    for _ in range(2):
        answer = browser.post(f"/jobs/{job.pk}/duplicate", {"once": "abc"}, headers=HTMX)
        assert answer.status_code == 204
    assert _order(member) == [0, 0]


def test_clearing_hides_what_ended_and_undo_shows_it_again(browser, member):
    for status in (Status.FAILED, Status.CANCELLED, Status.COMPLETED):
        factories.job(status, owner=member)
    toast = _toast(browser.post("/queue/clear", {"what": "ended"}, headers=HTMX))
    assert toast["text"] == "2 jobs cleared."
    assert Job.objects.listed().count() == 1
    browser.post(toast["undo"]["url"], headers=HTMX)
    assert Job.objects.listed().count() == 3


def test_the_menu_is_a_sheet_or_a_page_of_its_own(browser, member):
    (job,) = _waiting(member, 1)
    page = browser.get(f"/jobs/{job.pk}/menu").text
    part = browser.get(f"/jobs/{job.pk}/menu", headers=HTMX).text
    assert "<html" in page
    assert "<html" not in part
    for words in ("To the top", "Duplicate", "Priority", "Cancel"):
        assert words in page
        assert words in part


def _typed(page):
    found = dict(re.findall(r'name="(was_[a-z_]+)" value="([^"]*)"', page))
    return {**found, **{name.removeprefix("was_"): value for name, value in found.items()}}


def test_only_what_was_changed_in_the_form_is_changed_in_the_job(browser, member):
    (job,) = _waiting(member, 1)
    typed = _typed(browser.get(f"/jobs/{job.pk}/edit").text)
    services.patch(job.pk, Actor.of_user(member), {}, {"steps": 33})  # while the form is open
    typed |= {"prompt": "a castle", "priority": "2", "not_before": "2099-01-31T10:00"}
    typed["offset_not_before"] = "-60"
    answer = browser.post(f"/jobs/{job.pk}/edit", typed, headers=HTMX)
    assert answer.headers["HX-Redirect"] == "/"
    job.refresh_from_db()
    assert job.prompt == "a castle"
    assert job.generation_params["steps"] == 33
    assert job.priority == 2
    assert job.not_before.isoformat() == "2099-01-31T09:00:00+00:00"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("steps", "many", "Steps must be"),
        ("width", "13", "The width must be"),
        ("deadline", "tomorrow", "The deadline must be a date and a time."),
        ("priority", "99", "The priority must be"),
        ("prompt", "", "The prompt must say what to show."),
    ],
)
def test_wrong_values_are_said_at_their_field_and_change_nothing(
    browser, member, name, value, words
):
    (job,) = _waiting(member, 1)
    typed = _typed(browser.get(f"/jobs/{job.pk}/edit").text) | {name: value}
    answer = browser.post(f"/jobs/{job.pk}/edit", typed, headers=HTMX)
    assert answer.status_code == 422
    assert words in answer.text
    before, after = job.generation_params, Job.objects.get(pk=job.pk)
    assert (after.generation_params, after.priority) == (before, 5)


def test_a_job_that_runs_is_not_edited(browser, member):
    job = factories.job(Status.PROCESSING, owner=member)
    assert browser.get(f"/jobs/{job.pk}/edit").headers["Location"] == f"/jobs/{job.pk}"
    sent = {"prompt": "x", "was_prompt": "y"}
    assert browser.post(f"/jobs/{job.pk}/edit", sent, headers=HTMX).status_code == 409


def test_a_reason_brings_its_button_once(staff_browser):
    factories.server("gpu", health="offline", health_text="Nothing answers there.")
    _waiting(None, 3)
    page = staff_browser.get("/").text
    assert page.count("Nothing answers there.") == 3
    assert page.count('action="/servers/gpu/test"') == 1


def _with_a_lora_that_is_on_b(member):
    for alias, loras in [("a", []), ("b", ["film"])]:
        server = factories.server(alias)
        Inventory.objects.create(server=server, data={"loras": loras}, updated_at=timezone.now())
    params = {"positive_prompt": "a cat <lora:film:1> at sea", "loras": [{"name": "Film"}]}
    return factories.job(owner=member, target_server_alias="a", generation_params=params)


def test_a_job_that_waits_for_a_lora_can_run_without_it(browser, member):
    job = _with_a_lora_that_is_on_b(member)
    page = browser.get("/").content.decode()
    assert "a lacks the LoRA" in page
    for label in ("Use b", "Change the job", "Run without it"):
        assert label in page
    url = f"/jobs/{job.pk}/without-loras"
    assert url in page
    answer = browser.post(url, {"loras": "film"}, headers=HTMX)
    assert _toast(answer)["text"] == "It will be made without film."
    job.refresh_from_db()
    assert job.generation_params["positive_prompt"] == "a cat  at sea"
    assert "loras" not in job.generation_params
    assert job.loras == ""
    assert "lacks" not in browser.get("/").content.decode()


def test_nobody_takes_loras_out_of_the_job_of_another(browser):
    job = _with_a_lora_that_is_on_b(factories.user())
    browser.post(f"/jobs/{job.pk}/without-loras", {"loras": "film"}, headers=HTMX)
    job.refresh_from_db()
    assert "<lora:film:1>" in job.prompt


def test_a_long_queue_is_shown_in_parts(browser, member):
    _waiting(member, 40)
    page = browser.get("/").text
    assert page.count("data-entry=") == 30
    assert "/?shown=90#waiting-section" in page  # also without scripts
    assert browser.get("/queue/active?shown=90").text.count("data-entry=") == 40
    for wrong in ("x", "-1", "9" * 30, "²"):
        assert browser.get("/queue/active", {"shown": wrong}).status_code == 200


def test_an_expired_undo_is_refused_in_words(browser, member):
    (job,) = _waiting(member, 1)
    toast = _toast(browser.post(f"/jobs/{job.pk}/cancel", headers=HTMX))
    Undo.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    answer = browser.post(toast["undo"]["url"], headers=HTMX)
    assert answer.status_code == 409
    assert "too late" in _toast(answer)["text"]


# --- All of a long list -------------------------------------------------------------------------


def test_all_that_the_page_can_show_is_changed_at_once(browser, member):
    jobs = Job.objects.bulk_create(
        Job(
            owner=member,
            app_type="forge",
            generation_params={},
            position=n + 1,
            created_at=timezone.now(),
            updated_at=timezone.now(),
        )
        for n in range(1000)
    )
    answer = browser.post("/queue/many", {"do": "cancel", "pick": _keys(*jobs)}, headers=HTMX)
    assert _toast(answer)["text"] == "1000 jobs cancelled."
    assert not Job.objects.queued().exists()


@pytest.mark.parametrize("htmx", [True, False])
def test_a_form_of_too_many_fields_says_so_and_changes_nothing(browser, member, htmx):
    job = factories.job(owner=member)
    keys = [*_keys(job), *(f"job-{n}" for n in range(2000))]
    headers = HTMX if htmx else {}
    answer = browser.post("/queue/many", {"do": "cancel", "pick": keys}, headers=headers)
    assert answer.status_code == 400
    words = _toast(answer) if htmx else {"text": answer.text, "hint": answer.text}
    assert "more than 2000 fields" in words["text"]
    assert "Select fewer" in words["hint"]
    assert "Content-Security-Policy" in answer.headers
    assert list(Job.objects.queued()) == [job]
