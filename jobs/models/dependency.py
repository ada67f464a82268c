"""Jobs that wait for other jobs."""

from django.db import models

from jobs.querysets import DependencyQuerySet

__all__ = ["JobDependency", "OnFailure"]


class OnFailure(models.TextChoices):
    CANCEL = "cancel", "Cancel this job as well"
    RUN = "run", "Run this job all the same"


class JobDependency(models.Model):
    """`job` does not start before `parent` has ended (design §4).

    What it takes from the parent's pictures stands in its parameters, by the parent's id.
    """

    job = models.ForeignKey("jobs.Job", models.CASCADE, related_name="needs")
    parent = models.ForeignKey("jobs.Job", models.CASCADE, related_name="dependents")
    on_failure = models.CharField(max_length=8, choices=OnFailure.choices, default=OnFailure.CANCEL)

    objects = DependencyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "job dependencies"
        constraints = [
            models.UniqueConstraint(fields=["job", "parent"], name="dependency_once"),
            models.CheckConstraint(
                condition=~models.Q(job=models.F("parent")), name="dependency_on_another"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job_id} waits for {self.parent_id}"
