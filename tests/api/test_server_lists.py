"""What the servers have, as one list of each kind: checkpoints, LoRAs, samplers and so on."""

import time

import pytest
from django.utils import timezone

from dispatch import inventory
from dispatch.dispatchers.base import Address
from dispatch.dispatchers.forge import ForgeDispatcher
from dispatch.fakes.forge import FakeForge
from dispatch.inventory import ServerInventory
from dispatch.models import Inventory
from models_catalog.resolve import KnownModel
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
FILES = ("checkpoints", "loras", "upscalers", "vaes", "embeddings")
ABILITIES = ("samplers", "schedulers")


def having(alias, *, enabled=True, **lists):
    server = factories.server(alias, url=f"http://127.0.0.1:9/{alias}", enabled=enabled)
    inventory.save(server, ServerInventory(**lists))
    return server


def listed(api, kind, **query):
    answer = api.get(f"/api/v1/{kind}", query)
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert set(body) == {"success", "count", kind}
    assert (body["success"], body["count"]) == (True, len(body[kind]))
    return body[kind]


@pytest.mark.parametrize("kind", [k for k in FILES + ABILITIES if k not in ("checkpoints", "vaes")])
def test_a_list_names_each_thing_once_with_its_servers(api, kind):
    having("b", **{kind: ("one", "two")})
    having("a", **{kind: ("three", "two")})
    assert listed(api, kind) == [
        {"name": "one", "servers": ["b"]},
        {"name": "two", "servers": ["b", "a"]},
        {"name": "three", "servers": ["a"]},
    ]


def test_a_name_is_one_whatever_its_slash_and_case(api):
    having("linux", embeddings=("hands/Kind", "b"))
    having("windows", embeddings=("hands\\kind",))
    assert listed(api, "embeddings") == [
        {"name": "hands/Kind", "servers": ["linux", "windows"]},
        {"name": "b", "servers": ["linux"]},
    ]


def test_a_checkpoint_is_one_whatever_its_slash_case_and_hash(api):
    full = "ab" * 32
    having("linux", checkpoints=(KnownModel("Pony/x.safetensors", "0123456789", full),))
    having("windows", checkpoints=(KnownModel("pony\\X.safetensors [0123456789]"),))
    assert listed(api, "checkpoints") == [
        {
            "name": "Pony/x.safetensors",
            "servers": ["linux", "windows"],
            "hash": "0123456789",
            "sha256": full,
        }
    ]


def test_a_hash_that_is_known_later_is_shown(api):
    having("a", checkpoints=(KnownModel("x.safetensors"),))
    having("b", checkpoints=(KnownModel("x.safetensors", "0123456789", "ab" * 32),))
    (entry,) = listed(api, "checkpoints")
    assert (entry["hash"], entry["sha256"]) == ("0123456789", "ab" * 32)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (KnownModel("x", "0123456789", "ab" * 32), KnownModel("x", "1123456789", "cd" * 32)),
        (KnownModel("x", "0123456789"), KnownModel("x", "1123456789")),
    ],
)
def test_files_of_one_name_that_differ_are_two_entries(api, one, other):
    having("a", checkpoints=(one,))
    having("b", checkpoints=(other,))
    having("c", checkpoints=(other,))
    assert [entry["servers"] for entry in listed(api, "checkpoints")] == [["a"], ["b", "c"]]


def test_text_encoders_are_no_vaes(api):
    having("a", modules=("ae.safetensors", "t5.safetensors"), text_encoders=("t5.safetensors",))
    assert listed(api, "vaes") == [{"name": "ae.safetensors", "servers": ["a"]}]


def test_disabled_servers_are_left_out_unless_named(api):
    having("a", loras=("x",))
    having("off", enabled=False, loras=("y",))
    factories.server("new", url="http://127.0.0.1:9/new")
    assert [entry["name"] for entry in listed(api, "loras")] == ["x"]
    assert listed(api, "loras", server="off") == [{"name": "y", "servers": ["off"]}]
    assert listed(api, "loras", server="a") == [{"name": "x", "servers": ["a"]}]
    assert listed(api, "loras", server="new") == []


@pytest.mark.parametrize("alias", ["nowhere", "A", "a\x00b", "x" * 5000])
@pytest.mark.parametrize("kind", FILES + ABILITIES)
def test_an_unknown_server_is_a_404(api, kind, alias):
    having("a")
    answer = api.get(f"/api/v1/{kind}", {"server": alias})
    assert (answer.status_code, answer.json()["error"]) == (404, "server_not_found")


@pytest.mark.parametrize(
    ("kind", "scope"),
    [*((kind, "models:read") for kind in FILES), *((kind, "servers:read") for kind in ABILITIES)],
)
def test_files_need_the_scope_of_models_and_abilities_that_of_servers(db, kind, scope):
    for held in ("models:read", "servers:read"):
        answer = Api(factories.key(scopes=[held])[1]).get(f"/api/v1/{kind}")
        assert answer.status_code == (200 if held == scope else 403)
    assert Api().get(f"/api/v1/{kind}").status_code == 401


def test_what_was_stored_before_a_list_existed_is_read(api):
    server = factories.server("a")
    old = {"loras": ["x"], "modules": ["ae"]}
    Inventory.objects.create(server=server, data=old, updated_at=timezone.now())
    assert listed(api, "embeddings") == []
    assert listed(api, "vaes") == [{"name": "ae", "servers": ["a"]}]


def test_five_thousand_loras_on_four_servers_take_few_queries(api, django_assert_max_num_queries):
    names = tuple(f"folder_{n % 50}/lora number {n:05}" for n in range(5000))
    for alias in "abcd":
        having(alias, loras=names)
    assert len(listed(api, "loras")) == 5000
    with django_assert_max_num_queries(8):  # two for the list, the rest for the key
        began = time.process_time()
        listed(api, "loras")
        # 0.07 s here; a look-up for each name would take minutes.
        assert time.process_time() - began < 5


def test_a_server_is_asked_for_its_embeddings():
    fake = FakeForge(seconds=0.0, embeddings=("kind_hands",)).start()
    dispatcher = ForgeDispatcher(Address(fake.url, "", ""))
    try:
        assert dispatcher.inventory().embeddings == ("kind_hands",)
    finally:
        dispatcher.close()
        fake.stop()


class Lists:
    """A client that has only what a test gives; the other lists are empty."""

    def __init__(self, **lists):
        self.lists = lists

    def get(self, path, seconds):
        name = path.rpartition("/")[2]
        objects = {"options": {}, "scripts": {}, "embeddings": {}}
        return self.lists.get(name.replace("-", "_"), objects.get(name, []))


def test_modules_in_a_folder_of_text_encoders_are_text_encoders():
    from dispatch.dispatchers.forge import inventory as forge

    modules = [
        {"model_name": "ae.safetensors", "filename": "/srv/models/VAE/ae.safetensors"},
        {"model_name": "t5.safetensors", "filename": "C:\\models\\text_encoder\\t5.safetensors"},
        {"model_name": "clip.safetensors", "filename": "/srv/VAE/clip.safetensors"},
        {"model_name": "odd"},
    ]
    found = forge.read(
        Lists(sd_modules=modules, embeddings={"loaded": {"a": {}}, "skipped": {"b": {}}})
    )
    assert found.modules == ("ae.safetensors", "t5.safetensors", "clip.safetensors", "odd")
    assert found.text_encoders == ("t5.safetensors",)
    assert found.embeddings == ("a", "b")
