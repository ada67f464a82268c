"""What a job can be found by."""

from django.db import models

from jobs.models.job import Job

__all__ = ["JobText"]


class JobText(models.Model):
    """The words of one job (`mobilesd.search`); `jobs.wording` writes it.

    A table of its own, so that a job's row stays narrow and its changes leave the index alone.
    A deleted job has none.
    """

    id = models.BigIntegerField(primary_key=True)
    job = models.OneToOneField(Job, models.CASCADE, related_name="text")
    words = models.TextField()

    def __str__(self) -> str:
        return self.words[:60]
