"""One try of a job on one server."""

import uuid

from django.db import models
from django.db.models import Q

from jobs.choices import Outcome
from jobs.querysets import AttemptQuerySet

__all__ = ["Attempt"]


class Attempt(models.Model):
    """One POST of a job to one server.

    `token` is the id that the backend gets; it is sent at most once in its life (protocol rule 7).
    `lane` is the lease token of the lane that follows it: the fence of all negative writes.
    `submitted_at` null: never sent. `ended_at` null: open. `cleared_at` null: the backend may
    still have it (protocol rule 6).
    """

    token = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    job = models.ForeignKey("jobs.Job", models.CASCADE, related_name="attempts")
    server_alias = models.CharField(max_length=64)
    # The job's, once more: quotas ask each submission how long a key's attempts ran.
    api_key_prefix = models.CharField(max_length=16, blank=True, default="")
    number = models.PositiveIntegerField()
    # Of a round of a job that is cut: how many pictures it makes; null: all.
    images = models.PositiveSmallIntegerField(null=True, blank=True)
    # What it was expected to last, model load included; null: nothing was known.
    expected_seconds = models.FloatField(null=True, blank=True)
    # What was done differently from what was asked for, in words for the job page.
    measures = models.JSONField(default=list, blank=True)
    lane = models.UUIDField()
    # By how many lanes it was taken over, each time from one that ended without its answer.
    adoptions = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    submitted_at = models.DateTimeField(null=True, blank=True)
    # As far as the backend showed it: when it took this run up, and when its first step was done.
    began_at = models.DateTimeField(null=True, blank=True)
    first_step_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    cleared_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=16, choices=Outcome.choices, blank=True, default="")
    error_class = models.CharField(max_length=16, blank=True, default="")
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    error_hint = models.TextField(blank=True, default="")

    objects = AttemptQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["job"], condition=Q(ended_at__isnull=True), name="one_open_attempt_a_job"
            ),
            models.UniqueConstraint(fields=["job", "number"], name="attempt_number_once"),
        ]
        indexes = [
            models.Index(
                fields=["server_alias"],
                condition=Q(cleared_at__isnull=True),
                name="attempt_uncleared",
            ),
            models.Index(fields=["api_key_prefix", "ended_at"], name="attempt_key_ended"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job_id}"
