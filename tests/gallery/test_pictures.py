"""What a backend sent back is a picture by its own header, or it is refused."""

import io

import pytest
from PIL import Image

from gallery.pictures import inspect
from tests.factories import png


def picture(kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_reads_format_and_size(kind: str) -> None:
    info = inspect(picture(kind))
    assert (info.format, info.width, info.height) == (kind.lower(), 40, 30)


def test_reads_only_the_header() -> None:
    huge = io.BytesIO()
    Image.new("1", (9000, 9000)).save(huge, "PNG")
    info = inspect(huge.getvalue()[:200])
    assert (info.width, info.height) == (9000, 9000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>502 Bad Gateway</html>",
        b"\x89PNG\r\n\x1a\n",
        png()[:20],
        b"\xff\xd8\xff",
        b"RIFF\0\0\0\0WEBP",
        picture("GIF"),
        picture("BMP"),
    ],
)
def test_what_is_no_picture_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^is "):
        inspect(data)


def test_a_header_that_promises_the_moon_is_a_value_error() -> None:
    data = bytearray(png())
    data[16:24] = b"\x7f\xff\xff\xff" * 2
    with pytest.raises(ValueError, match=r"^is "):
        inspect(bytes(data))
