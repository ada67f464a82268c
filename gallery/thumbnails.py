"""Small copies of pictures for lists, made when first asked for and kept."""

import io
import threading
from pathlib import Path

from django.conf import settings

from gallery.files import image_store
from gallery.models import Image
from jobs.pictures import MAX_PIXELS
from mobilesd.storage import write_whole

__all__ = ["SIZES", "thumbnail", "thumbnail_folder"]

SIZES = (256, 512)
# A lossless picture has to be unpacked whole, at 4 bytes a pixel: one at a time in a process.
_unpacking = threading.Lock()


def thumbnail_folder() -> Path:
    """Return the folder in which thumbnails lie as `ab/<sha256>-<size>.webp`."""
    return Path(settings.DATA_DIR) / "thumbnails"


def thumbnail(image: Image, size: int) -> Path:
    """Return the WebP file of a picture's thumbnail, `size` pixels along its longer edge.

    Raises ValueError for a size that is not in SIZES or a picture that can't be unpacked, and
    FileNotFoundError if the picture's file is gone.
    """
    if size not in SIZES:
        raise ValueError(f"there are thumbnails of {SIZES} pixels only")
    target = thumbnail_folder() / image.sha256[:2] / f"{image.sha256}-{size}.webp"
    if not target.is_file():
        with _unpacking:
            if not target.is_file():  # another thread may have made it meanwhile
                write_whole(target, _shrunk(image_store().path(image.sha256), size))
    return target


def _shrunk(source: Path, size: int) -> bytes:
    from PIL import Image as Pillow  # slow to import, and most processes make no thumbnail

    try:
        with Pillow.open(source, formats=["PNG", "JPEG", "WEBP"]) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError("the picture is too large for a thumbnail")
            picture.draft("RGB", (size, size))
            picture.thumbnail((size, size), reducing_gap=2.0)
            shown = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    except FileNotFoundError:
        raise
    except Exception as error:  # a broken file may raise anything at all in the decoders
        raise ValueError("the picture can't be unpacked") from error
    stream = io.BytesIO()
    shown.save(stream, "WEBP", quality=80)
    return stream.getvalue()
