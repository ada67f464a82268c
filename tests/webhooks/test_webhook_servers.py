"""No webhook goes to a registered server: not when it is made, and not when a name turns to it."""

import socket
from ipaddress import ip_address

import pytest

from apikeys.actors import Actor
from jobs.models import Delivery, DeliveryState, Webhook
from jobs.webhooks import services
from jobs.webhooks.servers import is_server
from mobilesd.errors import InvalidInput
from tests import factories
from tests.webhooks.test_webhook_sending import names, send

pytestmark = pytest.mark.django_db(transaction=True)


def addresses(*texts: str):
    return [ip_address(text) for text in texts]


def nothing(host: str, port: int):
    raise socket.gaierror("not known")


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("http://192.168.1.20:7860", "http://192.168.1.20:7860/sdapi/v1/txt2img"),
        ("http://192.168.1.20:7860", "https://192.168.1.20:7860/"),
        ("http://192.168.1.20:7860", "http://[::ffff:192.168.1.20]:7860/"),
        ("http://192.168.1.20:7860", "http://[64:ff9b::192.168.1.20]:7860/"),
        ("http://gpu.lan:7860/base", "http://GPU.lan.:7860/x"),
        ("https://gpu.example", "https://gpu.example/hook"),
        ("http://[fd00::5]:7860", "http://[fd00:0::5]:7860/"),
    ],
)
def test_it_is_refused_when_it_is_made_or_changed(api, server, url):
    factories.server(url=server, enabled=False)
    body = {"url": url, "events": ["*"]}
    refused = api.send("POST", "/api/v2/webhooks", body)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_field_value")
    assert "server of this MobileSD" in refused.json()["details"]["fields"]["url"][0]
    made = api.send("POST", "/api/v2/webhooks", {**body, "url": "http://192.168.1.20:5000/hook"})
    assert made.status_code == 201  # another port of that machine is none of the server's
    path = f"/api/v2/webhooks/{made.json()['webhook']['id']}"
    assert api.send("PATCH", path, {"url": url}).status_code == 400
    assert Webhook.objects.get().url == "http://192.168.1.20:5000/hook"


def test_this_machine_is_the_same_by_all_of_its_addresses(settings, member):
    settings.WEBHOOK_ALLOW_LOCAL = True
    factories.server(url="http://127.0.0.1:7860")
    for host in ("127.0.0.1", "[::1]", "127.3.2.1", "0.0.0.0"):
        with pytest.raises(InvalidInput, match="server of this MobileSD"):
            services.create(Actor.of_user(member), url=f"http://{host}:7860/", events=["*"])


def test_names_are_compared_by_the_addresses_that_are_connected_to(receiver):
    servers = [("gpu.lan", receiver.port)]
    resolver = names(["127.0.0.1"], ["10.0.0.7", "127.0.0.1"])
    url = f"http://hooks.example:{receiver.port}/x"
    outcome = send(url, servers=servers, resolver=resolver)
    assert outcome.error == "There is a server of this MobileSD at that address. Nothing was sent."
    assert receiver.got == []
    assert send(url, servers=servers, resolver=names(["127.0.0.1"], ["10.0.0.7"])).delivered


def test_a_server_whose_name_is_not_known_is_compared_by_it():
    there = [("gpu.lan", 7860)]
    assert is_server("gpu.lan", 7860, addresses("10.0.0.7"), there, nothing)
    assert not is_server("hooks.lan", 7860, addresses("10.0.0.7"), there, nothing)


def test_a_server_that_was_added_later_gets_nothing(receiver, deliver, hook, member):
    webhook = hook(Actor.of_user(member))
    factories.server(url=f"http://127.0.0.1:{receiver.port}")
    services.test(webhook.pk, Actor.of_user(member))
    deliver()
    row = Delivery.objects.get()
    assert (row.state, row.tries, row.last_status) == (DeliveryState.PENDING, 1, None)
    assert "server of this MobileSD" in row.last_error
    assert receiver.got == []
