"""Every failure that the fake can play, and the words by which a job's page must name it."""

from dataclasses import dataclass, field
from typing import Any

__all__ = ["CASES", "Case"]


@dataclass(frozen=True)
class Case:
    """`fault` with its settings; all `words` must be in what the page says."""

    name: str
    fault: str
    words: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    pace: dict[str, Any] = field(default_factory=dict)
    max_attempts: int = 1
    params: dict[str, Any] = field(default_factory=dict)
    checkpoint: str = ""
    final: bool = True


CASES = (
    Case(
        "refuse",
        "refuse",
        ("a has been offline", "The connection to the server broke"),
        {"for_seconds": 3},
        final=False,
    ),
    Case("drop_before", "drop_before", ("dropped the connection", "RemoteDisconnected")),
    Case(
        "drop_before_always",
        "drop_before",
        ("dropped the connection", "RemoteDisconnected"),
        {"times": 99},
        final=False,
    ),
    Case("drop_after", "drop_after", ("dropped the connection", "RemoteDisconnected")),
    Case(
        "drop_after_always",
        "drop_after",
        ("dropped the connection", "RemoteDisconnected"),
        {"times": 99},
        final=False,
    ),
    Case("garbage_json", "garbage_json", ("something else than JSON", "bad_answer")),
    Case("half_closed", "half_closed", ("answer ended in the middle",)),
    Case("html", "html", ("something else than JSON", "really the image server")),
    Case(
        "huge_answer",
        "huge_answer",
        ("larger than 32 MB", "answer_too_large"),
        {"size": 600 * 1024**2},
    ),
    Case(
        "huge_answer_declared",
        "huge_answer",
        ("larger than 32 MB",),
        {"size": 600 * 1024**2, "declare_size": True},
    ),
    Case(
        "not_ready",
        "not_ready",
        ("still starting",),
        {"times": 1, "path": "/sdapi/v1/txt2img"},
        final=False,
    ),
    Case("slow", "slow", ("Completed",), {"seconds": 1.5}),
    Case("black_image", "black_image", ("Picture 1 is all black", "--no-half-vae")),
    Case(
        "broken_checkpoint",
        "broken_checkpoint",
        ("could not load the checkpoint", "checkpoint_broken"),
        {},
        checkpoint="broken.safetensors",
    ),
    Case("foreign_interrupt", "foreign_interrupt", ("Somebody interrupted it",)),
    Case(
        "foreign_interrupt_always",
        "foreign_interrupt",
        ("five times in a row", "Ask who else uses the server"),
        {"times": 99},
    ),
    Case("http_500", "http_500", ("RuntimeError: a fault that was asked for",)),
    Case(
        "http_500_message",
        "http_500",
        ("list index out of range",),
        {"message": "list index out of range"},
    ),
    Case("http_500_late", "http_500", ("RuntimeError", "began"), {"after_steps": 3}),
    Case("no_images", "no_images", ("answered without a picture",)),
    Case("oom", "oom", ("ran out of memory", "tiled VAE", "Too little memory"), {"times": 99}),
    Case("oom_late", "oom", ("ran out of memory",), {"times": 99, "after_steps": 2}),
    Case("poison", "poison", ("could not load a model before", "this job is not to blame")),
    Case(
        "stall",
        "stall",
        ("stopped moving", "no progress for too long"),
        {"seconds": 60},
        {"stall": 1.0, "stall_floor": 0.5},
    ),
    Case(
        "wrong_checkpoint",
        "wrong_checkpoint",
        ("used the checkpoint other instead of good.safetensors", "1 rejected picture"),
        {},
        checkpoint="good.safetensors",
    ),
)
