"""Where messages may go: services of the network, never this machine, and never its files."""

from ipaddress import ip_address

import pytest

from jobs.notifications.addresses import SERVICES, checked_address, sealed_address, service_of
from jobs.notifications.sending import send
from mobilesd.errors import InvalidInput
from tests import factories
from tests.webhooks.receiver import Receiver

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ntfy.sh/topic",
        "ntfys://",
        "syslog://",
        "file:///etc/passwd",
        "exec://ls",
        "dbus://",
        "ntfy://127.0.0.1/topic",
        "gotify://localhost/token",
        "json://[::1]:8000/",
        "json://169.254.169.254/latest",
        "mailto://me:pw@127.0.0.1",
        "tgram://token/chat?template=/etc/passwd",
        "mailtos://me:pw@example.com?pgpkey=/etc/passwd",
        "mailtos://me:pw@example.com?attach=file:///etc/passwd",
        "slack://a/b/c?Template=x",
        "ntfy://host/top ic",
        "ntfy://" + "a" * 1000,
        "json://[::1",
    ],
)
def test_wrong_addresses_are_refused_and_never_repeated(address) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked_address(address)
    if address:
        assert address not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        "ntfys://ntfy.sh/my-topic",
        "ntfy://192.168.1.5/topic",
        "tgram://123456789:abcdefg_hijklmnop/12345",
        "mailtos://me:secret@gmail.com",
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    ],
)
def test_right_ones_are_taken_and_only_the_service_is_told(address) -> None:
    assert checked_address(f" {address} ") == address
    sealed = sealed_address(address)
    assert "secret" not in sealed
    assert service_of(sealed) == SERVICES[address.partition(":")[0]].label


def test_what_apprise_takes_is_known_for_each_service() -> None:
    import apprise

    known = {scheme for p in apprise.Apprise().details()["schemas"] for scheme in _schemes(p)}
    assert set(SERVICES) <= known


def _schemes(plugin):
    return [*(plugin["protocols"] or ()), *(plugin["secure_protocols"] or ())]


def test_a_name_is_judged_by_what_it_leads_to_now() -> None:
    def lies(host, port):
        return [ip_address("93.184.216.34"), ip_address("127.0.0.1")]

    said = send("json://innocent.example/x", "a", "b", resolver=lies)
    assert said.startswith("Nothing is sent there")


def test_nothing_is_sent_to_a_server_of_ours(settings) -> None:
    settings.WEBHOOK_ALLOW_LOCAL = True
    with Receiver() as receiver:
        factories.server(url=receiver.url.removesuffix("/").rsplit("/hook", 1)[0])
        assert "server of this MobileSD" in send(
            receiver.url.replace("http://", "json://"), "a", "b"
        )
        assert not receiver.got


def test_a_redirect_is_not_followed_and_a_status_is_told(settings) -> None:
    settings.WEBHOOK_ALLOW_LOCAL = True
    with Receiver(answer=lambda _: 302) as receiver:
        url = receiver.url.replace("http://", "json://") + "?redirect=yes"
        assert send(url, "a", "b") == "The service answered with status 302."
        assert len(receiver.got) == 1


def test_trouble_is_told_without_any_part_of_the_address(settings) -> None:
    settings.WEBHOOK_ALLOW_LOCAL = True
    with Receiver(answer=lambda _: 401) as receiver:
        port = receiver.url.split(":")[2].split("/")[0]
        said = send(f"gotify://127.0.0.1:{port}/AbCdEfGhIjKlMnO", "a", "b")
    assert said == "The service answered with status 401."
    assert send("gotify://127.0.0.1:1/AbCdEfGhIjKlMnO", "a", "b") == (
        "The service could not be reached."
    )


def test_mail_arrives(settings) -> None:
    from tests.notifications.smtp import MailServer

    settings.WEBHOOK_ALLOW_LOCAL = True
    with MailServer() as mail:
        url = f"mailto://127.0.0.1:{mail.port}?from=me@example.com&to=you@example.com"
        assert send(url, "Job 1 is done", "Its picture is there.") == ""
    [letter] = mail.letters
    assert "Job 1 is done" in letter
    assert "you@example.com" in letter
