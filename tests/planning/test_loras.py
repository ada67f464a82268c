"""A job goes to a server that has its LoRAs, while there is one; without any it is made without."""

from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone

from dispatch import heads, kinds
from dispatch.candidates import able_elsewhere, candidates_for, has_work, reasons
from dispatch.models import Inventory
from dispatch.port import DispatchServers
from dispatch.reasons import why_waiting
from dispatch.scheduling import choose, hindrance
from jobs.choices import Status
from jobs.models import Job
from tests import factories
from tests.dispatch.scheduling_cases import candidate, listed, state

FILM = frozenset({"film"})
NONE = frozenset()


def having(server, *loras, checkpoints=()):
    data = {"checkpoints": [{"name": name} for name in checkpoints], "loras": list(loras)}
    Inventory.objects.create(server=server, data=data, updated_at=timezone.now())
    return server


def with_lora(*names, **fields):
    prompt = "a cat " + "".join(f"<lora:{name}:1>" for name in names)
    return factories.job(generation_params={"positive_prompt": prompt, "seed": 1}, **fields)


def seen(server):
    return {job.id for job in candidates_for(server, "")}


# --- The choice ---------------------------------------------------------------------------


def test_the_server_without_it_leaves_the_job_to_the_one_with_it():
    without, other = state(loras=NONE), state("b", loras=FILM)
    job, plain = candidate(loras=("Film",)), candidate()
    assert choose(without, [job, plain], [other]).candidate is plain
    assert choose(other, [job], [without]).candidate is job


@pytest.mark.parametrize(
    "other",
    [
        state("b", loras=NONE),
        state("b", loras=None),
        state("b", loras=FILM, enabled=False),
        state("b", loras=FILM, app_type="other"),
        state("b", loras=FILM, checkpoints=listed("y")),
    ],
)
def test_what_no_other_server_can_do_better_is_made_without(other):
    job = candidate("x", loras=("film",))
    assert choose(state(loras=NONE), [job], [other]).candidate is job


@pytest.mark.parametrize("fields", [{"healthy": False}, {"paused": True}, {"closed": "is closed."}])
def test_a_server_with_it_that_is_away_for_now_is_waited_for(fields):
    job = candidate(loras=("film",))
    assert choose(state(loras=NONE), [job], [state("b", loras=FILM, **fields)]).candidate is None


def test_of_servers_with_a_part_of_them_none_waits_for_another():
    one, other = state(loras=frozenset({"one"})), state("b", loras=frozenset({"two"}))
    job = candidate(loras=("one", "two"))
    assert choose(one, [job], [other]).candidate is job
    assert choose(other, [job], [one]).candidate is job


def test_a_server_that_the_job_avoids_is_not_waited_for():
    job = candidate(loras=("film",), avoid=frozenset("b"))
    assert choose(state(loras=NONE), [job], [state("b", loras=FILM)]).candidate is job


def test_folder_and_extension_of_a_name_do_not_matter():
    assert state(loras=FILM).lacking(["styles/Film.safetensors", "film", "other"]) == ["other"]


# --- The reason ---------------------------------------------------------------------------


def test_a_job_meant_for_a_server_without_it_says_so_and_what_can_be_done():
    servers = [state("gpu-1", loras=NONE), state("gpu-2", loras=FILM)]
    reason = why_waiting(candidate(target="gpu-1", loras=("film",)), servers)
    assert reason.code == "model_missing"
    assert reason.message == "gpu-1 lacks the LoRA film."
    assert [(b.label, b.kind, b.target) for b in reason.buttons] == [
        ("Change the job", "edit", ""),
        ("Run without it", "drop_loras", "film"),
        ("Use gpu-2", "choose_server", "gpu-2"),
    ]


def test_while_the_one_with_it_is_off_the_reason_names_both():
    servers = [state("gpu-1", loras=NONE), state("gpu-2", loras=FILM, healthy=False)]
    reason = why_waiting(candidate(loras=("film",)), servers)
    assert reason.code == "server_offline"
    assert "gpu-2 has been offline" in reason.message
    assert "gpu-1 lacks the LoRA film." in reason.message
    assert "drop_loras" in [button.kind for button in reason.buttons]


# --- The rows -----------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_lane_is_offered_only_what_its_server_does_best():
    first = having(factories.server("a"), checkpoints=("x", "y"))
    second = having(factories.server("b"), "film", checkpoints=("x",))
    job = with_lora("film", checkpoint="x")
    assert (seen(first), seen(second)) == (set(), {job.pk})
    assert (has_work(first), has_work(second)) == (False, True)
    only_here = with_lora("film", checkpoint="y")
    assert seen(first) == {only_here.pk}
    avoiding = with_lora("film", checkpoint="x", avoid_servers=["b"])
    assert seen(first) == {only_here.pk, avoiding.pk}


@pytest.mark.django_db
def test_a_list_of_loras_counts_like_the_prompt():
    first, second = having(factories.server("a")), having(factories.server("b"), "film")
    params = {"positive_prompt": "a cat", "loras": [{"name": "Film", "weight": 1}], "seed": 1}
    job = factories.job(generation_params=params)
    assert (seen(first), seen(second)) == (set(), {job.pk})


@pytest.mark.django_db
def test_a_job_behind_many_with_a_lora_that_this_server_lacks_is_seen():
    first = having(factories.server("a"))
    having(factories.server("b"), "film")
    for _ in range(heads.HEAD * 2):
        with_lora("film")
    late = factories.job()
    assert seen(first) == {late.pk}


@pytest.mark.django_db
def test_more_kinds_than_are_looked_at_are_left_to_others_all_the_same(monkeypatch):
    first = having(factories.server("a"))
    having(factories.server("b"), "film")
    with_lora("film")
    monkeypatch.setattr(kinds, "MOST", 0)
    assert not has_work(first), "else the sweep would start a lane for it again and again"


@pytest.mark.django_db
def test_the_reason_of_a_row_is_that_of_the_choice():
    having(factories.server("a"))
    having(factories.server("b"), "film")
    job = with_lora("film", target_server_alias="a")
    reason = reasons([job])[job.pk]
    assert reason.message == "a lacks the LoRA film."
    assert "Use b" in [button.label for button in reason.buttons]


@pytest.mark.django_db
def test_the_loras_of_a_job_follow_its_parameters():
    job = with_lora("one")
    assert Job.objects.get(pk=job.pk).loras == "one"
    params = {"positive_prompt": "a <lora:two:1> <lora:three:1>"}
    Job.objects.filter(pk=job.pk).update(generation_params=params)
    assert Job.objects.get(pk=job.pk).loras == "two:three"


@pytest.mark.django_db
def test_so_many_loras_as_no_index_holds_are_cut_at_a_name():
    names = [f"{n:03}{'ä' * 40}" for n in range(30)]
    job = with_lora(*names)
    kept = Job.objects.get(pk=job.pk).loras
    assert 0 < len(kept.encode()) <= 400
    assert kept.split(":") == names[: len(kept.split(":"))]


@pytest.mark.django_db
def test_an_order_is_told_that_the_job_will_wait_or_be_made_without():
    having(factories.server("a"))
    having(factories.server("b"), "film")
    warn = DispatchServers().submission_warnings
    params = {"positive_prompt": "<lora:film:1>"}
    assert warn(params, "forge", "") == []
    assert "Another server has it: the job waits." in warn(params, "forge", "a")[0]
    unknown = warn({"loras": [{"name": "nobody's"}]}, "forge", "a")
    assert "would be made without it" in unknown[0]


# --- Another server, after an error ---------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("there", "able"), [(("x",), True), (("other",), False)], ids=["with it", "without it"]
)
def test_another_server_is_one_that_has_the_model_be_it_off_or_not(there, able):
    factories.server("a")
    having(factories.server("b", health="offline", paused=True), checkpoints=there)
    job = factories.job(Status.PROCESSING, checkpoint="x", server_alias="a")
    assert able_elsewhere(job, ["a"]) is able
    assert able_elsewhere(job, ["a", "b"]) is False


@pytest.mark.django_db(transaction=True)
def test_after_the_wrong_checkpoint_a_job_that_no_other_server_can_do_fails():
    from dispatch.dispatchers.base import BackendError, ErrorClass
    from dispatch.lanes.outcomes import Settler
    from dispatch.lanes.run import Run
    from dispatch.lease import take
    from jobs import transitions

    server = factories.server("a")
    having(factories.server("b"), checkpoints=("other",))
    job = factories.job(checkpoint="x")
    lease = take(server.pk)
    with transaction.atomic():
        attempt = transitions.claim(job.pk, server_alias="a", lane=lease.token)
    error = BackendError(ErrorClass.ELSEWHERE, "wrong_checkpoint", "It used another.", "")
    Settler(lease, "a").error(Run(attempt), error)
    job.refresh_from_db()
    assert (job.status, job.error_code) == (Status.FAILED, "wrong_checkpoint")


def test_without_others_a_server_is_asked_for_itself():
    assert hindrance(candidate(loras=(str(uuid4()),)), state(loras=NONE)) is None
