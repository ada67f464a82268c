"""Below the least free room new work stops; nothing is lost, and it goes on by itself."""

import base64
import io
from uuid import uuid4

import pytest
from django.urls import reverse
from PIL import Image as PillowImage

from apikeys.actors import SYSTEM
from dispatch.port import DispatchServers
from jobs import services
from jobs.services.orders import Order
from mobilesd import storage
from mobilesd.errors import Problem
from tests import factories

pytestmark = pytest.mark.django_db
MB = 2**20


@pytest.fixture
def room(monkeypatch, settings):
    settings.MIN_FREE_BYTES = 1024 * MB

    def leave(megabytes: int) -> None:
        monkeypatch.setattr(
            storage.shutil, "disk_usage", lambda _: type("Usage", (), {"free": megabytes * MB})
        )

    return leave


def order(**params: object) -> Order:
    return Order(generation_params={"positive_prompt": "a boat", "seed": 1, **params})


def noise() -> bytes:
    stream = io.BytesIO()
    PillowImage.effect_noise((128, 128), 90).save(stream, "PNG")
    return stream.getvalue()


def picture() -> str:
    return base64.b64encode(noise()).decode()


def test_a_job_with_a_picture_is_refused_with_a_code_of_its_own(room, data_dir):
    room(900)
    with pytest.raises(Problem) as refused:
        services.submit(order(init_images=[picture()]), SYSTEM)
    assert refused.value.error == "storage_low"
    assert refused.value.status == 503
    assert not list((data_dir / "inputs").rglob("*"))


def test_a_small_job_is_taken_until_only_a_quarter_is_left(room):
    room(900)
    assert services.submit(order(), SYSTEM).created
    room(200)
    with pytest.raises(Problem) as refused:
        services.submit(order(), SYSTEM)
    assert refused.value.error == "storage_low"


def test_work_goes_on_by_itself_once_there_is_room(room):
    room(200)
    with pytest.raises(Problem):
        services.submit(order(), SYSTEM)
    room(5000)
    assert services.submit(order(), SYSTEM).created


def test_a_lane_begins_no_job_and_the_job_says_why(room):
    from dispatch.lanes.claims import Claimer
    from dispatch.lease import take

    server = factories.server()
    job = factories.job()
    lease = take(server.pk)
    assert lease is not None
    claimer = Claimer(lease, server.alias, None, None)  # type: ignore[arg-type]
    room(5000)
    assert claimer.next_candidate() is not None
    room(900)
    assert claimer.next_candidate() is None
    assert DispatchServers().waiting_reasons([job])[job.pk].code == "storage_low"


def test_everybody_is_told(room, client):
    client.force_login(factories.user())
    room(5000)
    assert "nearly full" not in client.get(reverse("queue")).text
    room(900)
    assert "nearly full" in client.get(reverse("queue")).text
    assert "nearly full" in client.get("/healthz").json()["warnings"][0]


def test_what_is_not_there_has_room(settings, tmp_path):
    settings.DATA_DIR = tmp_path / str(uuid4())
    assert storage.has_room()
