"""What a test does to an installation, and what it finds after the next start."""

import contextlib
import io
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from unittest import mock
from uuid import UUID, uuid4

from django.db import connections, transaction
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from apikeys.actors import SYSTEM, Actor
from dispatch.dispatchers.base import Answer, Picture
from dispatch.lanes import store
from jobs import services, transitions
from jobs.models import Attempt, Job
from jobs.services.orders import Need, Order
from mobilesd.backups import damage, recovery, replacement, snapshots
from mobilesd.backups.reports import Report

__all__ = ["A_DAY", "Killed", "World", "a_day", "answer", "picture"]


def picture(job: Job, number: int = 0, mark: int = 0, **told: object) -> bytes:
    """Return a PNG file with the infotext of a job, as a server makes it.

    `told`: fields that are otherwise; `mark` makes other bytes of it.
    """
    params = job.generation_params
    fields = {
        "Steps": params["steps"],
        "Sampler": params.get("sampler_name", "Euler"),
        "CFG scale": params.get("cfg_scale", 7),
        "Seed": params["seed"] + number,
        "Size": f"{params['width']}x{params['height']}",
        "Model hash": "0123456789",
        "Model": (job.checkpoint or "loaded").partition(".")[0],
        **told,
    }
    line = ", ".join(f"{name}: {value}" for name, value in fields.items())
    note = PngInfo()
    note.add_text("parameters", f"{params['positive_prompt']}\n{line}")
    stream = io.BytesIO()
    color = (number % 256, mark, len(line) % 256)
    PillowImage.new("RGB", (8, 8), color).save(stream, "PNG", pnginfo=note)
    return stream.getvalue()


def answer(job: Job) -> Answer:
    """Return what a server answers for a job."""
    pictures = [
        Picture(data=picture(job, number), infotext="told by the server", seed=7 + number)
        for number in range(job.images_wanted)
    ]
    return Answer(pictures=pictures, generation_info={})


class Killed(BaseException):
    """The process is gone at this point."""


class World:
    """One data folder with its database, driven by the services that the processes use."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.file = data_dir / "mobilesd.sqlite3"
        self.said: list[str] = []

    # --- What happens before ----------------------------------------------------------------
    def submit(
        self, prompt: str = "a boat", key: str = "", actor: Actor = SYSTEM, **params: object
    ) -> UUID:
        asked = {"positive_prompt": prompt, "width": 64, "height": 64, "steps": 4, "seed": 7}
        order = Order(generation_params={**asked, **params}, idempotency_key=key)
        made = services.submit(order, actor)
        assert made.job is not None
        return made.job.pk

    def submit_after(self, *parents: UUID, prompt: str) -> UUID:
        asked = {"positive_prompt": prompt, "width": 64, "height": 64, "steps": 4, "seed": 7}
        needs = tuple(Need(parent) for parent in parents)
        made = services.submit(Order(generation_params=asked, depends_on=needs), SYSTEM)
        assert made.job is not None
        return made.job.pk

    def run(self, job_id: UUID) -> Attempt:
        with transaction.atomic():
            attempt = transitions.claim(job_id, server_alias="gpu", lane=uuid4())
        assert attempt is not None
        return attempt

    def complete(self, job_id: UUID) -> None:
        attempt = self.run(job_id)
        assert store.complete(attempt.token, store.write_files(answer(attempt.job))) is not None

    def die_while_storing(self, attempt: Attempt) -> None:
        """Die after the files and what the journal is told before the commit."""
        stored = store.write_files(answer(attempt.job))
        with mock.patch.object(store.transitions, "complete", side_effect=Killed):
            try:
                store.complete(attempt.token, stored)
            except Killed:
                return
        raise AssertionError("it did not get there")

    def cancel(self, job_id: UUID) -> None:
        with transaction.atomic():
            assert transitions.cancel(job_id)

    def backup(self) -> snapshots.Snapshot:
        return snapshots.take()

    # --- Harm -------------------------------------------------------------------------------
    def close(self, *, checkpoint: bool = True) -> None:
        """Let go of the file, as processes that ended: with or without the log written back."""
        if checkpoint:
            connections.close_all()
            return
        # Another process's file handles would be gone without a checkpoint: the copy of the files
        # as they are now is what a kill leaves.
        kept = {path: path.read_bytes() for path in self.files() if path.exists()}
        connections.close_all()
        for path in self.files():
            path.unlink(missing_ok=True)
        for path, content in kept.items():
            path.write_bytes(content)

    def files(self) -> Sequence[Path]:
        return replacement.database_files(self.file)

    def flip(self, offset: int) -> None:
        with self.file.open("r+b") as stream:
            stream.seek(offset)
            byte = stream.read(1)[0]
            stream.seek(offset)
            stream.write(bytes([byte ^ 0xFF]))

    # --- The next start ---------------------------------------------------------------------
    def lose(self) -> Report:
        """Delete the database, and start."""
        self.close()
        self.file.unlink()
        report = self.start()
        assert report is not None
        return report

    def start(self) -> Report | None:
        """Do what `up` does before any process starts."""
        recovery.go_on(self.said.append)
        return recovery.before_use(self.said.append)

    def states(self) -> dict[str, str]:
        return {row.prompt: row.status for row in Job.objects.all()}

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Run a statement beside Django, in the same library; no CHECK minds what it writes."""
        connections.close_all()
        with contextlib.closing(sqlite3.connect(self.file)) as connection, connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            return connection.execute(statement, values).fetchall()

    @property
    def is_noted(self) -> bool:
        return damage.noted()


def a_day(world: World) -> None:
    """Leave jobs in all states, half of them after the newest backup."""
    for part in ("old", "new"):
        world.submit(f"{part} waits")
        world.complete(world.submit(f"{part} done", n_iter=2))
        world.cancel(world.submit(f"{part} cancelled"))
        if part == "old":
            goes_on = world.submit("done after the backup")
            world.backup()
            world.complete(goes_on)


A_DAY = {
    "old waits": "pending",
    "old done": "completed",
    "old cancelled": "cancelled",
    "done after the backup": "completed",
    "new waits": "pending",
    "new done": "completed",
    "new cancelled": "cancelled",
}
