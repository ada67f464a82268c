"""Who queued a job again: counted by the quotas of keys, as its submission was."""

from django.db import models

__all__ = ["Retry"]


class Retry(models.Model):
    """One retry of a job. `api_key_prefix` is that of the key which asked for it, "" for a page.

    No foreign key to the key, and none that would end with the job: to delete either must not
    give back what was used.
    """

    job = models.ForeignKey("jobs.Job", models.SET_NULL, null=True, related_name="retries")
    api_key_prefix = models.CharField(max_length=16, blank=True, default="")
    at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "retries"
        indexes = [
            models.Index(fields=["api_key_prefix", "at"], name="retry_key_at"),
            models.Index(fields=["at"], name="retry_at"),
        ]

    def __str__(self) -> str:
        return f"retry of {self.job_id}"
