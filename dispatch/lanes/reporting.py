"""Progress and previews of the running attempt, no more often than somebody can use them."""

import contextlib
import os
import time
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from dispatch.lanes.run import Run
from dispatch.lease import Lease
from jobs import events, transitions
from jobs.models import Attempt, JobProgress
from jobs.stalling import text_of_run

__all__ = ["Reporter"]

ROW_SECONDS = 1.0
WATCHED_SECONDS = 0.2
PREVIEW_SECONDS = 1.0


class Reporter:
    """Writes the progress of one run at a time, each write fenced by the lease."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._token: UUID | None = None
        self._seq = 0
        self._row_at = self._live_at = self._preview_at = 0.0
        self._shown: tuple[float, str] = (-1.0, "")
        self._phases: frozenset[str] = frozenset()

    def wants_preview(self, watched_until: datetime | None) -> bool:
        """Tell whether to ask for a preview: it costs GPU time, so only while somebody looks."""
        return _watched(watched_until) and time.monotonic() - self._preview_at >= PREVIEW_SECONDS

    def report(self, run: Run, watched_until: datetime | None) -> None:
        """Write what is new of this run, if it is time for it."""
        now = time.monotonic()
        if run.token != self._token:
            self._token, self._seq = run.token, 0
            self._row_at = self._live_at = self._preview_at = 0.0
            self._shown = (-1.0, "")
            self._phases = frozenset()
        watched = _watched(watched_until)
        row_due = now - self._row_at >= ROW_SECONDS
        changed = self._shown != (run.done_of_job(), _text(run))
        # With each row also when nobody looks at the page: programs follow the events.
        often = watched and now - self._live_at >= WATCHED_SECONDS
        live_due = changed and (row_due or often)
        preview = run.progress.preview if watched else None
        if not row_due and not live_due and preview is None:
            return
        self._seq += 1
        preview_name = self._save_preview(run, preview) if preview else ""
        with self._lease.fenced():
            # Cancelled, and not yet noticed: its row was removed with the cancel.
            if not transitions.is_open(run.token):
                return
            if row_due:
                self._write_row(run)
                self._write_phases(run)
                self._row_at = now
            if live_due:
                self._emit_progress(run)
                self._live_at, self._shown = now, (run.done_of_job(), _text(run))
            if preview_name:
                self._emit_preview(run)
                self._preview_at = now

    def _write_row(self, run: Run) -> None:
        JobProgress.objects.update_or_create(
            job_id=run.attempt.job_id,
            defaults={
                "attempt": run.token,
                "seq": self._seq,
                "progress": run.done_of_job(),
                "text": _text(run),
                "eta_seconds": run.remaining_of_job(),
                "updated_at": timezone.now(),
            },
        )

    def stalled(self, run: Run) -> None:
        """Tell that a run has stalled; it stays open until the backend is rid of it.

        Its row says since when nothing moved, since nobody writes it from now on.
        """
        quiet = time.monotonic() - run.last_moved
        self._seq += 1
        with self._lease.fenced():
            if not transitions.is_open(run.token):
                return
            JobProgress.objects.update_or_create(
                job_id=run.attempt.job_id,
                defaults={
                    "attempt": run.token,
                    "seq": self._seq,
                    "progress": run.done_of_job(),
                    "text": _text(run),
                    "eta_seconds": None,
                    "updated_at": timezone.now() - timedelta(seconds=quiet),
                },
            )
            told = events.JobStalled(
                job=str(run.attempt.job_id),
                attempt=str(run.token),
                server_alias=run.attempt.server_alias,
                seconds=round(quiet, 1),
            )
            events.emit_for_job("job.stalled", run.job, told)

    def _write_phases(self, run: Run) -> None:
        """Keep when it began and made its first step, once each: the job's page tells them."""
        phases = run.phases()
        if new := {name: at for name, at in phases.items() if name not in self._phases}:
            Attempt.objects.filter(token=run.token).update(**new)
            self._phases = frozenset(phases)

    def _emit_progress(self, run: Run) -> None:
        events.emit_live(
            "job.progress",
            events.JobProgressed(
                job=str(run.attempt.job_id),
                attempt=str(run.token),
                seq=self._seq,
                progress=round(run.done_of_job(), 4),
                text=_text(run),
                eta=run.remaining_of_job(),
            ),
            job_id=run.attempt.job_id,
            owner_id=run.job.owner_id,
        )

    def _emit_preview(self, run: Run) -> None:
        events.emit_live(
            "job.preview",
            events.JobPreview(
                job=str(run.attempt.job_id),
                attempt=str(run.token),
                seq=self._seq,
                url=f"/jobs/{run.attempt.job_id}/preview?seq={self._seq}",
            ),
            job_id=run.attempt.job_id,
            owner_id=run.job.owner_id,
        )

    @staticmethod
    def _save_preview(run: Run, data: bytes) -> str:
        """Write the preview beside its final name and rename it; a full disk only costs it."""
        folder = settings.DATA_DIR / "previews"
        suffix = "png" if data.startswith(b"\x89PNG") else "jpg"
        target = folder / f"{run.attempt.job_id}.{suffix}"
        temporary = folder / f".{run.token}.{os.getpid()}.tmp"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            temporary.replace(target)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            return ""
        return target.name

    def finished(self, run: Run) -> None:
        """Remove what only the running attempt needed."""
        for suffix in ("png", "jpg"):
            with contextlib.suppress(OSError):
                (settings.DATA_DIR / "previews" / f"{run.attempt.job_id}.{suffix}").unlink(
                    missing_ok=True
                )


def _text(run: Run) -> str:
    return text_of_run(run.in_words(), time.monotonic() - run.last_moved)[:200]


def _watched(watched_until: datetime | None) -> bool:
    return watched_until is not None and watched_until > timezone.now()
