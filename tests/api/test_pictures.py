"""Pictures over REST: the list, one picture, its file, its thumbnail, a running job's preview."""

import asyncio
import hashlib
import io

import pytest
from django.test import AsyncClient
from PIL import Image as Pillow

from gallery.files import image_store
from jobs.choices import Status
from tests import factories

pytestmark = pytest.mark.django_db
IMAGES = "/api/v1/gallery/images"
FIELDS = {
    *("id", "filename", "url", "thumbnail_url", "width", "height", "bytes", "sha256", "created"),
    *("mobilesd_job_id", "server_alias", "app_type", "positive_prompt", "negative_prompt"),
    *("checkpoint_name", "loras", "seed", "parameters", "favourite", "rating", "tags", "albums"),
}


@pytest.fixture
def image(member):
    job = factories.job(Status.COMPLETED, owner=member)
    params = {"positive_prompt": "a cat", "width": 1024}
    content = factories.png(1024, 512)
    return factories.image(job, content, seed="18446744073709551615", parameters=params)


def test_a_picture_has_the_fields_of_the_contract(api, image):
    listed = api.get(IMAGES).json()["images"]
    shown = api.get(f"{IMAGES}/{image.pk}").json()
    assert listed == [shown]
    assert set(shown) >= FIELDS
    assert shown["seed"] == 2**64 - 1
    assert shown["positive_prompt"] == "a cat"


def test_the_list_leaves_out_rejected_pictures_and_filters(api, image, member):
    other = factories.image(factories.job(Status.COMPLETED, owner=member), server_alias="b")
    factories.image(image.job, rejected=True)
    assert api.get(IMAGES).json()["total"] == 2
    assert api.get(IMAGES, {"job": str(image.job_id)}).json()["total"] == 1
    assert api.get(IMAGES, {"server": "b"}).json()["images"][0]["id"] == str(other.pk)
    assert api.get(IMAGES, {"from": other.created_at.isoformat()}).json()["total"] == 1
    first = api.get(IMAGES, {"limit": 1}).json()
    second = api.get(IMAGES, {"limit": 1, "cursor": first["next_cursor"]}).json()
    assert first["images"] + second["images"] == api.get(IMAGES).json()["images"]


@pytest.mark.parametrize("query", [{"job": "x"}, {"from": "x"}, {"q": "cat"}, {"limit": "900"}])
def test_a_bad_question_is_named(api, query):
    answer = api.get(IMAGES, query)
    assert answer.status_code == 400
    assert set(answer.json()["details"]["fields"]) == set(query)


def test_the_file_comes_byte_for_byte_and_may_be_kept(api, image):
    answer = api.get(f"{IMAGES}/{image.pk}/file")
    assert answer.status_code == 200
    assert hashlib.sha256(answer.getvalue()).hexdigest() == image.sha256
    headers = answer.headers
    assert headers["Content-Type"] == "image/png"
    assert headers["Content-Length"] == str(image.bytes)
    assert headers["Content-Disposition"] == f'inline; filename="{image.filename}"'
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["ETag"] == f'"{image.sha256}"'
    assert headers["Cache-Control"] == "private, max-age=31536000, immutable"
    again = api.get(f"{IMAGES}/{image.pk}/file", headers={"If-None-Match": headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = api.head(f"{IMAGES}/{image.pk}/file")
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(image.bytes))


@pytest.mark.parametrize("accept", ["image/png", "image/avif,image/webp,*/*;q=0.8", "*/*"])
def test_a_file_comes_whatever_is_accepted(api, image, accept):
    answer = api.get(f"{IMAGES}/{image.pk}/file", headers={"Accept": accept})
    assert answer.headers["Content-Type"] == "image/png"
    missing = api.get(f"{IMAGES}/{image.job_id}/file", headers={"Accept": accept})
    assert missing.json()["error"] == "image_not_found"


@pytest.mark.django_db(transaction=True)
def test_an_asgi_server_gets_the_file_in_chunks(member):
    _, token = factories.key(member)
    content = factories.png(8, 8) + bytes(3 * 1024 * 1024)
    image = factories.image(factories.job(Status.COMPLETED, owner=member), content)

    async def read() -> tuple[int, bytes]:
        headers = {"Authorization": f"Api-Key {token}"}
        answer = await AsyncClient().get(f"{IMAGES}/{image.pk}/file", headers=headers)
        assert answer.is_async, "Django would read the whole file before the first byte"
        parts = [part async for part in answer]
        return len(parts), b"".join(parts)

    count, whole = asyncio.run(read())
    assert whole == content
    assert count > 3


@pytest.mark.parametrize("size", [256, 512])
def test_a_thumbnail_has_the_size_that_was_asked_for(api, image, size):
    answer = api.get(f"{IMAGES}/{image.pk}/thumbnail", {"size": size})
    assert answer.headers["Content-Type"] == "image/webp"
    assert Pillow.open(io.BytesIO(answer.getvalue())).size == (size, size // 2)


def test_only_known_thumbnail_sizes(api, image):
    answer = api.get(f"{IMAGES}/{image.pk}/thumbnail", {"size": "9999"})
    assert (answer.status_code, "size" in answer.json()["details"]["fields"]) == (400, True)


@pytest.mark.parametrize("what", ["file", "thumbnail"])
def test_a_lost_file_is_a_404_that_says_so(api, image, what):
    image_store().path(image.sha256).unlink()
    answer = api.get(f"{IMAGES}/{image.pk}/{what}")
    assert answer.status_code == 404
    assert "file" in answer.json()["message"]


def test_a_file_that_can_not_be_shrunk_is_a_404(api, member):
    broken = factories.image(factories.job(Status.COMPLETED, owner=member), b"no picture")
    assert api.get(f"{IMAGES}/{broken.pk}/thumbnail").status_code == 404


def test_the_newest_preview_of_a_running_job_is_shown(api, member, data_dir):
    job = factories.job(Status.PROCESSING, owner=member)
    path = f"/jobs/{job.pk}/preview"
    assert api.get(path).json()["error"] == "image_not_found"
    folder = data_dir / "previews"
    folder.mkdir()
    (folder / f"{job.pk}.jpg").write_bytes(b"\xff\xd8\xffold")
    answer = api.get(path)
    assert (answer.headers["Content-Type"], answer.getvalue()) == ("image/jpeg", b"\xff\xd8\xffold")
    assert answer.headers["Cache-Control"] == "private, no-cache"
    unchanged = api.get(path, headers={"If-None-Match": answer.headers["ETag"]})
    assert unchanged.status_code == 304
    (folder / f"{job.pk}.png").write_bytes(factories.png())
    assert api.get(path).headers["Content-Type"] == "image/png"
