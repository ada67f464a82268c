"""A job's input files outlive every collector that runs beside its submission (rule 22)."""

import base64
import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from apikeys.actors import SYSTEM
from jobs import inputs
from jobs.inputs import TakenInputs, attach, collect_inputs, input_store, restore, take
from jobs.models import Job, JobInput
from mobilesd import storage
from mobilesd.errors import Unavailable
from mobilesd.storage import GRACE_SECONDS, ContentStore
from tests import factories


def big_picture(number: int = 0) -> str:
    return base64.b64encode(factories.png(64, 64) + os.urandom(5000) + bytes([number])).decode()


def age(path: Path) -> None:
    then = time.time() - GRACE_SECONDS - 60
    os.utime(path, (then, then))


def submit(taken: TakenInputs) -> UUID:
    with transaction.atomic():
        job = factories.job(generation_params=taken.params)
        attach(job, taken)
    return job.pk


@pytest.mark.django_db
def test_the_rows_name_each_file_once() -> None:
    picture = big_picture()
    params = {"init_images": [picture, f"data:image/png;base64,{picture}"], "mask": picture}
    taken = take(params, SYSTEM)
    job = submit(taken)
    [row] = JobInput.objects.filter(job=job)
    assert (row.sha256, row.mime) == (taken.files[0].sha256, "image/png")
    assert row.bytes == taken.files[0].size
    assert restore(Job.objects.get(pk=job).generation_params) == params


@pytest.mark.django_db
def test_a_file_that_has_vanished_since_it_was_taken_is_written_again() -> None:
    params = {"init_images": [big_picture()]}
    taken = take(params, SYSTEM)
    input_store().path(taken.files[0].sha256).unlink()
    submit(taken)
    assert restore(taken.params) == params


@pytest.mark.django_db
def test_a_disk_that_is_full_by_then_takes_the_job_back(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = take({"init_images": [big_picture()]}, SYSTEM)
    input_store().path(taken.files[0].sha256).unlink()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "write_whole", full)
    with pytest.raises(Unavailable):
        submit(taken)
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_files_of_jobs_stay_and_others_go_after_the_grace() -> None:
    kept = take({"init_images": [big_picture()]}, SYSTEM)
    dropped = take({"init_images": [big_picture()]}, SYSTEM)
    submit(kept)
    paths = [input_store().path(taken.files[0].sha256) for taken in (kept, dropped)]
    assert collect_inputs() == 0
    for path in paths:
        age(path)
    assert collect_inputs() == 1
    assert [path.exists() for path in paths] == [True, False]


@pytest.mark.django_db
def test_a_file_goes_when_the_last_of_its_jobs_is_gone() -> None:
    taken = take({"init_images": [big_picture()]}, SYSTEM)
    first, second = submit(taken), submit(taken)
    path = input_store().path(taken.files[0].sha256)
    age(path)
    Job.objects.get(pk=first).delete()
    assert collect_inputs() == 0
    Job.objects.get(pk=second).delete()
    assert collect_inputs() == 1


def _race(rounds: int) -> int:
    """Submit and collect at once, files always old; return how many jobs lost their file."""
    pictures = [big_picture(n) for n in range(rounds)]
    done = threading.Event()
    failures: list[BaseException] = []

    def collector() -> None:
        try:
            while not done.is_set():
                collect_inputs()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=collector)
    thread.start()
    jobs = []
    try:
        for picture in pictures:
            taken = take({"init_images": [picture]}, SYSTEM)
            age(input_store().path(taken.files[0].sha256))  # as if frozen for an hour here
            jobs.append((submit(taken), taken))
            with contextlib.suppress(FileNotFoundError):
                age(input_store().path(taken.files[0].sha256))
    finally:
        done.set()
        thread.join()
    assert not failures
    return sum(not input_store().path(taken.files[0].sha256).exists() for _, taken in jobs)


@pytest.fixture
def eager_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_PAUSE_SECONDS", 0)


@pytest.mark.django_db(transaction=True)
def test_no_job_loses_its_file_to_a_collector_that_runs_all_the_time(
    eager_collector: None,
) -> None:
    assert _race(rounds=40) == 0


@pytest.mark.django_db(transaction=True)
def test_control_without_the_look_under_the_lock_jobs_do_lose_files(
    eager_collector: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keeps_nothing(self: ContentStore, *_: Any) -> None:
        time.sleep(0.002)

    monkeypatch.setattr(ContentStore, "keep", keeps_nothing)
    monkeypatch.setattr(inputs, "_in_use", lambda hashes: set())
    assert _race(rounds=40) > 0
