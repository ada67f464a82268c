"""Pages: what belongs to somebody else is not there for a member, by no address."""

import re
import uuid

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from mobilesd.http.views import ApiView
from tests import factories
from tests.theirs import MARK, stored, theirs

pytestmark = pytest.mark.django_db


def _pages(patterns=None, prefix="") -> list[str]:
    """Return the path template of each page that is routed, but those of the administration."""
    found = []
    for pattern in patterns if patterns is not None else get_resolver().url_patterns:
        path = prefix + str(pattern.pattern)
        if path.startswith(("admin/", "api/", "^")):
            continue
        if isinstance(pattern, URLResolver):
            found += _pages(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            view = getattr(pattern.callback, "cls", None)
            if not (isinstance(view, type) and issubclass(view, ApiView)):
                found.append(path)
    return sorted(set(found))


PAGES = _pages()
ABOUT_ONE = [path for path in PAGES if "<uuid:" in path or "<str:prefix>" in path]
LISTS = [path for path in PAGES if "<" not in path]


@pytest.fixture
def rows(data_dir):
    return theirs()


@pytest.fixture
def stranger():
    page = Client()
    page.force_login(factories.user("stranger"))
    return page


def _filled(template: str, ids) -> str:
    nothing = uuid.uuid4()
    return "/" + re.sub(
        r"<(uuid|str):(\w+)>",
        lambda found: str(ids.get(found[2], nothing if found[1] == "uuid" else "nothing0")),
        template,
    )


def test_the_walk_knows_the_pages(rows):
    named = {name for path in ABOUT_ONE for name in re.findall(r"<\w+:(\w+)>", path)}
    assert named <= {"job_id", "image_id"}.union(*(each.ids for each in rows))
    assert len(ABOUT_ONE) >= 30
    assert {"", "keys", "webhooks", "notifications", "presets/", "queue/ended"} <= set(LISTS)


@pytest.mark.parametrize("template", ABOUT_ONE)
def test_what_belongs_to_somebody_else_is_not_there(template, rows, stranger):
    before, named = stored(rows), set(re.findall(r"<\w+:(\w+)>", template))
    answered = set()
    for send in (stranger.get, stranger.post):
        form = {"to": "off", "parent": str(uuid.uuid4())}  # a key's switch asks for it first
        nothing = send(_filled(template, {}), form).status_code
        answered.add(nothing)
        assert nothing in (404, 405)
        for each in rows:
            if not named <= {"job_id", "image_id", *each.ids}:
                continue
            for ids in each.each():
                answer = send(_filled(template, ids), form)
                assert answer.status_code == nothing, each.whose
                assert MARK not in answer.text
    assert 404 in answered
    assert stored(rows) == before


@pytest.mark.parametrize("template", LISTS)
def test_no_page_shows_anything_of_others(template, rows, stranger):
    for query in ({}, {"q": MARK}, {"job": str(rows[0].jobs[0].pk)}):
        answer = stranger.get(f"/{template}", query)
        text = answer.text if not answer.streaming else ""
        for value in query.values():
            text = text.replace(value, "")
        for each in rows:
            for secret in each.secrets:
                assert secret not in text, (each.whose, query)
