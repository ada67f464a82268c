"""The page that leads to the extension, the key for it, and where a job came from."""

import re

import pytest

from apikeys.models import ApiKey
from tests import factories
from tests.pages.test_job_page_faults import words_of

pytestmark = pytest.mark.django_db
PAGE = "/extensions/forge/"


def test_the_servers_page_leads_to_it(folder, browser, settings, tmp_path):
    assert f'href="{PAGE}"' in browser.get("/servers").text
    settings.EXTENSIONS_DIR = tmp_path / "nowhere"
    assert PAGE not in browser.get("/servers").text


def test_it_says_what_to_do_and_offers_the_file(folder, browser):
    text = browser.get(PAGE).text
    assert 'href="/extensions/forge.zip"' in text
    words = words_of(text)
    assert "Download version 1.2.3" in words
    assert "Unzip it into Forge’s folder extensions" in words
    assert "unzip it over the old folder" in words
    assert "http://testserver" in words


def test_an_address_of_this_computer_alone_is_warned_of(folder, browser, settings):
    settings.ALLOWED_HOSTS = ["*"]
    warning = "This address works on this computer only"
    assert warning in browser.get(PAGE, headers={"Host": "127.0.0.1:8000"}).text
    assert warning not in browser.get(PAGE, headers={"Host": "192.168.1.20:8000"}).text


def test_an_installation_without_it_offers_no_file(browser, settings, tmp_path):
    settings.EXTENSIONS_DIR = tmp_path
    text = browser.get(PAGE).text
    assert "forge.zip" not in text
    assert "there is nothing to download" in text


def test_it_is_for_those_who_are_signed_in(client, browser):
    answer = client.get(PAGE)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"/sign-in?next={PAGE}")
    assert browser.get("/extensions/unknown/").status_code == 404


def _checked(text: str) -> set[str]:
    return set(re.findall(r'name="scopes" value="([a-z:]+)" checked', text))


def test_its_key_is_asked_for_with_what_it_needs(folder, browser, member):
    (link,) = re.findall(r'href="(/keys/new\?[^"]+)"', browser.get(PAGE).text)
    text = browser.get(link.replace("&amp;", "&")).text
    needs = {"jobs:read", "jobs:write", "servers:read", "images:read"}
    assert _checked(text) == needs
    assert 'value="Forge extension"' in text
    form = {"name": "Forge extension", "scopes": sorted(needs), "rate_limit": "120"}
    assert browser.post(link.replace("&amp;", "&"), form).status_code == 201
    assert set(ApiKey.objects.get().scopes) == needs


@pytest.mark.parametrize("query", ["", "for=admin", "for=extension&scopes=admin", "scopes=admin"])
def test_no_link_gives_a_key_more_than_its_purpose_needs(staff_browser, query):
    chosen = _checked(staff_browser.get(f"/keys/new?{query}").text)
    assert chosen
    assert not chosen & {"admin", "jobs:all", "models:write", "images:write"}


def test_a_job_says_which_extension_sent_it(browser, member):
    key, _ = factories.key(member, name="the studio's PC")
    job = factories.job(owner=member, api_key=key, source_info="forge-extension/1.0.0 f3a9c1")
    words = words_of(browser.get(f"/jobs/{job.pk}").text)
    assert "Sent from Forge extension 1.0.0, the studio's PC" in words
    assert "through Forge extension 1.0.0" in words
    assert "f3a9c1" not in words


def test_a_key_that_is_called_after_the_extension_is_not_named_again(browser, member):
    key, _ = factories.key(member, name="Forge extension")
    job = factories.job(owner=member, api_key=key, source_info="forge-extension/1.0.0 f3a9c1")
    words = words_of(browser.get(f"/jobs/{job.pk}").text)
    assert "Sent from Forge extension 1.0.0 Sent" in words


@pytest.mark.parametrize("source", ["curl", "my-extension/1.2 abc", "forge-extension", "a/<b>"])
def test_other_programs_are_called_what_they_call_themselves(browser, member, source):
    job = factories.job(owner=member, source_info=source)
    assert f"Sent from {source}" in words_of(browser.get(f"/jobs/{job.pk}").text)
