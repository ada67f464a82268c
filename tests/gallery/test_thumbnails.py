"""Thumbnails are made once, when first asked for, from whatever the gallery keeps."""

import io
import os
import threading
from pathlib import Path

import pytest
from PIL import Image as Pillow

from gallery import thumbnails
from gallery.files import image_store
from gallery.models import Image
from gallery.thumbnails import thumbnail

pytestmark = pytest.mark.django_db


def stored(content: bytes) -> Image:
    file = image_store().put(content)
    return Image(sha256=file.sha256, bytes=file.bytes)


def picture(size: tuple[int, int], kind: str = "PNG", mode: str = "RGB") -> bytes:
    stream = io.BytesIO()
    Pillow.new(mode, size, 1).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("size", [256, 512])
@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "L"), ("JPEG", "RGB"), ("WEBP", "RGB")],
)
def test_makes_a_small_webp_of_the_same_shape(size: int, kind: str, mode: str) -> None:
    image = stored(picture((1024, 768), kind, mode))
    with Pillow.open(thumbnail(image, size)) as small:
        assert small.format == "WEBP"
        assert small.size == (size, size * 3 // 4)


def test_a_small_picture_is_not_blown_up() -> None:
    with Pillow.open(thumbnail(stored(picture((64, 32))), 256)) as small:
        assert small.size == (64, 32)


def test_is_made_once(data_dir: Path) -> None:
    image = stored(picture((600, 600)))
    path = thumbnail(image, 256)
    assert path == data_dir / "thumbnails" / image.sha256[:2] / f"{image.sha256}-256.webp"
    os.utime(path, (1, 1))
    assert thumbnail(image, 256) == path
    assert path.stat().st_mtime == 1


def test_many_who_ask_at_once_get_one_whole_file(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = stored(picture((600, 600)))
    made: list[int] = []
    real = thumbnails._shrunk

    def counted(source: Path, size: int) -> bytes:
        made.append(size)
        return real(source, size)

    monkeypatch.setattr(thumbnails, "_shrunk", counted)
    threads = [threading.Thread(target=thumbnail, args=(image, 256)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [256]
    assert len(list((data_dir / "thumbnails").rglob("*.*"))) == 1


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="pixels only"):
        thumbnail(stored(picture((64, 64))), 300)


def test_a_picture_whose_file_is_gone_is_a_missing_file() -> None:
    image = stored(picture((64, 64)))
    image_store().path(image.sha256).unlink()
    with pytest.raises(FileNotFoundError):
        thumbnail(image, 256)


@pytest.mark.parametrize("content", [b"no picture", picture((600, 600))[:-40]])
def test_a_picture_that_can_not_be_unpacked_leaves_nothing(content: bytes, data_dir: Path) -> None:
    with pytest.raises(ValueError, match="can't be unpacked"):
        thumbnail(stored(content), 256)
    assert not (data_dir / "thumbnails").exists()


def test_a_picture_is_not_unpacked_beyond_the_limit(
    monkeypatch: pytest.MonkeyPatch, data_dir: Path
) -> None:
    monkeypatch.setattr(thumbnails, "MAX_PIXELS", 600 * 600 - 1)
    with pytest.raises(ValueError, match="can't be unpacked"):
        thumbnail(stored(picture((600, 600))), 256)
