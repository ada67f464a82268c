"""`manage.py logs JOB`: lines and events of a job or a request, as text or JSON, and following."""

import io
import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from jobs import events
from jobs.choices import Status
from tests import factories

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("logs", *arguments, stdout=out)
    return out.getvalue().splitlines()


def logged(folder: Path, text: str, seconds_ago: float, **about: str) -> None:
    at = (timezone.now() - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    path = folder / "logs" / "dispatch.log"
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as stream:
        line = {"event": text, "at": at, "level": "info", "process": "dispatch", **about}
        stream.write(json.dumps(line) + "\n")


def happened(job) -> None:
    with transaction.atomic():
        events.emit_for_job("job.status", job, {"job": str(job.pk), "status": "cancelled"})


@pytest.mark.django_db
def test_lines_and_events_stand_in_one_order(data_dir):
    job = factories.job(request_id="req-1")
    logged(data_dir, "asked", 20, request_id="req-1")
    logged(data_dir, "sent", 10, job=str(job.pk))
    logged(data_dir, "of another", 5, request_id="req-1", job="other")
    happened(job)
    shown = run(str(job.pk))
    assert [line.split()[3] for line in shown] == ["asked", "sent", "Cancelled."]
    assert f"job={job.pk}" in shown[1]


@pytest.mark.django_db
def test_a_request_is_found_with_the_jobs_that_it_made(data_dir):
    jobs = [factories.job(request_id="req-2") for _ in range(2)]
    logged(data_dir, "asked", 20, request_id="req-2")
    for job in jobs:
        happened(job)
    shown = run("req-2")
    assert "asked" in shown[0]
    assert sum("Cancelled." in line for line in shown) == 2


@pytest.mark.django_db
def test_json_is_one_object_a_line(data_dir):
    job = factories.job()
    logged(data_dir, "sent", 10, job=str(job.pk))
    happened(job)
    first, second = (json.loads(line) for line in run(str(job.pk), "--json"))
    assert first["event"] == "sent"
    assert (second["kind"], second["data"]["status"]) == ("job.status", "cancelled")


@pytest.mark.django_db
def test_an_exception_is_shown_below_its_line(data_dir):
    job = factories.job()
    logged(data_dir, "broke", 1, job=str(job.pk), exception="Traceback\n  ValueError: x")
    assert run(str(job.pk))[-1] == "  ValueError: x"


@pytest.mark.django_db
@pytest.mark.parametrize("unknown", ["nothing", "7d1f2a86-0000-4000-8000-000000000000"])
def test_what_nobody_knows_is_said(unknown):
    with pytest.raises(CommandError, match="Nothing is known of"):
        run(unknown)


@pytest.mark.django_db
def test_a_job_without_lines_is_no_error():
    assert run(str(factories.job(Status.COMPLETED).pk)) == []


@pytest.mark.processes
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process there")
@pytest.mark.django_db(transaction=True)
def test_it_follows_what_comes_until_it_is_stopped(data_dir, settings):
    job = factories.job()
    logged(data_dir, "before", 1, job=str(job.pk))
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.browser.web_settings",
        "MOBILESD_DATA_DIR": str(data_dir),
        "TEST_DATABASE": str(connection.settings_dict["NAME"]),
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "manage.py", "logs", str(job.pk), "--follow"]
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert "before" in process.stdout.readline()
        logged(data_dir, "while it looks", 0, job=str(job.pk))
        assert "while it looks" in process.stdout.readline()
        happened(job)
        assert "Cancelled." in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
