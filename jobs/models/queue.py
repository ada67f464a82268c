"""What holds for the queue as a whole."""

from typing import Self

from django.db import connection, models

from mobilesd.rows import Reader

__all__ = ["QueueSettings", "hold_queue"]

_ADVISORY_LOCK = 0x6D6F6271  # any constant that nobody else takes


def hold_queue(*, shared: bool = False) -> None:
    """Keep claims (shared) and changes of switches, order or many jobs apart until the commit.

    SQLite has one writer at a time, so there the transaction itself is the lock. On PostgreSQL a
    claim that read the switches before a pause committed would start a job after its answer, and
    two who lock several jobs could wait for each other. Always before the locks of job rows.
    """
    if connection.vendor == "postgresql":
        suffix = "_shared" if shared else ""
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_advisory_xact_lock{suffix}(%s)", [_ADVISORY_LOCK])


class QueueSettings(models.Model):
    """Switches of the whole queue: one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    paused = models.BooleanField(default=False)
    paused_app_types = models.JSONField(default=list, blank=True)
    accept_submissions = models.BooleanField(default=True)
    # When jobs may start: "23:00-07:00, Sat-Sun" in `time_zone`; "" always (jobs.hours).
    hours = models.CharField(max_length=200, blank=True, default="")
    time_zone = models.CharField(max_length=64, blank=True, default="")
    # From this moment on nothing starts, until somebody resumes: "until 06:30".
    run_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "queue settings"
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="only_one_queue_settings"),
        ]

    def __str__(self) -> str:
        return "queue settings"

    @classmethod
    def current(cls) -> Self:
        """Return the row as it is now; the defaults before anybody has changed one."""
        return Reader(cls, "WHERE t.id = 1").first() or cls()

    @classmethod
    def accepts_submissions(cls) -> bool:
        """Tell that switch alone; plain SQL, because every submission asks."""
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT accept_submissions FROM {cls._meta.db_table} WHERE id = 1")
            row = cursor.fetchone()
        return bool(row[0]) if row is not None else True
