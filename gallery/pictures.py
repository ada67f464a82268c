"""What a backend sent back: a picture that the gallery can keep, or not."""

from jobs import pictures
from jobs.pictures import PictureInfo

__all__ = ["PictureInfo", "inspect"]

FORMATS = ("png", "jpeg", "webp")


def inspect(data: bytes) -> PictureInfo:
    """Return format and size from the header; raise ValueError for what the gallery can't keep."""
    info = pictures.inspect(data)
    if info.format not in FORMATS:
        raise ValueError(f"is a {info.format.upper()}, no PNG, JPEG or WebP picture.")
    return info
