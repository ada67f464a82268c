"""Picture files and thumbnails go when no picture names them, and not before."""

import os
import time
from pathlib import Path

import pytest

from gallery.collector import collect_images
from gallery.files import image_store
from gallery.models import Image
from gallery.thumbnails import thumbnail
from mobilesd.storage import GRACE_SECONDS
from tests import factories

pytestmark = pytest.mark.django_db


def age(path: Path) -> None:
    then = time.time() - GRACE_SECONDS - 60
    os.utime(path, (then, then))


def test_a_picture_file_goes_with_the_last_picture_that_shares_it() -> None:
    content = factories.png(16, 16)
    first, second = factories.image(content=content), factories.image(content=content)
    path = image_store().path(first.sha256)
    age(path)
    first.delete()
    assert collect_images() == 0
    assert path.exists()
    second.delete()
    assert collect_images() == 1
    assert not path.exists()


def test_a_file_that_may_belong_to_an_open_transaction_stays() -> None:
    stored = image_store().put(factories.png())
    assert collect_images() == 0
    assert stored.path.exists()


def test_thumbnails_go_with_their_picture(data_dir: Path) -> None:
    kept, gone = factories.image(content=factories.png(9, 9)), factories.image()
    thumbnails = [thumbnail(kept, 256), thumbnail(gone, 256), thumbnail(gone, 512)]
    leftover = thumbnails[1].with_name(".half-written.tmp")
    leftover.write_bytes(b"half")
    age(leftover)
    Image.objects.filter(pk=gone.pk).delete()
    collect_images()
    assert [path.exists() for path in thumbnails] == [True, False, False]
    assert not leftover.exists()


def test_a_gallery_without_pictures_is_no_error(data_dir: Path) -> None:
    assert collect_images() == 0
