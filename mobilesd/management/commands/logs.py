"""`manage.py logs JOB`: what all processes logged about a job or a request, and its events."""

import argparse
import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from jobs.models import Event, Job
from jobs.timeline import event_in_words
from mobilesd.logs import Follower, LogLine, lines_about
from mobilesd.logs.files import FOLDER

__all__ = ["Command"]

LOOK_SECONDS = 0.5
MOST_JOBS = 1000  # of one request


class Command(BaseCommand):
    help = "Show the log lines and events of a job, or of a request by its X-Request-ID, in order."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("job", metavar="JOB", help="the id of a job, or of a request")
        parser.add_argument("--follow", action="store_true", help="go on with what comes")
        parser.add_argument("--json", action="store_true", help="one JSON object a line")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = options["job"].strip()
        jobs = _jobs(wanted)
        words = sorted({wanted, *(job.request_id for job in jobs if _is_job(wanted, job))})
        only = str(jobs[0].pk) if len(jobs) == 1 and _is_job(wanted, jobs[0]) else ""
        folder = Path(settings.DATA_DIR) / FOLDER
        follower = Follower(folder, words, job=only)
        events = list(_events(jobs, after=0))
        found = [*lines_about(folder, words, job=only).lines, *map(_as_line, events)]
        if not found and not jobs and not options["follow"]:
            raise CommandError(
                f"Nothing is known of {wanted}: no job, no log line. Check the id; old log files"
                " are deleted as new ones fill."
            )
        self._show(found, as_json=options["json"])
        if options["follow"]:
            last = max((event.pk for event in events), default=0)
            with contextlib.suppress(KeyboardInterrupt):
                self._follow(wanted, follower, last, as_json=options["json"])

    def _follow(self, wanted: str, follower: Follower, last: int, *, as_json: bool) -> None:
        while True:
            events = list(_events(_jobs(wanted), after=last))
            self._show([*follower.new_lines(), *map(_as_line, events)], as_json=as_json)
            last = max((event.pk for event in events), default=last)
            time.sleep(LOOK_SECONDS)  # files tell nobody that they grew

    def _show(self, lines: Sequence[LogLine], *, as_json: bool) -> None:
        for line in sorted(lines, key=lambda line: line.at):
            self.stdout.write(line.raw if as_json else _in_words(line))
        self.stdout.flush()


def _jobs(wanted: str) -> list[Job]:
    try:
        return list(Job.objects.filter(pk=UUID(wanted)))
    except ValueError:
        return list(Job.objects.filter(request_id=wanted)[:MOST_JOBS])


def _is_job(wanted: str, job: Job) -> bool:
    return wanted.replace("-", "").lower() == job.pk.hex


def _events(jobs: Sequence[Job], *, after: int) -> Iterator[Event]:
    yield from Event.objects.filter(job__in=jobs, pk__gt=after).order_by("pk")


def _as_line(event: Event) -> LogLine:
    """Return an event as a line among the others."""
    at = event.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    about = {"job": str(event.job_id), "event_id": event.pk}
    text = event_in_words(event)
    raw = {"event": text, **about, "kind": event.kind, "data": event.payload, "at": at}
    return LogLine(at, "event", event.kind, text, "", about, json.dumps(raw, ensure_ascii=False))


def _in_words(line: LogLine) -> str:
    process = line.rest.get("process", "database")
    about = {n: v for n, v in line.rest.items() if n not in ("process", "pid")}
    details = " ".join(f"{name}={value}" for name, value in about.items())
    text = f"{line.at} {process:<10} {line.level:<7} {line.text}  {details}".rstrip()
    return f"{text}\n{line.exception}" if line.exception else text
