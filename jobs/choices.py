"""The words of the job's life; those of `Status` are public and final (design §5)."""

from django.db import models

__all__ = ["FINAL", "Kind", "LaneClass", "Outcome", "Status"]


class Status(models.TextChoices):
    PENDING = "pending", "Pending"
    PROCESSING = "processing", "Processing"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


FINAL = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


class Kind(models.TextChoices):
    TXT2IMG = "txt2img", "txt2img"
    IMG2IMG = "img2img", "img2img"
    UPSCALE = "upscale", "Upscale"
    WORKFLOW = "workflow", "Workflow"


class LaneClass(models.TextChoices):
    """`-lane_class` sorts interactive jobs first; the words are chosen so that this holds."""

    INTERACTIVE = "interactive", "Interactive"
    BACKGROUND = "background", "Background"


class Outcome(models.TextChoices):
    """How an attempt ended; an open attempt has none."""

    COMPLETED = "completed", "Completed"
    ROUND = "round", "Its pictures are stored; more follow"
    ERROR = "error", "The backend answered with an error"
    REJECTED = "rejected", "The answer was not what was asked for"
    CANCELLED = "cancelled", "Cancelled"
    INTERRUPTED = "interrupted", "Somebody interrupted it at the backend"
    STALLED = "stalled", "It stopped moving"
    NEVER_REACHED = "never_reached", "It never reached the backend"
    LOST = "lost", "Its answer was lost with our own process"
    BACKEND_DIED = "backend_died", "The backend died or dropped the connection"
