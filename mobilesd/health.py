"""Is it up, is it healthy, is it ready: for load balancers, scripts and people. No sign-in."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from jobs.live.relay import relay
from jobs.models import Job
from mobilesd.backups.notices import notices
from mobilesd.warming import warm

__all__ = ["healthz", "readyz", "status", "trouble"]

logger = logging.getLogger(__name__)

LATE_SECONDS = 5  # a relay that is well was at the table within a second

_applied = False  # once all migrations are applied they stay so for this process, and it is warm


@csrf_exempt  # another method is a 405, not a page about a token
@require_safe
def status(request: HttpRequest) -> HttpResponse:
    """Answer, and nothing else: the process takes requests."""
    return HttpResponse("ok\n", content_type="text/plain; charset=utf-8")


@csrf_exempt  # another method is a 405, not a page about a token
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Tell whether this process can read the database, and passes events on to its pages."""
    if (relay.lag_seconds() or 0) > LATE_SECONDS:
        return _answer("unhealthy", ["Live events do not reach the pages."])
    try:
        Job.objects.exists()
    except DatabaseError:
        logger.exception("the database can't be read")
        return _answer("unhealthy", ["The database can't be read."])
    return _answer("healthy", [], _warnings())


@csrf_exempt  # another method is a 405, not a page about a token
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Tell whether the whole installation can work, and if not, why."""
    problems = [found for found in (_database(), trouble()) if found]
    return _answer("not ready" if problems else "ready", problems, _warnings())


def _warnings() -> list[str]:
    """Return what is wrong and keeps nobody from working: no reason to take a process away."""
    found = [notice.text for notice in notices()]
    # Its module needs the client of Redis, which most installations lack.
    if settings.REDIS_URL:
        from mobilesd.sparing import does_not_answer

        if does_not_answer():
            found.append("Redis does not answer. Until it does, no rate limit is counted.")
    return found


def _answer(word: str, problems: list[str], warnings: Sequence[str] = ()) -> JsonResponse:
    body = {"status": word, "problems": problems, **({"warnings": warnings} if warnings else {})}
    answer = JsonResponse(body, status=503 if problems else 200)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def trouble() -> str:
    """Return the sentence that the supervisor wrote about its children, or ""."""
    file = Path(settings.RUN_DIR) / "supervisor.json"
    try:
        said = json.loads(file.read_text(encoding="utf-8")).get("trouble")
    except FileNotFoundError:
        return ""  # each process was started by hand or by another supervisor
    except (OSError, ValueError, AttributeError):
        return "The supervisor's state can't be read."
    return str(said) if said else ""


def _database() -> str:
    global _applied
    try:
        if not _applied:
            executor = MigrationExecutor(connection)
            if executor.migration_plan(executor.loader.graph.leaf_nodes()):
                return "The database lacks migrations. Run `manage.py migrate`."
            warm()
            _applied = True
        with transaction.atomic(), connection.cursor() as cursor:
            # On SQLite the BEGIN alone took the write lock, which is the test.
            if connection.vendor == "postgresql":
                cursor.execute("SHOW transaction_read_only")
                if cursor.fetchone()[0] == "on":
                    return "The database is read-only."
    except DatabaseError as error:
        if "locked" in str(error):
            return ""  # busy is no trouble
        logger.exception("the database can't be written")
        return "The database can't be written."
    return ""
