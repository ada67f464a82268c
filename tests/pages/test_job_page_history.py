"""What the page of a job tells of its past, of what differs, and of the log."""

import json

import pytest
from django.utils import timezone

from apikeys.models import Access
from jobs.choices import Outcome, Status
from tests import factories
from tests.pages.conftest import HTMX
from tests.pages.test_job_page_faults import words_of

INFOTEXT = (
    "a lighthouse\nSteps: 4, Sampler: Euler, Schedule type: Simple, CFG scale: 7, Seed: 2,"
    " Size: 512x512, Model: other, Clip skip: 2"
)
PARAMS = {
    "positive_prompt": "a lighthouse",
    "width": 512,
    "height": 768,
    "steps": 4,
    "seed": 1,
    "sampler_name": "DPM++ 2M",
    "scheduler": "Karras",
    "cfg_scale": 7.0,
    "override_settings": {"CLIP_stop_at_last_layers": 1},
}


def shown(browser, job) -> str:
    return words_of(browser.get(f"/jobs/{job.pk}").text)


def test_it_says_who_sent_it_from_where_with_which_key(browser, member):
    key, _ = factories.key(member, name="phone")
    job = factories.job(owner=member, api_key=key, source_info="curl", request_id="req-1")
    Access.objects.create(
        at=job.created_at,
        method="POST",
        route="/api/v2/generate",
        status=202,
        milliseconds=1,
        address="10.1.2.3",
        request_id="req-1",
    )
    text = shown(browser, job)
    assert (
        f"Submitted by ben with the key “phone” ({key.prefix}) through curl from 10.1.2.3." in text
    )
    assert "req-1" in text


def test_who_cancelled_it_is_named(browser, member, staff_browser):
    job = factories.job(owner=member)
    staff_browser.post(f"/jobs/{job.pk}/cancel")
    assert "Cancelled by anna." in shown(browser, job)


def test_asked_and_done_stand_side_by_side(browser, member):
    job = factories.job(
        Status.COMPLETED,
        owner=member,
        generation_params=PARAMS,
        checkpoint="sub/nice.safetensors",
        warnings=["The server did not use the LoRA grain."],
        images_wanted=2,
    )
    factories.attempt(
        job, ended_at=timezone.now(), outcome=Outcome.COMPLETED, measures=["A tiled VAE was used."]
    )
    factories.image(job, infotext=INFOTEXT, checkpoint="other.safetensors")
    text = shown(browser, job)
    for words in (
        "Not as asked",
        "Checkpoint sub/nice.safetensors other",
        "Sampler DPM++ 2M Euler",
        "Schedule type Karras Simple",
        "Seed 1 2",
        "Size 512 × 768 512 × 512",
        "Clip skip (override setting CLIP_stop_at_last_layers) 1 2",
        "The server did not use the LoRA grain.",
        "A tiled VAE was used.",
        "2 pictures were asked for. The server made 1.",
        "Picture 1 is all of one colour.",
    ):
        assert words in text
    assert "Steps 4 4" not in text


@pytest.mark.parametrize(
    ("asked", "done"),
    [
        ({"sampler_name": "DPM++ 2M Karras"}, "Sampler: DPM++ 2M, Schedule type: Karras"),
        ({"sampler_name": "k_euler_a"}, "Sampler: Euler a, Seed: 1"),
        ({"sampler_name": "dpmpp_2m"}, "Sampler: DPM++ 2M, Seed: 1"),
        ({"scheduler": "Automatic"}, "Schedule type: Karras, Seed: 1"),
        ({"cfg_scale": 7.0}, "CFG scale: 7, Seed: 1"),
        ({"seed": -1}, "Seed: 77, Steps: 4"),
        ({"seed": "no number"}, "Seed: 77, Steps: 4"),
    ],
)
def test_what_means_the_same_is_no_difference(browser, member, asked, done):
    job = factories.job(Status.COMPLETED, owner=member, generation_params=asked)
    factories.image(job, factories_noise(), infotext=f"a\nSteps: 4, {done}")
    assert "Not as asked" not in shown(browser, job)


def factories_noise() -> bytes:
    """Return a picture with more than one colour."""
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.linear_gradient("L").save(stream, "PNG")
    return stream.getvalue()


def test_a_picture_whose_file_is_gone_breaks_nothing(browser, member, data_dir):
    job = factories.job(Status.COMPLETED, owner=member)
    factories.image(job, infotext=INFOTEXT)
    for path in (data_dir / "images").rglob("*.*"):
        path.unlink()
    assert browser.get(f"/jobs/{job.pk}").status_code == 200


def test_parameters_are_copied_as_json_and_as_infotext(browser, member):
    job = factories.job(
        owner=member,
        generation_params={
            **PARAMS,
            "init_images": [{"$input": "ab" * 32, "mime": "image/png", "bytes": 5}],
        },
    )
    page = browser.get(f"/jobs/{job.pk}").text
    assert "&quot;sampler_name&quot;: &quot;DPM++ 2M&quot;" in page
    assert "abab" not in page
    assert "Steps: 4, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.0, Seed: 1" in page
    assert "Size: 512x768" in page


def test_a_waiting_job_says_why_at_the_end_of_its_past(browser, member):
    job = factories.job(owner=member, app_type="forge")
    text = shown(browser, job)
    assert "Now" in text[text.index("What happened") :]


# --- The log ----------------------------------------------------------------------------------


def logged(folder, **line):
    path = folder / "logs" / "dispatch.log"
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as stream:
        stream.write(json.dumps({"at": "2026-01-01T10:00:00.0Z", "level": "info", **line}) + "\n")


def test_staff_read_the_log_lines_of_the_job(staff_browser, data_dir):
    job = factories.job(request_id="req-1")
    logged(data_dir, event="asked", request_id="req-1")
    logged(data_dir, event="sent <b>", job=str(job.pk), ms=5, exception="ValueError: x")
    logged(data_dir, event="of another", request_id="req-1", job="other")
    part = staff_browser.get(f"/jobs/{job.pk}/log", headers=HTMX).text
    assert "asked" in part and "sent &lt;b&gt;" in part and "ms=5" in part
    assert "<pre>ValueError: x</pre>" in part
    assert "of another" not in part
    assert "last 200" not in part


def test_the_newest_200_are_shown(staff_browser, data_dir):
    job = factories.job()
    for number in range(201):
        logged(data_dir, event=f"line {number}.", job=str(job.pk), at=f"2026-01-01T{number:06}")
    part = staff_browser.get(f"/jobs/{job.pk}/log").text
    assert "The last 200 lines" in part
    assert "line 0." not in part and "line 200." in part


def test_without_lines_the_log_says_so(staff_browser):
    job = factories.job()
    assert "no line about this job" in staff_browser.get(f"/jobs/{job.pk}/log").text


def test_others_get_a_sentence_instead_of_the_log(browser, member, data_dir):
    job = factories.job(owner=member)
    logged(data_dir, event="internal", job=str(job.pk))
    part = browser.get(f"/jobs/{job.pk}/log").text
    assert "internal" not in part
    assert "for staff" in part and str(job.pk) in part


def test_the_log_of_somebody_elses_job_is_not_there(browser, client):
    job = factories.job(owner=factories.user())
    assert browser.get(f"/jobs/{job.pk}/log").status_code == 404
    assert client.get(f"/jobs/{job.pk}/log").status_code == 302
