"""Many jobs of one order, from the New page."""

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from dispatch.models import Inventory
from jobs.choices import Status
from jobs.models import Batch, Job
from tests import factories
from tests.pages.conftest import HTMX
from tests.pages.test_new_page import TYPED

CHECKPOINTS = ("xl/nice.safetensors", "xl/photo/real.safetensors", "sd15/dreamy.safetensors")


@pytest.fixture(autouse=True)
def server(db):
    row = factories.server("gpu")
    data = {
        "checkpoints": [{"name": name} for name in CHECKPOINTS],
        "samplers": ["Euler a", "UniPC"],
        "schedulers": ["Karras"],
    }
    Inventory.objects.create(server=row, data=data, updated_at=timezone.now())
    return row


def _send(browser, **fields):
    return browser.post("/new", {**TYPED, **fields}, headers=HTMX)


def _told(browser, **fields):
    answer = browser.post("/new/count", {**TYPED, **fields}, headers=HTMX)
    assert answer.status_code == 200
    words = re.sub(r"<[^>]+>", "", answer.text.partition('<span id="send-label"')[0])
    return " ".join(words.split()).replace("&#x27;", "'")


def _made(name):
    """Return what each job says of one parameter, in the order of the queue."""
    return [job.generation_params.get(name) for job in Job.objects.order_by("position")]


def _error(answer, field):
    assert answer.status_code == 422
    _, _, rest = answer.text.partition(f'id="error-{field}"')
    text = rest.partition("</p>")[0].partition(">")[2]
    return text.replace("&#x27;", "'").replace("&quot;", '"')


def test_untouched_the_part_makes_one_job(browser):
    _send(browser, quantity="1", seed_variation="random", mode="zip", folder="", many_steps="")
    assert Job.objects.get().batch is None


def test_a_number_makes_so_many_jobs_and_leads_to_their_card(browser, member):
    answer = _send(browser, quantity="3", seed="70")
    batch = Batch.objects.get()
    assert (batch.owner, batch.total) == (member, 3)
    assert answer.headers["HX-Redirect"] == f"/#batch-{batch.pk}"
    assert f'id="batch-{batch.pk}"' in browser.get("/").text
    # Each job makes two pictures, whose seeds count up as well.
    assert _made("seed") == [70, 72, 74]


@pytest.mark.parametrize(
    ("variation", "holds"),
    [
        ("fixed", lambda seeds: seeds == [7, 7, 7]),
        ("incremental", lambda seeds: seeds == [7, 9, 11]),
        ("random", lambda seeds: len(set(seeds)) == 3 and seeds != [7, 9, 11]),
    ],
)
def test_seeds_differ_as_was_chosen(browser, variation, holds):
    _send(browser, quantity="3", seed="7", seed_variation=variation)
    assert holds(_made("seed"))


def test_each_chosen_checkpoint_makes_a_job(browser):
    _send(browser, many_checkpoint=list(CHECKPOINTS[:2]), checkpoint=CHECKPOINTS[2])
    assert _made("checkpoint_name") == list(CHECKPOINTS[:2])


@pytest.mark.parametrize(
    ("folder", "found"),
    [("xl", CHECKPOINTS[:2]), ("xl/photo", CHECKPOINTS[1:2]), ("/", CHECKPOINTS)],
)
def test_a_folder_makes_a_job_of_each_of_its_checkpoints(browser, folder, found):
    page = browser.get("/new").text
    assert f'<option value="{folder}" >' in page
    _send(browser, folder=folder)
    assert _made("checkpoint_name") == list(found)


def test_lists_make_all_combinations(browser):
    _send(browser, many_steps="20, 30", many_cfg="5 7.5", many_sampler=["Euler a", "UniPC"])
    assert _made("sampler_name") == ["Euler a"] * 4 + ["UniPC"] * 4
    assert _made("steps") == [20, 20, 30, 30] * 2
    assert _made("cfg_scale") == [5, 7.5] * 4


def test_lists_go_together_value_by_value(browser):
    _send(browser, many_width="512, 768", many_height="768,512", mode="zip")
    assert list(zip(_made("width"), _made("height"), strict=True)) == [(512, 768), (768, 512)]


def test_a_list_of_denoising_goes_with_a_start_picture(browser):
    assert _error(_send(browser, many_denoising="0.3, 0.6"), "many_denoising") == (
        "Denoising needs a picture to start from."
    )
    picture = SimpleUploadedFile("a.png", factories.png(64, 64), content_type="image/png")
    _send(browser, many_denoising="0.3, 0.6", init_file=picture)
    assert _made("denoising_strength") == [0.3, 0.6]
    assert set(Job.objects.values_list("kind", flat=True)) == {"img2img"}


def test_alternatives_become_jobs_when_that_is_chosen(browser):
    prompt = "a {red|blue} house"
    _send(browser, prompt=prompt)
    assert Job.objects.get().prompt == prompt
    Job.objects.all().delete()
    _send(browser, prompt=prompt, alternatives="1")
    assert _made("positive_prompt") == ["a red house", "a blue house"]


def test_without_braces_the_switch_means_nothing(browser):
    _send(browser, alternatives="1")
    assert Job.objects.get().batch is None


def test_the_first_jobs_run_and_the_rest_waits_for_a_nod(browser):
    _send(browser, quantity="5", run_first="2", batch_name="tries")
    assert list(Job.objects.order_by("position").values_list("held", flat=True)) == (
        [False] * 2 + [True] * 3
    )
    page = browser.get("/").text
    assert "tries" in page
    assert "Run the other 3" in page


def test_a_batch_far_down_is_led_to_all_the_same(browser, member):
    for _ in range(40):
        factories.job(owner=member)
    answer = _send(browser, quantity="2")
    batch = Batch.objects.get()
    address = answer.headers["HX-Redirect"]
    assert address == f"/?shown=41#batch-{batch.pk}"
    assert f'id="batch-{batch.pk}"' in browser.get(address).text


def test_a_doubled_tap_makes_one_batch_and_another_choice_another(browser):
    for _ in range(2):
        assert _send(browser, quantity="3").status_code == 204
    assert Job.objects.count() == 3
    _send(browser, quantity="2")
    assert Job.objects.count() == 5


def test_everything_of_the_order_is_in_each_job(browser):
    _send(browser, quantity="2", server="gpu", priority="2", lane="background")
    for job in Job.objects.all():
        assert (job.target_server_alias, job.priority, job.lane_class) == ("gpu", 2, "background")
        assert job.prompt == "a lighthouse"


# --- What is wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"quantity": "many"}, "quantity", "The number of jobs must be a whole number"),
        ({"quantity": "0"}, "quantity", "The number of jobs must be from 1 to 1000, not 0."),
        ({"quantity": "²"}, "quantity", "The number of jobs must be a whole number"),
        ({"quantity": "600", "many_steps": "1,2"}, "quantity", "make 1200 jobs"),
        ({"quantity": "2", "seed_variation": "up"}, "seed_variation", "How seeds differ must be"),
        ({"folder": "nowhere"}, "folder", "names a folder without checkpoints"),
        ({"folder": "xl", "many_checkpoint": ["a"]}, "folder", "can't be combined with a list"),
        ({"many_steps": "20, lots"}, "many_steps", "Steps must be a whole number"),
        ({"many_width": "512, 13"}, "many_width", "The width must be"),
        ({"many_cfg": "5, -1"}, "many_cfg", "CFG scale must be"),
        ({"many_seed": "1, x"}, "many_seed", "The seed must be"),
        ({"many_steps": "1,2", "many_cfg": "5", "mode": "zip"}, "mode", "different lengths"),
        ({"many_steps": "1,2", "mode": "both"}, "mode", "must be product or zip"),
        ({"quantity": "2", "run_first": "0"}, "run_first", "must be at least 1"),
        ({"quantity": "2", "run_first": "few"}, "run_first", "must be a whole number"),
        ({"batch_name": "x" * 201}, "batch_name", "The name is longer than 200"),
        ({"prompt": "a {red|blue", "alternatives": "1"}, "prompt", "never closed"),
        ({"quantity": "2", "prompt": ""}, "prompt", "Say what the picture should show."),
        ({"quantity": "2", "width": "13"}, "width", "The width must be"),
    ],
)
def test_an_error_stands_at_its_field_and_nothing_is_written(browser, change, field, words):
    assert words in _error(_send(browser, **change), field)
    assert not Job.objects.exists()
    assert not Batch.objects.exists()


def test_without_scripts_what_was_typed_stays(browser):
    typed = {
        "quantity": "4",
        "seed_variation": "random",
        "folder": "xl",
        "many_steps": "20, lots",
        "many_checkpoint": [CHECKPOINTS[2]],
        "mode": "zip",
        "run_first": "2",
        "batch_name": "tries",
        "prompt": "a {red|blue} house",
        "alternatives": "1",
    }
    answer = browser.post("/new", {**TYPED, **typed})
    assert answer.status_code == 422
    page = answer.text
    assert '<details class="part" id="many" open>' in page
    for part in (
        'name="quantity" inputmode="numeric" value="4"',
        '<option value="random" selected>',
        '<option value="xl" selected>',
        'value="20, lots"',
        f'value="{CHECKPOINTS[2]}" data-short="dreamy" checked',
        '<option value="zip" selected>',
        'name="run_first" inputmode="numeric" value="2"',
        'value="tries"',
        'id="alternatives" value="1" checked',
    ):
        assert part in page, part


# --- How many that makes ----------------------------------------------------------------------


def test_untouched_nothing_is_counted(browser):
    assert _told(browser) == ""


def test_the_number_is_told_before_anything_is_sent(browser):
    many = {"many_steps": "20, 30", "quantity": "3", "run_first": "2"}
    assert _told(browser, **many) == "6 jobs, 12 pictures. 4 of them wait for your nod."
    assert not Job.objects.exists()
    _send(browser, **many)
    assert Job.objects.count() == 6
    assert Job.objects.filter(held=True).count() == 4


@pytest.mark.parametrize(
    ("many", "number"),
    [
        ({"folder": "xl", "count": "1"}, 2),
        ({"many_checkpoint": list(CHECKPOINTS), "many_sampler": ["UniPC"], "quantity": "2"}, 6),
        ({"prompt": "{a|b} {c|d}", "negative": "{e|f}", "alternatives": "1"}, 8),
        ({"many_steps": "1,2", "many_cfg": "5,6", "mode": "zip"}, 2),
    ],
)
def test_as_many_are_made_as_were_told(browser, many, number):
    assert _told(browser, **many).startswith(f"{number} jobs")
    _send(browser, **many)
    assert Job.objects.count() == number


@pytest.mark.parametrize(
    ("many", "words"),
    [
        ({"many_steps": "20, lots"}, "Steps must be a whole number"),
        ({"quantity": "5000"}, "The number of jobs must be from 1 to 1000"),
        ({"prompt": "a {red|blue", "alternatives": "1"}, "opens a brace that is never closed"),
        ({"quantity": "2", "width": "13"}, "The width must be"),
        ({"quantity": "2", "server": "nowhere"}, "The server names no server"),
    ],
)
def test_what_is_wrong_is_told_in_place_of_a_number(browser, many, words):
    assert words in _told(browser, **many)


def test_counting_needs_no_prompt_yet(browser):
    assert _told(browser, prompt="", quantity="2", count="1") == "2 jobs."


def test_counting_reads_no_picture(browser, member):
    earlier = factories.job(
        Status.COMPLETED,
        owner=member,
        generation_params={"positive_prompt": "x", "init_images": [{"$input": "0" * 64}]},
    )
    assert _told(browser, quantity="2", count="1", init_job=str(earlier.pk)) == "2 jobs."
