"""What is exported here is taken in there: the same jobs, in the same order, once."""

import base64
import io
import json
from typing import Any

import pytest
from django.core.management import call_command

from apikeys.actors import SYSTEM, Actor
from jobs import inputs, services
from jobs.exchange import Exporter, Intake, read_document, read_lines
from jobs.models import Batch, Event, Job, JobDependency, JobInput
from jobs.services import Order
from tests import factories

pytestmark = pytest.mark.django_db
PICTURE = base64.b64encode(factories.png(80, 80) + b"\0" * 8192).decode()


def submit(actor: Actor, prompt: str, **fields: Any) -> Job:
    params = {"positive_prompt": prompt, "seed": 1, **fields.pop("params", {})}
    job = services.submit(Order(generation_params=params, **fields), actor).job
    assert job is not None
    return job


def exported(actor: Actor = SYSTEM, **options: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads("".join(Exporter(actor, **options).document()))
    return document


def take(document: Any, actor: Actor, **options: Any) -> Any:
    reading, incoming = read_document(document)
    return Intake(actor).take(incoming, reading.batches, **options)


def prompts() -> list[str]:
    return [
        job.prompt for job in Job.objects.queued().order_by("-lane_class", "priority", "position")
    ]


def forget_all() -> None:
    Job.objects.all().delete()
    Batch.objects.all().delete()
    Event.objects.all().delete()


def test_jobs_come_back_with_everything_that_was_asked_for(actor):
    factories.server("pc")
    submit(actor, "last", lane="background", source_info="script")
    submit(actor, "second", target_server_alias="pc", params={"weird_thing": [1, {"a": None}]})
    submit(actor, "first", priority=2)
    before = {job.pk: job for job in Job.objects.all()}
    document = exported()
    forget_all()

    taken = take(document, actor)

    assert prompts() == ["first", "second", "last"]
    assert {job.pk for job in taken.made} == set(before)
    for job in Job.objects.all():
        was = before[job.pk]
        for name in (
            "generation_params",
            "priority",
            "lane_class",
            "target_server_alias",
            "source_info",
            "checkpoint",
            "kind",
            "images_wanted",
            "owner_id",
        ):
            assert getattr(job, name) == getattr(was, name), name
    assert Event.objects.filter(kind="job.created").count() == 3


def test_a_picture_is_written_once_and_arrives_byte_for_byte(actor):
    for prompt in ("a", "b"):
        submit(actor, prompt, params={"init_images": [PICTURE]})
    document = exported()
    assert len(document["files"]) == 1
    forget_all()
    for file in (inputs.input_store().root).glob("*/*"):
        file.unlink()

    take(document, actor)

    job = Job.objects.first()
    assert job is not None
    assert inputs.restore(job.generation_params)["init_images"] == [PICTURE]
    assert JobInput.objects.count() == 2
    assert job.kind == "img2img"


def test_importing_twice_makes_no_second_job(actor):
    submit(actor, "once")
    document = exported()
    assert take(document, actor).already_here == [Job.objects.get().pk]
    forget_all()
    take(document, actor)
    again = take(document, actor)
    assert not again.made
    assert len(again.already_here) == 1
    assert Job.objects.count() == 1


def test_somebody_elses_jobs_become_ones_own_under_ids_that_are_known_again(actor):
    parent = submit(actor, "theirs")
    JobDependency.objects.create(job=submit(actor, "child"), parent=parent)
    other = Actor.of_user(factories.user("ben"))
    document = exported()

    first, second = take(document, other), take(document, other)

    assert len(first.made) == 2
    assert not second.made
    mine = Job.objects.visible_to(other)
    assert mine.count() == 2
    needs = JobDependency.objects.get(job__in=mine)
    assert needs.parent_id != parent.pk
    assert mine.filter(pk=needs.parent_id).exists()
    assert Job.objects.count() == 4


def test_nothing_tells_whose_the_jobs_are(actor, anna):
    key, token = factories.key(anna)
    submit(Actor.of_key(key), "secret")
    text = json.dumps(exported())
    for hidden in (key.prefix, token, token.partition(".")[2], "anna", '"owner', "api_key"):
        assert hidden not in text


def test_one_exports_only_what_one_sees(actor):
    submit(actor, "mine")
    submit(Actor.of_user(factories.user("ben")), "not mine")
    jobs = exported(actor)["jobs"]
    assert [job["generation_params"]["positive_prompt"] for job in jobs] == ["mine"]


def test_only_what_waits_is_exported_unless_all_is_asked_for(actor):
    for status in ("processing", "completed", "failed", "cancelled"):
        factories.job(status)
    factories.job()
    assert len(exported()["jobs"]) == 1
    assert len(exported(running=True)["jobs"]) == 2


def test_a_server_that_is_not_there_becomes_any_server(actor):
    factories.server("pc")
    submit(actor, "a", target_server_alias="pc")
    document = exported()
    forget_all()
    from dispatch.models import Server

    Server.objects.all().delete()
    taken = take(document, actor)
    assert Job.objects.get().target_server_alias == ""
    assert "'pc'" in taken.warnings[0]
    assert "'pc'" in Job.objects.get().warnings[0]


def test_a_batch_stays_together_and_what_was_held_stays_held(actor):
    batch = Batch.objects.create(
        owner_id=actor.user_id,
        total=3,
        run_first=1,
        name="trial",
        created_at=factories.timezone.now(),
    )
    submit(actor, "first")
    rest = [submit(actor, "rest"), submit(actor, "rest")]
    Job.objects.update(batch=batch)
    Job.objects.filter(pk__in=[job.pk for job in rest]).update(held=True)
    document = exported()
    forget_all()

    take(document, actor)

    again = Batch.objects.get()
    assert (again.pk, again.name, again.run_first, again.total) == (batch.pk, "trial", 1, 3)
    assert Job.objects.filter(batch=again).count() == 3
    assert Job.objects.filter(held=True).count() == 2


def test_a_chain_is_tied_again_also_when_the_child_stands_first(actor):
    parent = submit(actor, "parent", priority=9)
    child = factories.job(
        owner_id=actor.user_id,
        priority=1,
        generation_params={
            "positive_prompt": "child",
            "seed": 1,
            "init_images": [{"job": str(parent.pk), "image": 0}],
        },
    )
    JobDependency.objects.create(job=child, parent=parent, on_failure="run")
    document = exported()
    assert document["jobs"][0]["id"] == str(child.pk)
    forget_all()

    take(document, actor)

    assert prompts() == ["child", "parent"]
    needs = JobDependency.objects.get()
    assert (needs.job_id, needs.parent_id, needs.on_failure) == (child.pk, parent.pk, "run")
    stored = Job.objects.get(pk=child.pk).generation_params["init_images"]
    assert stored == [{"job": str(parent.pk), "image": 0}]


def test_a_child_of_a_job_that_is_not_written_is_left_out_and_named(actor):
    parent = factories.job("processing")
    child = factories.job(
        generation_params={"init_images": [{"job": str(parent.pk), "image": 0}], "seed": 1}
    )
    document = exported()
    assert document["jobs"] == []
    assert document["left_out"][0]["id"] == str(child.pk)


def test_a_job_whose_picture_is_gone_is_left_out_and_named(actor):
    submit(actor, "fine")
    submit(actor, "broken", params={"init_images": [PICTURE]})
    next(inputs.input_store().root.glob("*/*")).unlink()
    document = exported()
    assert len(document["jobs"]) == 1
    assert "not on the disk" in document["left_out"][0]["why"]


def test_a_dry_run_says_the_same_and_writes_nothing(actor):
    submit(actor, "a")
    document = exported()
    forget_all()
    assert len(take(document, actor, dry_run=True).made) == 1
    assert not Job.objects.exists()
    assert not Event.objects.exists()


def test_what_comes_in_stands_at_the_end_of_the_queue(actor):
    submit(actor, "imported one")
    submit(actor, "imported two")
    document = exported()
    forget_all()
    submit(actor, "was here")
    take(document, actor)
    assert prompts() == ["was here", "imported one", "imported two"]


def test_json_lines_hold_the_same_and_name_a_picture_before_its_job(actor):
    submit(actor, "a", params={"init_images": [PICTURE]})
    submit(actor, "b", params={"init_images": [PICTURE]})
    lines = "".join(Exporter(SYSTEM).lines()).splitlines()
    kinds = [next(iter(json.loads(line))) for line in lines]
    assert kinds == ["mobilesd", "file", "job", "job", "end"]
    forget_all()
    reading, incoming = read_lines(line.encode() for line in lines)
    Intake(actor).take(incoming, reading.batches)
    assert prompts() == ["a", "b"]


def test_the_commands_write_a_file_and_take_it_in(actor, file):
    submit(actor, "a", params={"init_images": [PICTURE]})
    call_command("export_queue", str(file), stdout=io.StringIO())
    document = file.with_suffix(".json")
    call_command("export_queue", str(document), stdout=io.StringIO())
    assert file.stat().st_mode & 0o077 == 0
    for source in (file, document):
        forget_all()
        out = io.StringIO()
        call_command("import_queue", str(source), owner="anna", stdout=out)
        assert "1 jobs were taken in" in out.getvalue()
        assert Job.objects.get().owner_id == actor.user_id
        call_command("import_queue", str(source), owner="anna", stdout=out)
        assert "1 were here already" in out.getvalue()
