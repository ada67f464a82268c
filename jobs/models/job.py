"""The job: what somebody asked for, and where it stands."""

import time
import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from jobs.choices import FINAL, Kind, LaneClass, Status
from jobs.models.derived import LorasField, PutOffField
from jobs.querysets import JobQuerySet, ScopeOf, ServerOf, SourceOf

__all__ = ["Job", "JobInput", "JobProgress", "position_now"]


def position_now() -> int:
    """Return the rank of a job submitted now: nanoseconds, so that no query finds the last."""
    return time.time_ns()


_LISTED = Q(deleted_at__isnull=True)
_WAITS = Q(status="pending", deleted_at__isnull=True)
_TIMES = ("not_before", "retry_at", "deadline")
_LOOKED_AT = ("loras", "avoid_servers", *_TIMES)
_CHOOSABLE = _WAITS & Q(held=False, blocked=False, put_off_until__isnull=True)


class Job(models.Model):
    """One picture order.

    pending -> processing -> completed | failed | cancelled; processing -> pending (requeue);
    failed | cancelled -> pending (retry). Servers are named by alias, so that a job outlives a
    server that was removed. A status is changed only by `jobs.transitions`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    app_type = models.CharField(max_length=32)
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.TXT2IMG)
    generation_params = models.JSONField(default=dict)
    warnings = models.JSONField(default=list, blank=True)
    target_server_alias = models.CharField(max_length=64, blank=True, default="")
    server_alias = models.CharField(max_length=64, blank=True, default="")
    avoid_servers = models.JSONField(default=list, blank=True)
    priority = models.PositiveSmallIntegerField(default=5)
    position = models.BigIntegerField(default=position_now)
    lane_class = models.CharField(
        max_length=16, choices=LaneClass.choices, default=LaneClass.INTERACTIVE
    )
    not_before = models.DateTimeField(null=True, blank=True)
    deadline = models.DateTimeField(null=True, blank=True)
    retry_at = models.DateTimeField(null=True, blank=True)
    # It waits for somebody's nod: the rest of a batch of which only the first jobs run.
    held = models.BooleanField(default=False)
    # What keeps it out of the indexes that a lane steps through (jobs.readiness).
    put_off_until = PutOffField(null=True, blank=True, editable=False)
    blocked = models.BooleanField(default=False, editable=False)
    # How far down the ladder of measures against too little memory it has gone (0: none).
    memory_step = models.PositiveSmallIntegerField(default=0)
    # Of the request that submitted it: all log lines of the job are found by it.
    request_id = models.CharField(max_length=64, blank=True, default="", editable=False)
    # Of what was asked for, so that a damaged row is noticed (jobs.checksums).
    checksum = models.CharField(max_length=32, blank=True, default="", editable=False)
    # No index of their own: the lists' indexes below begin with them, and a planner that has
    # both takes the shorter one and then reads every row.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="jobs",
        db_index=False,
    )
    api_key = models.ForeignKey(
        "apikeys.ApiKey",
        models.SET_NULL,
        null=True,
        blank=True,
        to_field="prefix",
        related_name="jobs",
        db_index=False,
    )
    batch = models.ForeignKey(
        "jobs.Batch",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="jobs",
        db_index=False,
    )
    source_info = models.CharField(max_length=200, blank=True, default="")
    checkpoint = models.CharField(max_length=500, blank=True, default="")
    loras = LorasField(blank=True, default="", editable=False)
    images_wanted = models.PositiveSmallIntegerField(default=1)
    # The pictures that its finished rounds stored: the next round goes on behind them.
    images_made = models.PositiveSmallIntegerField(default=0, editable=False)
    attempts_made = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=3)
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    error_hint = models.TextField(blank=True, default="")
    generation_info = models.JSONField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField()

    objects = JobQuerySet.as_manager()

    class Meta:
        indexes = [
            # The queue itself: what a lane chooses from, and a job's place in it.
            models.Index(
                "status",
                models.F("lane_class").desc(),
                "priority",
                "position",
                "id",
                name="job_queue",
                condition=_WAITS,
            ),
            # What a lane chooses from: of each owner the first, and what fits the loaded model.
            # What ends them is looked at without reading the rows.
            models.Index(
                "app_type",
                "target_server_alias",
                "lane_class",
                "priority",
                ScopeOf(),
                "position",
                "id",
                *_LOOKED_AT,
                "checkpoint",
                name="job_turns",
                condition=_CHOOSABLE,
            ),
            models.Index(
                "app_type",
                "target_server_alias",
                "lane_class",
                "priority",
                "checkpoint",
                ScopeOf(),
                "position",
                "id",
                *_LOOKED_AT,
                name="job_models",
                condition=_CHOOSABLE,
            ),
            # Which kinds of jobs wait, and of each the first jobs (dispatch.kinds).
            models.Index(
                "app_type",
                "target_server_alias",
                "lane_class",
                "priority",
                "checkpoint",
                "loras",
                "avoid_servers",
                ScopeOf(),
                "position",
                "id",
                *_TIMES,
                name="job_kinds",
                condition=_CHOOSABLE,
            ),
            # What is to be put into those above when its time has come, or was forgotten.
            models.Index(
                fields=["status", "put_off_until"],
                name="job_put_off",
                condition=_WAITS & Q(put_off_until__isnull=False),
            ),
            models.Index(
                fields=["status", "id"], name="job_blocked", condition=_WAITS & Q(blocked=True)
            ),
            # The lists. Partial, so that a count needs the index alone and no row.
            models.Index(fields=["created_at", "id"], name="job_created", condition=_LISTED),
            # What ends an index below lets a second condition be counted without reading rows.
            models.Index(
                fields=["status", "created_at", "id", "owner", "api_key", "app_type"],
                name="job_status_created",
                condition=_LISTED,
            ),
            models.Index(
                fields=["owner", "created_at", "id"], name="job_owner_created", condition=_LISTED
            ),
            models.Index(
                fields=["owner", "status", "created_at", "id"],
                name="job_owner_status_created",
                condition=_LISTED,
            ),
            # Somebody may have half of the jobs, and a key of others the other half.
            models.Index(
                fields=["owner", "api_key", "created_at", "id", "deleted_at"],
                name="job_owner_key_created",
                condition=Q(owner__isnull=False, api_key__isnull=False),
            ),
            models.Index(
                fields=["app_type", "created_at", "id", "owner", "api_key"],
                name="job_app_type_created",
                condition=_LISTED,
            ),
            models.Index(
                fields=["source_info", "created_at", "id", "owner", "api_key"],
                name="job_source_created",
                condition=_LISTED,
            ),
            models.Index(
                SourceOf(),
                "created_at",
                "id",
                "owner",
                "api_key",
                name="job_program_created",
                condition=_LISTED,
            ),
            models.Index(
                ServerOf(),
                "created_at",
                "id",
                "owner",
                "api_key",
                name="job_server_created",
                condition=_LISTED,
            ),
            models.Index(
                fields=["batch", "created_at", "id"],
                name="job_batch_created",
                condition=Q(batch__isnull=False),
            ),
            # What a key made: its quota counts the deleted jobs as well (jobs.usage), lists don't.
            models.Index(
                fields=["api_key", "created_at", "id", "owner", "deleted_at"],
                name="job_key_created",
                condition=Q(api_key__isnull=False),
            ),
            models.Index(
                fields=["deleted_at"],
                name="job_deleted",
                condition=Q(deleted_at__isnull=False),
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=Status.values), name="job_status_known"),
            models.CheckConstraint(
                condition=Q(priority__gte=1, priority__lte=10), name="job_priority_range"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"

    @property
    def is_final(self) -> bool:
        """Tell whether nothing more will happen to this job by itself."""
        return self.status in FINAL

    @property
    def part_left(self) -> float:
        """Return which part of its pictures finished rounds have not made, 0 to 1."""
        return max(0.0, 1 - self.images_made / self.images_wanted)

    @property
    def scope(self) -> str:
        """Return whose turn it takes: as `Actor.scope`, and `jobs.querysets.SCOPE` in SQL."""
        if self.owner_id is not None:
            return f"user:{self.owner_id}"
        return f"key:{self.api_key_id}" if self.api_key_id else ""

    @property
    def prompt(self) -> str:
        """Return the positive prompt, or nothing for a job without one."""
        return str(self.generation_params.get("positive_prompt", ""))

    @property
    def title(self) -> str:
        """Return what a list calls it: an upscale has the prompt of its picture."""
        if self.kind != Kind.UPSCALE:
            return self.prompt
        return f"Upscale: {self.prompt}" if self.prompt else "Upscale"


class JobProgress(models.Model):
    """How far the running attempt is: a narrow row, so that progress never rewrites the job."""

    job = models.OneToOneField(Job, models.CASCADE, primary_key=True, related_name="progress_row")
    attempt = models.UUIDField()
    seq = models.PositiveIntegerField(default=0)
    progress = models.FloatField(default=0)
    text = models.CharField(max_length=200, blank=True, default="")
    eta_seconds = models.FloatField(null=True, blank=True)
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.progress:.0%} of {self.job_id}"


class JobInput(models.Model):
    """A big value of a job's parameters, kept once as a content-addressed file."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="inputs")
    sha256 = models.CharField(max_length=64, db_index=True)
    mime = models.CharField(max_length=64)
    bytes = models.PositiveBigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["job", "sha256"], name="job_input_once"),
        ]

    def __str__(self) -> str:
        return f"{self.mime} {self.sha256[:12]}"
