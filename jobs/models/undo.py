"""What can be taken back for a moment."""

import uuid

from django.db import models

__all__ = ["Undo"]


class Undo(models.Model):
    """How to bring back what one request took away.

    `scope` is who asked (`Actor.scope`): nobody else may take it back. `state` is what the jobs
    were, by id.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    scope = models.CharField(max_length=64)
    action = models.CharField(max_length=32)
    state = models.JSONField(default=dict)
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"undo of {self.action}"
