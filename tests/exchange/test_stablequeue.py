"""An installation of StableQueue is taken over as it was recorded, and only read."""

import io
import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from dispatch.models import Server
from gallery.files import read_image
from gallery.models import Image
from jobs.models import Job
from mobilesd.sqlite import library
from tests import factories

pytestmark = pytest.mark.django_db

# As its migrations make it (recorded).
SCHEMA = """
CREATE TABLE jobs (
    mobilesd_job_id TEXT PRIMARY KEY,
    status TEXT NOT NULL DEFAULT 'pending',
    creation_timestamp TEXT NOT NULL, last_updated_timestamp TEXT NOT NULL,
    completion_timestamp TEXT, target_server_alias TEXT NOT NULL, forge_session_hash TEXT,
    generation_params_json TEXT NOT NULL, result_details_json TEXT,
    retry_count INTEGER DEFAULT 0, forge_internal_task_id TEXT,
    app_type TEXT DEFAULT 'forge', source_info TEXT, api_key_id TEXT)
"""
DONE = "aaaaaaaa-0000-4000-8000-000000000001"
WAITS = "bbbbbbbb-0000-4000-8000-000000000002"
FAILED = "cccccccc-0000-4000-8000-000000000003"
INFOTEXT = "a red boat\nNegative prompt: fog\nSteps: 20, Sampler: Euler a, Seed: 77, Size: 64x64"


def row(job_id: str, status: str, **fields: Any) -> dict[str, Any]:
    params = fields.pop("params", {"positive_prompt": "a boat", "prompt": "a boat", "steps": 20})
    return {
        "mobilesd_job_id": job_id,
        "status": status,
        "creation_timestamp": "2025-05-01T10:00:00.000Z",
        "last_updated_timestamp": "2025-05-01T10:00:00.000Z",
        "target_server_alias": "Laptop Forge",
        "generation_params_json": json.dumps(params),
        **fields,
    }


def png(color: str, text: str = "") -> bytes:
    stream, info = io.BytesIO(), PngInfo()
    if text:
        info.add_text("parameters", text)
    Pillow.new("RGB", (64, 64), color).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "StableQueue"
    (root / "data").mkdir(parents=True)
    (root / "outputs").mkdir()
    return root


def write_jobs(folder: Path, *rows: dict[str, Any]) -> None:
    connection = library().connect(folder / "data" / "mobilesd_jobs.sqlite")
    connection.execute(SCHEMA)
    for one in rows:
        marks = ", ".join("?" * len(one))
        connection.execute(
            f"INSERT INTO jobs ({', '.join(one)}) VALUES ({marks})", tuple(one.values())
        )
    connection.commit()
    connection.close()


def write_servers(folder: Path, *servers: Any) -> None:
    (folder / "data" / "servers.json").write_text(json.dumps(servers))


def run(folder: Path, **options: Any) -> str:
    out = io.StringIO()
    call_command("import_stablequeue", str(folder), owner="anna", stdout=out, **options)
    return out.getvalue()


LAPTOP = {"alias": "Laptop Forge", "apiUrl": "http://192.168.1.100:7860", "auth": None}


def result(*names: str) -> str:
    return json.dumps({"saved_filenames": names, "images": names, "generation_info": {"seed": 1}})


def test_servers_jobs_and_pictures_come_over(folder, anna):
    name = "aaaaaaaa_1716540000000-77.png"
    (folder / "outputs" / name).write_bytes(png("red", INFOTEXT))
    (folder / "outputs" / "preview_aaaaaaaa_1.png").write_bytes(png("blue"))
    write_servers(
        folder,
        LAPTOP,
        {"alias": "b", "apiUrl": "http://192.168.1.7:7860", "authUser": "me", "authPass": "secret"},
    )
    write_jobs(
        folder,
        row(
            DONE,
            "completed",
            completion_timestamp="2025-05-01T10:01:00.000Z",
            result_details_json=result(name),
        ),
        row(WAITS, "pending"),
        row(FAILED, "failed", result_details_json=json.dumps({"error": "no GPU"})),
    )
    said = run(folder)

    server = Server.objects.get(alias="laptop-forge")
    assert not server.enabled
    other = Server.objects.get(alias="b")
    assert (other.username, other.password) == ("me", "secret")
    assert "switched off until you have tested them" in said
    assert "secret" not in said

    done, waits, failed = (Job.objects.get(pk=one) for one in (DONE, WAITS, FAILED))
    assert (done.status, waits.status, failed.status) == ("completed", "pending", "failed")
    assert done.created_at.year == 2025
    assert done.owner == anna
    assert waits.target_server_alias == "laptop-forge"
    assert failed.error_message == "no GPU"
    assert done.server_alias == "laptop-forge"

    image = Image.objects.get()
    assert image.job_id == uuid.UUID(DONE)
    assert read_image(image) == (folder / "outputs" / name).read_bytes()
    assert (image.seed, image.infotext) == ("77", INFOTEXT)
    assert image.parameters["positive_prompt"] == "a red boat"
    assert image.owner_id == anna.pk


def test_twice_changes_nothing(folder, anna):
    (folder / "outputs" / "aaaaaaaa_1.png").write_bytes(png("red"))
    (folder / "outputs" / "loose.png").write_bytes(png("green"))
    write_servers(folder, LAPTOP)
    write_jobs(
        folder,
        row(DONE, "completed", result_details_json=result("aaaaaaaa_1.png")),
        row(WAITS, "pending"),
    )
    run(folder)
    before = (Job.objects.count(), Image.objects.count(), Server.objects.count())
    assert before == (2, 2, 1)
    said = run(folder)
    assert (Job.objects.count(), Image.objects.count(), Server.objects.count()) == before
    assert "0 pictures taken in, 2 were here" in said


def test_an_import_that_was_cut_off_is_completed_by_the_next(folder, anna):
    names = [f"aaaaaaaa_{n}.png" for n in range(3)]
    for name, color in zip(names, ("red", "green", "blue"), strict=True):
        (folder / "outputs" / name).write_bytes(png(color))
    write_jobs(folder, row(DONE, "completed", result_details_json=result(*names)))
    run(folder)
    Image.objects.filter(index__gt=0).delete()
    run(folder)
    assert list(Image.objects.order_by("index").values_list("index", flat=True)) == [0, 1, 2]


def test_a_picture_that_no_job_names_is_found_by_its_jobs_first_letters(folder, anna):
    (folder / "outputs" / "aaaaaaaa_99.png").write_bytes(png("red"))
    (folder / "outputs" / "holiday.png").write_bytes(png("green"))
    write_jobs(folder, row(DONE, "completed"))
    run(folder)
    found = dict(Image.objects.values_list("job", "index"))
    assert set(found) == {uuid.UUID(DONE), None}


def test_an_infotext_that_was_queued_is_understood(folder, anna):
    write_jobs(folder, row(WAITS, "pending", params={"raw_generation_info": INFOTEXT}))
    run(folder)
    params = Job.objects.get().generation_params
    assert (params["positive_prompt"], params["steps"], params["seed"]) == ("a red boat", 20, 77)


def test_links_pipes_and_what_is_no_picture_are_left_out_and_named(folder, anna, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(png("red"))
    outputs = folder / "outputs"
    (outputs / "link.png").symlink_to(secret)
    os.mkfifo(outputs / "pipe.png")
    (outputs / "folder.png").mkdir()
    (outputs / "text.png").write_bytes(b"hello")
    names = ["../../secret.png", "/etc/passwd", "gone.png", "..", ""]
    write_jobs(folder, row(DONE, "completed", result_details_json=result(*names)))
    said = run(folder)
    assert not Image.objects.exists()
    for name in (
        "link.png",
        "pipe.png",
        "folder.png",
        "text.png",
        "secret.png",
        "passwd",
        "gone.png",
    ):
        assert name in said
    assert Job.objects.get().status == "completed"


BROKEN: list[tuple[dict[str, Any], str]] = [
    (row("x", "pending"), "UUID"),
    (row(DONE, "exploded"), "status"),
    (row(DONE, "completed", creation_timestamp="never"), "times"),
    (row(DONE, "completed", creation_timestamp="9999999-01-01"), "times"),
    (row(DONE, "pending", generation_params_json="{"), "JSON"),
    (row(DONE, "pending", generation_params_json="[]"), "no object"),
    (row(DONE, "pending", generation_params_json=b"\xff"), "no parameters"),
    (row(DONE, "pending", params={"steps": 10**400}), "can't be taken"),
    (row(DONE, "pending", params={"type": "gradio_raw", "raw_payload": {}}), "raw form"),
]


@pytest.mark.parametrize(("bad", "why"), BROKEN, ids=range(len(BROKEN)))
def test_a_job_that_is_broken_is_named_and_the_others_are_taken(bad, why, folder, anna):
    write_jobs(folder, bad, row(WAITS, "pending"))
    said = run(folder)
    assert "can't be taken" in said
    assert why in said
    assert Job.objects.count() == 1


@pytest.mark.parametrize(
    "entry",
    [
        7,
        {},
        {"alias": "a"},
        {"alias": "a", "apiUrl": "file:///etc/passwd"},
        {"alias": 5, "apiUrl": "x"},
    ],
)
def test_a_server_that_is_broken_is_named_and_the_others_are_taken(entry, folder, anna):
    write_servers(folder, entry, LAPTOP)
    assert "can't be taken" in run(folder)
    assert Server.objects.count() == 1


def test_a_server_that_is_here_is_left_as_it_is(folder, anna):
    factories.server("pc", url="http://192.168.1.100:7860")
    write_servers(folder, LAPTOP)
    write_jobs(folder, row(WAITS, "pending"))
    run(folder)
    assert Server.objects.get().enabled
    assert Job.objects.get().target_server_alias == "pc"


def test_a_dry_run_writes_nothing(folder, anna):
    (folder / "outputs" / "a.png").write_bytes(png("red"))
    write_servers(folder, LAPTOP)
    write_jobs(folder, row(WAITS, "pending"))
    said = run(folder, dry_run=True)
    assert "1 jobs would be taken in" in said
    assert not (Job.objects.exists() or Server.objects.exists() or Image.objects.exists())


def test_a_folder_that_is_none_of_its_is_refused(tmp_path, anna):
    with pytest.raises(CommandError, match="no folder of StableQueue"):
        run(tmp_path)


def test_the_pictures_may_be_elsewhere(folder, anna, tmp_path):
    write_jobs(folder, row(DONE, "completed", result_details_json=result("a.png")))
    (folder / "outputs").rmdir()
    assert "--pictures" in run(folder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.png").write_bytes(png("red"))
    run(folder, pictures=elsewhere)
    assert Image.objects.get().job_id == uuid.UUID(DONE)
