"""What was asked by key, and what was refused: a line a request, and a sum a day."""

from django.db import models

__all__ = ["Access", "KeyDay"]


class Access(models.Model):
    """One request by key, or one refused attempt. No secret, prompt or picture is in it.

    `key_prefix` is what was presented, so no foreign key: it may belong to no key at all.
    """

    at = models.DateTimeField()
    key_prefix = models.CharField(max_length=16, blank=True, default="")
    method = models.CharField(max_length=10)
    route = models.CharField(max_length=200, help_text="The pattern, not the address itself.")
    status = models.PositiveSmallIntegerField()
    error = models.CharField(max_length=40, blank=True, default="")
    milliseconds = models.FloatField()
    bytes = models.PositiveBigIntegerField(default=0, help_text="Of the answer.")
    address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True, default="")
    source_info = models.CharField(max_length=200, blank=True, default="")
    request_id = models.CharField(max_length=64)
    times = models.PositiveIntegerField(
        default=1,
        help_text="So many refusals at once, of which this is the last.",
    )

    class Meta:
        verbose_name_plural = "accesses"
        indexes = [
            models.Index(fields=["at"], name="access_at"),
            models.Index(fields=["key_prefix", "at"], name="access_key_at"),
            models.Index(fields=["method", "at"], name="access_method_at"),
            # Errors are rare among a million lines: to find them must not read the others.
            models.Index(
                fields=["at"], condition=models.Q(status__gte=400), name="access_errors_at"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.route} {self.status}"


class KeyDay(models.Model):
    """How often a key was used on one day (UTC): kept when the lines are pruned."""

    key = models.ForeignKey(
        "apikeys.ApiKey", models.CASCADE, to_field="prefix", related_name="days"
    )
    day = models.DateField()
    requests = models.PositiveIntegerField(default=0)
    errors = models.PositiveIntegerField(default=0, help_text="Answers from 400 on.")
    bytes = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "day"], name="key_day_once")]

    def __str__(self) -> str:
        return f"{self.key_id} {self.day}"
