"""How large an upscaled picture may get: asked at submission, and again before it is sent.

Again, because the picture of a job that has yet to run has no size at submission.
"""

from collections.abc import Mapping
from typing import Any

from jobs.pictures import MAX_PIXELS

__all__ = ["DEFAULT_FACTOR", "factor_of", "result_size", "why_too_large"]

DEFAULT_FACTOR = 2


def factor_of(params: Mapping[str, Any]) -> float:
    """Return how many times longer the edges of an upscaled picture are."""
    return float(params.get("upscale_by", DEFAULT_FACTOR))


def result_size(width: int, height: int, factor: float) -> tuple[int, int]:
    """Return width and height in pixels after upscaling."""
    return round(width * factor), round(height * factor)


def why_too_large(width: int, height: int, factor: float) -> str:
    """Return the sentence that refuses this factor for a picture of this size, or nothing."""
    across, down = result_size(width, height, factor)
    if across * down <= MAX_PIXELS:
        return ""
    most = int((MAX_PIXELS / (width * height)) ** 0.5 * 100) / 100
    return (
        f"{factor:g} times {width} × {height} is {across} × {down},"
        f" {across * down / 1e6:.1f} megapixels; the limit is {MAX_PIXELS / 1e6:g}."
        f" For this picture upscale_by may be at most {most:g}."
    )
