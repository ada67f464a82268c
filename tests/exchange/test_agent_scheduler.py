"""The extension's queue: read as it was recorded, and never unpickled."""

import base64
import io
import json
import os
import pickle
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from jobs import inputs
from jobs.importers import foreign
from jobs.models import Job
from mobilesd.sqlite import library
from tests import factories

pytestmark = pytest.mark.django_db

# As the extension's model makes it (recorded).
SCHEMA = """
CREATE TABLE task (
    id VARCHAR(64) NOT NULL, api_task_id VARCHAR(64), api_task_callback VARCHAR(255),
    name VARCHAR(255), type VARCHAR(20) NOT NULL, params TEXT NOT NULL,
    script_params BLOB NOT NULL, priority INTEGER NOT NULL, status VARCHAR(20) NOT NULL,
    result TEXT, bookmarked BOOLEAN,
    created_at DATETIME DEFAULT (datetime('now')) NOT NULL,
    updated_at DATETIME DEFAULT (datetime('now')) NOT NULL, PRIMARY KEY (id))
"""
OLD_SCHEMA = """
CREATE TABLE task (
    id VARCHAR(64) NOT NULL, type VARCHAR(20) NOT NULL, params TEXT NOT NULL,
    priority INTEGER NOT NULL, status VARCHAR(20) NOT NULL, PRIMARY KEY (id))
"""
UI_ARGS = {
    "id_task": "task(abc)",
    "prompt": "a lighthouse",
    "negative_prompt": "fog",
    "prompt_styles": ["night"],
    "steps": 28,
    "sampler_index": 4,
    "sampler_name": "DPM++ 2M",
    "n_iter": 2,
    "batch_size": 1,
    "cfg_scale": 5.5,
    "seed": 42,
    "height": 768,
    "width": 512,
    "enable_hr": False,
    "denoising_strength": 0.7,
    "hr_scale": 2,
    "hr_upscaler": "Latent",
    "hr_checkpoint_name": "Use same checkpoint",
    "override_settings_texts": ["Model hash: old", "Clip skip: 2"],
    "request": {"username": None},
}


class Evil:
    """What a pickle can do: run a command when it is read."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.proof}",)


def packed(value: Any) -> bytes:
    return zlib.compress(pickle.dumps(value))


def task(name: str, args: dict[str, Any], **fields: Any) -> dict[str, Any]:
    params = {"args": args, "checkpoint": None, "vae": None, "is_ui": True, "is_img2img": False}
    params |= fields.pop("params", {})
    row = {
        "id": name,
        "type": "img2img" if params["is_img2img"] else "txt2img",
        "params": json.dumps(params),
        "script_params": packed([0, "Euler"]),
        "priority": 1,
        "status": "pending",
    }
    return {**row, **fields}


@pytest.fixture
def database(tmp_path: Path) -> Any:
    path = tmp_path / "task_scheduler.sqlite3"

    def make(*rows: dict[str, Any], schema: str = SCHEMA) -> Path:
        connection = library().connect(path)
        connection.execute(schema)
        for row in rows:
            marks = ", ".join("?" * len(row))
            connection.execute(
                f"INSERT INTO task ({', '.join(row)}) VALUES ({marks})", tuple(row.values())
            )
        connection.commit()
        connection.close()
        return path

    return make


def run(path: Path, **options: Any) -> str:
    out = io.StringIO()
    call_command("import_agent_scheduler", str(path), stdout=out, **options)
    return out.getvalue()


def test_a_task_of_the_page_becomes_a_job(database, anna):
    said = run(
        database(
            task(
                "t1",
                UI_ARGS,
                params={"checkpoint": "sdxl\\dream.safetensors [0a1b2c3d4e]", "vae": "nice.vae"},
            )
        ),
        owner="anna",
    )
    job = Job.objects.get()
    assert (job.status, job.source_info, job.owner) == ("pending", "agent-scheduler", anna)
    params = job.generation_params
    assert params["positive_prompt"] == "a lighthouse"
    assert params["negative_prompt"] == "fog"
    assert params["styles"] == ["night"]
    assert (params["steps"], params["sampler_name"], params["seed"]) == (28, "DPM++ 2M", 42)
    assert (params["width"], params["height"], params["n_iter"]) == (512, 768, 2)
    assert params["clip_skip"] == 2
    assert params["checkpoint_name"] == "sdxl\\dream.safetensors [0a1b2c3d4e]"
    assert params["vae"] == "nice.vae"
    assert not any(name.startswith("hr_") for name in params)
    assert "denoising_strength" not in params
    assert "ControlNet" in said
    assert "1 jobs were taken in" in said


def test_a_pickle_is_never_read(database, tmp_path, anna):
    proof = tmp_path / "pwned"
    said = run(database(task("t1", UI_ARGS, script_params=packed([Evil(proof)]))), owner="anna")
    assert Job.objects.count() == 1
    assert not proof.exists()
    assert "not safe to read" in said
    pickle.loads(zlib.decompress(packed([Evil(proof)])))  # that it would have
    assert proof.exists()


def test_what_newer_web_uis_pickle_is_named(database, anna):
    args = {
        k: v
        for k, v in UI_ARGS.items()
        if k not in ("steps", "sampler_name", "sampler_index", "seed")
    }
    said = run(database(task("t1", args)), owner="anna")
    assert "steps, sampler_name, seed" in said
    assert "steps" not in Job.objects.get().generation_params


def test_a_task_of_the_api_keeps_its_named_scripts(database, anna):
    args = {
        "prompt": "cat",
        "steps": 10,
        "sampler_name": "Euler a",
        "sampler_index": "Euler",
        "alwayson_scripts": {"adetailer": {"args": [True, {"ad_model": "face.pt"}]}},
        "override_settings": {"sd_model_checkpoint": "dream.safetensors"},
        "script_name": None,
        "s_noise": None,
    }
    said = run(database(task("t1", args, params={"is_ui": False})), owner="anna")
    params = Job.objects.get().generation_params
    assert params["alwayson_scripts"]["adetailer"]["args"][1] == {"ad_model": "face.pt"}
    assert params["sampler_name"] == "Euler a"
    assert params["checkpoint_name"] == "dream.safetensors"
    assert "To know" not in said.replace("To know: Task t1: No", "")


def test_tasks_keep_their_order_and_a_bookmark_goes_last(database, anna):
    run(
        database(
            task("c", {**UI_ARGS, "prompt": "3"}, priority=30, bookmarked=0),
            task("a", {**UI_ARGS, "prompt": "1"}, priority=-5),
            task("d", {**UI_ARGS, "prompt": "4"}, priority=1, bookmarked=1),
            task("b", {**UI_ARGS, "prompt": "2"}, priority=10**12),
        ),
        owner="anna",
    )
    found = [job.prompt for job in Job.objects.order_by("position")]
    assert found == ["1", "3", "2", "4"]


def test_twice_is_once(database, anna):
    path = database(task("t1", UI_ARGS))
    run(path, owner="anna")
    assert "1 were here already" in run(path, owner="anna")
    assert Job.objects.count() == 1


def test_only_what_waits_unless_asked(database, anna):
    path = database(
        *(
            task(status, UI_ARGS, status=status)
            for status in ("pending", "running", "failed", "done")
        )
    )
    assert "1 tasks are done" in run(path, owner="anna", dry_run=True)
    assert not Job.objects.exists()
    run(path, owner="anna")
    assert Job.objects.count() == 2
    run(path, owner="anna", status=["failed"])
    assert Job.objects.count() == 3
    run(path, owner="anna", all=True)
    assert Job.objects.count() == 4


def test_the_oldest_schema_is_read_as_well(database, anna):
    row = task("t1", UI_ARGS, params={"script_args": [0, 1]})
    row.pop("script_params")
    assert "ControlNet" in run(database(row, schema=OLD_SCHEMA), owner="anna")
    assert Job.objects.count() == 1


def pixels(mode: str = "RGB", size: tuple[int, int] = (64, 64), color: Any = 7) -> dict[str, Any]:
    image = Image.new(mode, size, color)
    data = base64.b64encode(zlib.compress(image.tobytes())).decode()
    return {"cls": "Image", "mode": mode, "size": list(size), "data": data}


def img2img(**args: Any) -> dict[str, Any]:
    return task("t1", {**UI_ARGS, "mode": 0, **args}, params={"is_img2img": True})


def picture_of(value: Any) -> Image.Image:
    params = inputs.restore({"x": value})
    return Image.open(io.BytesIO(base64.b64decode(params["x"])))


def test_packed_pixels_become_the_picture_to_start_from(database, anna):
    row = img2img(init_img=pixels(color=(1, 2, 3)), selected_scale_tab=1, scale_by=2)
    run(database(row), owner="anna")
    params = Job.objects.get().generation_params
    assert picture_of(params["init_images"][0]).getpixel((5, 5)) == (1, 2, 3)
    assert (params["width"], params["height"]) == (128, 128)
    assert Job.objects.get().kind == "img2img"


def test_a_painted_mask_also_covers_what_is_transparent(database, anna):
    hole = pixels("RGBA", color=(1, 2, 3, 0))
    row = img2img(mode=2, init_img_with_mask={"image": hole, "mask": pixels("RGB", color=0)})
    run(database(row), owner="anna")
    params = Job.objects.get().generation_params
    assert picture_of(params["mask"]).getpixel((0, 0)) == 255


BOMB = base64.b64encode(zlib.compress(bytes(50_000_000))).decode()
BROKEN: list[tuple[dict[str, Any], str]] = [
    (img2img(init_img={**pixels(), "data": BOMB}), "as many pixels"),
    (img2img(init_img={**pixels(), "size": [100_000, 100_000]}), "megapixels"),
    (img2img(init_img={**pixels(), "size": [-1, 64]}), "megapixels"),
    (img2img(init_img={**pixels(), "size": ["a", 64]}), "no size"),
    (img2img(init_img={**pixels(), "mode": "CMYK"}), "form"),
    (img2img(init_img={**pixels(), "data": "!"}), "broken"),
    (img2img(init_img="/etc/passwd"), "other program's computer"),
    (img2img(init_img=None), "missing"),
    (img2img(mode=3), "sketch"),
    (img2img(mode=5), "batch"),
    (
        task("t1", {"prompt": "a", "init_images": ["/etc/passwd"]}, params={"is_ui": False}),
        "other computer",
    ),
    (
        task("t1", {"prompt": "a", "init_images": ["C:\\x.png"]}, params={"is_ui": False}),
        "other computer",
    ),
    (task("t1", {"prompt": "a", "steps": 10**30}, params={"is_ui": False}), "steps"),
    (task("t1", {"prompt": "a", "width": "wide"}, params={"is_ui": False}), "width"),
    (task("t1", {}), "no arguments"),
    (task("t1", UI_ARGS, params={"args": [1]}), "no arguments"),
    ({**task("t1", UI_ARGS), "params": "{"}, "no JSON"),
    ({**task("t1", UI_ARGS), "params": "[" * 100_000}, "no JSON"),
    ({**task("t1", UI_ARGS), "params": b"\x00\xff"}, "no text"),
    ({**task("t1", UI_ARGS), "params": '{"args": {"prompt": "\\ud800"}}'}, "no JSON"),
]


@pytest.mark.parametrize(("row", "why"), BROKEN, ids=range(len(BROKEN)))
def test_a_task_that_is_broken_is_named_and_the_others_are_taken(row, why, database, anna):
    said = run(database(row, task("good", UI_ARGS, priority=2)), owner="anna")
    assert Job.objects.count() == 1
    assert "Task t1 can't be taken" in said
    assert why in said


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + bytes(4000), b"hello" * 1000])
def test_a_file_that_is_no_database_is_refused(content, tmp_path):
    path = tmp_path / "x.sqlite3"
    path.write_bytes(content)
    with pytest.raises(CommandError):
        run(path)


def test_a_view_is_not_run_as_the_table(tmp_path):
    path = tmp_path / "x.sqlite3"
    connection = library().connect(path)
    connection.execute(
        "CREATE VIEW task AS WITH RECURSIVE"
        " n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id FROM n"
    )
    connection.commit()
    connection.close()
    with pytest.raises(CommandError, match="no table of tasks"):
        run(path)


def test_a_database_that_is_being_written_is_read_as_it_was(database, anna):
    path = database(task("t1", UI_ARGS))
    writer = library().connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM task")
    run(path, owner="anna")
    assert Job.objects.count() == 1
    writer.execute("ROLLBACK")
    writer.close()


def test_a_database_that_stays_locked_says_so(database, monkeypatch):
    monkeypatch.setattr(foreign, "_PATIENCE_SECONDS", 0.3)
    path = database(task("t1", UI_ARGS))
    writer = library().connect(path, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(CommandError, match="locked"):
            run(path)
    finally:
        writer.close()


def test_a_write_ahead_log_is_read_and_nothing_is_left_behind(database, anna, tmp_path):
    path = database()
    writer = library().connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    row = task("t1", UI_ARGS)
    writer.execute(
        f"INSERT INTO task ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
        tuple(row.values()),
    )
    done = threading.Event()
    run(path, owner="anna")
    done.set()
    assert Job.objects.count() == 1
    writer.execute("DELETE FROM task")  # nobody holds it
    writer.close()


def test_tasks_can_be_meant_for_one_server(database, anna):
    factories.server("pc")
    run(database(task("t1", UI_ARGS)), owner="anna", server="pc")
    assert Job.objects.get().target_server_alias == "pc"
