"""Each wrong field of the New page gets its message beside it, and what was typed stays."""

import html

import pytest

from jobs.models import Job
from tests import factories
from tests.pages.conftest import HTMX
from tests.pages.test_new_page import TYPED, _upload

LONG = "x" * 2_000
WRONG = [
    ("prompt", "x" * 70_000, "The prompt may have 64 kB"),
    ("negative", "x" * 70_000, "The negative prompt may have 64 kB"),
    ("checkpoint", LONG, "The checkpoint may have"),
    ("width", "511", "The width must be a multiple of 8"),
    ("height", "tall", "The height must be a whole number"),
    ("steps", "-3", "Steps must be a whole number"),
    ("cfg", "seven", "CFG scale must be a number"),
    ("sampler", LONG, "The sampler may have"),
    ("scheduler", LONG, "The scheduler may have"),
    ("seed", "lucky", "The seed must be"),
    ("count", "0", "The number of pictures must be"),
    ("server", "nowhere", "The server names no server"),
    ("denoising", "1.5", "Denoising must be"),
]


@pytest.fixture(autouse=True)
def server(db):
    return factories.server("gpu")


def _fields(name, value):
    picture = {"init_file": _upload(factories.png(64, 64))} if name == "denoising" else {}
    return {**TYPED, name: value, **picture}


def _said(page, name):
    _, found, rest = page.partition(f'id="error-{name}"')
    assert found, name
    return html.unescape(rest.partition("</p>")[0])


@pytest.mark.parametrize(("name", "value", "words"), WRONG, ids=[name for name, *_ in WRONG])
def test_the_message_stands_at_its_field_and_at_no_other(browser, name, value, words):
    answer = browser.post("/new", _fields(name, value), headers=HTMX)
    assert answer.status_code == 422
    assert words in _said(answer.text, name)
    others = [other for other, *_ in WRONG if other != name]
    assert all(_said(answer.text, other).endswith(">") for other in others)
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [row for row in WRONG if row[0] != "server"],
    ids=[name for name, *_ in WRONG if name != "server"],
)
def test_without_scripts_what_was_typed_stays_with_its_message(browser, name, value, words):
    answer = browser.post("/new", _fields(name, value))
    assert answer.status_code == 422
    assert words in _said(answer.text, name)
    if name in ("prompt", "negative"):
        assert f">{value}</textarea>" in answer.text
    elif name in ("checkpoint", "sampler", "scheduler"):
        assert f'<option value="{value}" selected>' in answer.text
    else:
        assert f'name="{name}"' in answer.text
        field = answer.text.partition(f'name="{name}"')[2].partition(">")[0]
        assert f'value="{value}"' in field
    assert ">a lighthouse</textarea>" in answer.text or name == "prompt"


def test_several_wrong_fields_are_all_told(browser):
    wrong = {"width": "7", "steps": "x", "cfg": "y"}
    answer = browser.post("/new", {**TYPED, **wrong}, headers=HTMX)
    assert all("must be" in _said(answer.text, name) for name in wrong)


def test_a_wrong_weight_is_told_at_the_list_of_loras(browser):
    lora = {"lora_name": "grain", "lora_weight": "heavy"}
    page = browser.post("/new", {**TYPED, **lora}).text
    assert "weight" in _said(page, "loras")
    assert 'value="heavy"' in page


def test_a_picture_that_is_gone_is_told_where_it_was_chosen(browser):
    gone = {"init_image": "00000000-0000-0000-0000-000000000007"}
    answer = browser.post("/new", {**TYPED, **gone}, headers=HTMX)
    assert "The picture to start from is not there any more." in _said(answer.text, "init")
    assert not Job.objects.exists()
