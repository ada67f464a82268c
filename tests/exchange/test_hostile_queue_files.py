"""A file that is wrong, cut off or made to harm is refused as a whole, with a sentence."""

import base64
import copy
import hashlib
import io
import json
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from apikeys.actors import Actor
from jobs.exchange import Intake, read_document, read_lines
from jobs.models import Batch, Job, JobInput
from mobilesd.errors import Problem
from tests import factories

pytestmark = pytest.mark.django_db
ID = "3d0c9a52-8f5e-4c7b-9c50-2f6a1b7e8d90"
OTHER = "4d0c9a52-8f5e-4c7b-9c50-2f6a1b7e8d90"
CONTENT = b"x" * 9000
SHA = hashlib.sha256(CONTENT).hexdigest()


def document(*jobs: Any, **more: Any) -> dict[str, Any]:
    return {
        "mobilesd": "queue",
        "version": 1,
        "files": [],
        "batches": [],
        "jobs": list(jobs),
        **more,
    }


def order(**more: Any) -> dict[str, Any]:
    return {"id": ID, "app_type": "forge", "generation_params": {"prompt": "a", "seed": 1}, **more}


def take(given: Any, actor: Actor) -> Any:
    reading, incoming = read_document(given)
    return Intake(actor).take(incoming, reading.batches)


GOOD = order(id=OTHER)
MARK = {"$input": SHA, "mime": "image/png", "form": "base64", "bytes": 1}
BAD: list[tuple[Any, str]] = [
    (None, "mobilesd"),
    ([], "mobilesd"),
    ({"mobilesd": "presets", "version": 1}, "mobilesd"),
    (document(GOOD, version=2), "version"),
    (document(GOOD, version=True), "version"),
    (document(GOOD, version=10**400), "version"),
    ({**document(), "jobs": {}}, "jobs"),
    (document(GOOD, files={}), "files"),
    (document(GOOD, "job"), "jobs.1"),
    (document(GOOD, order(id="1")), "jobs.1.id"),
    (document(GOOD, order(id=OTHER)), "jobs.1"),
    (document(GOOD, order(app_type="vim")), "jobs.1.app_type"),
    (document(GOOD, order(app_type=7)), "jobs.1.app_type"),
    (document(GOOD, order(priority=0)), "jobs.1.priority"),
    (document(GOOD, order(priority=1e300)), "jobs.1.priority"),
    (document(GOOD, order(priority=10**400)), "jobs.1.priority"),
    (document(GOOD, order(lane="fast")), "jobs.1.lane"),
    (document(GOOD, order(source_info="x" * 201)), "jobs.1.source_info"),
    (document(GOOD, order(source_info="a\0")), "jobs.1.source_info"),
    (document(GOOD, order(deadline="tomorrow")), "jobs.1.deadline"),
    (document(GOOD, order(batch=ID)), "jobs.1.batch"),
    (document(GOOD, order(generation_params=[])), "jobs.1.generation_params"),
    (document(GOOD, order(generation_params={"width": 10**400})), "jobs.1.generation_params"),
    (document(GOOD, order(generation_params={"steps": -1})), "jobs.1.generation_params.steps"),
    (document(GOOD, order(generation_params={"x": MARK})), "jobs.1.generation_params"),
    (document(GOOD, order(generation_params={"init_images": [MARK]})), "jobs.1.generation_params"),
    (
        document(GOOD, order(generation_params={"init_images": [{"job": ID, "image": 0}]})),
        "none would ever start",
    ),
    (
        document(GOOD, order(generation_params={"init_images": [{"job": OTHER, "image": 4}]})),
        "init_images.0",
    ),
    (document(GOOD, order(depends_on={})), "jobs.1.depends_on"),
    (document(GOOD, order(depends_on=[{"job": "x"}])), "jobs.1.depends_on.0.job"),
    (document(GOOD, order(depends_on=[{"job": OTHER, "on_failure": "?"}])), "on_failure"),
    (
        document(order(id=OTHER, depends_on=[{"job": ID}]), order(depends_on=[{"job": OTHER}])),
        "none would ever start",
    ),
    (document(GOOD, files=[{"sha256": SHA, "base64": "!!"}]), "files.0.base64"),
    (document(GOOD, files=[{"sha256": "../../x", "base64": "AAAA"}]), "files.0.sha256"),
    (document(GOOD, files=[{"sha256": SHA}]), "files.0"),
    (document(GOOD, batches=[{"id": ID, "run_first": -1}]), "batches.0.run_first"),
    (document(GOOD, batches=[{"id": "x"}]), "batches.0.id"),
]


@pytest.mark.parametrize(("given", "where"), BAD, ids=range(len(BAD)))
def test_it_is_refused_as_a_whole_and_says_where(given, where, actor):
    with pytest.raises(Problem) as refused:
        take(copy.deepcopy(given), actor)
    problem = refused.value
    assert where in " ".join([problem.message, *problem.fields]), problem.message
    assert not Job.objects.exists()
    assert not Batch.objects.exists()
    assert not JobInput.objects.exists()


def test_a_mark_never_reads_a_file_that_the_document_does_not_bring(actor):
    """Or a stranger's picture could be read by its hash."""
    from jobs import inputs

    inputs.input_store().put(CONTENT)
    with pytest.raises(Problem, match="which the file does not have"):
        take(document(order(generation_params={"prompt": "a", "x": MARK})), actor)


def test_a_picture_of_a_stranger_is_not_read_by_its_job(actor):
    theirs = factories.image(factories.job("completed", owner=factories.user("ben")))
    params = {"prompt": "a", "init_images": [{"job": str(theirs.job_id), "image": 0}]}
    with pytest.raises(Problem, match="can't be resolved"):
        take(document(order(generation_params=params)), actor)


def test_a_stranger_is_not_waited_for(actor):
    theirs = factories.job(owner=factories.user("ben"))
    taken = take(document(order(depends_on=[{"job": str(theirs.pk)}])), actor)
    assert "not here" in taken.warnings[0]
    assert not Job.objects.get(pk=ID).needs.exists()


def test_a_picture_bomb_is_refused(actor):
    header = (
        b"\x89PNG\r\n\x1a\n"
        + bytes.fromhex("0000000d494844520000ffff0000ffff0806000000")
        + bytes(9000)
    )
    sha = hashlib.sha256(header).hexdigest()
    files = [{"sha256": sha, "base64": base64.b64encode(header).decode()}]
    mark = {**MARK, "$input": sha}
    given = document(order(generation_params={"init_images": [mark]}), files=files)
    with pytest.raises(Problem, match="picture"):
        take(given, actor)
    assert not Job.objects.exists()


def test_a_job_whose_deadline_has_passed_is_left_out_and_named(actor):
    reading, incoming = read_document(document(GOOD, order(deadline="2020-01-01T00:00:00Z")))
    taken = Intake(actor).take(incoming, reading.batches)
    assert len(taken.made) == 1
    assert ID in reading.expired[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "empty"),
        (b"{", "line 1"),
        (b"\xff\xfe", "line 1"),
        (b'{"mobilesd": "queue-lines", "version": 1}\n', "cut off"),
        (b'{"mobilesd": "queue-lines", "version": 1}\n[]\n', "line 2"),
        (b'{"mobilesd": "queue-lines", "version": 1}\n{"x": 1}\n', "unknown kind"),
        (b'{"mobilesd": "queue-lines", "version": 1}\n' + b"[" * 100_000, "line 2"),
        (b'{"mobilesd": "queue-lines", "version": 1}\n{"end": {}}\n{"job": {}}\n', "after the end"),
        (b'{"mobilesd": "queue-lines", "version": NaN}\n', "line 1"),
    ],
)
def test_lines_that_are_broken_say_which(text, says, actor):
    reading, incoming = read_lines(io.BytesIO(text))
    with pytest.raises(Problem, match=says):
        Intake(actor).take(incoming, reading.batches)


def test_a_file_that_was_cut_off_takes_nothing_in(actor, file):
    factories.job(owner_id=actor.user_id)
    factories.job(owner_id=actor.user_id)
    call_command("export_queue", str(file), stdout=io.StringIO())
    Job.objects.all().delete()
    file.write_bytes(b"\n".join(file.read_bytes().splitlines()[:-1]))
    with pytest.raises(CommandError, match="cut off"):
        call_command("import_queue", str(file))
    assert not Job.objects.exists()


def test_the_own_database_is_never_opened_as_a_file(tmp_path, monkeypatch):
    """Closing it would drop the locks that SQLite holds on it in this process."""
    own = settings.DATABASES["default"]["NAME"]
    link = tmp_path / "queue.json"
    link.symlink_to(own)
    with pytest.raises(CommandError, match="own database"):
        call_command("import_queue", str(link))
    with pytest.raises(CommandError, match="own database"):
        call_command("import_agent_scheduler", str(link))
    with pytest.raises(CommandError, match="own database"):
        call_command("export_queue", str(link), force=True)


def test_an_export_does_not_overwrite_a_file_unasked(file):
    file.write_text("mine")
    with pytest.raises(CommandError, match="--force"):
        call_command("export_queue", str(file))
    assert file.read_text() == "mine"
    call_command("export_queue", str(file), force=True, stdout=io.StringIO())
    assert json.loads(file.read_text().splitlines()[0])["mobilesd"] == "queue-lines"
