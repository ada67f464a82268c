"""Where the pictures' files are."""

from django.conf import settings

from gallery.models import Image
from mobilesd.storage import ContentStore

__all__ = ["image_store", "read_image"]


def image_store() -> ContentStore:
    """Return the store of the pictures' files."""
    return ContentStore(settings.DATA_DIR / "images")


def read_image(image: Image) -> bytes:
    """Return the file's bytes; raise FileNotFoundError."""
    return image_store().read(image.sha256)
