"""Hires fix needs fields without which Forge answers 500 after the whole first pass."""

import pytest

from dispatch.dispatchers.base import BackendError, ErrorClass

PAGE = {"hr_additional_modules": ["Use same choices"], "hr_upscaler": "Latent"}


def test_hires_fix_gets_what_the_page_would_send(forge):
    answer = forge.run(enable_hr=True, cfg_scale=5.5, hr_scale=2)
    sent = forge.sent
    assert {name: sent[name] for name in PAGE} == PAGE
    assert sent["hr_cfg"] == 5.5, "Forge's own default is 1.0"
    assert sent["denoising_strength"] == 0.7
    assert len(answer.pictures) == 1
    assert "Hires upscaler: Latent" in answer.pictures[0].infotext


def test_hires_fix_without_any_cfg_takes_that_of_the_page(forge):
    assert forge.prepare(enable_hr=True).body["hr_cfg"] == 7.0


def test_what_the_job_says_of_hires_fix_stays(forge):
    said = {
        "hr_additional_modules": [],
        "hr_upscaler": "R-ESRGAN 4x+",
        "hr_cfg": 2,
        "denoising_strength": 0.3,
    }
    body = forge.prepare(enable_hr=True, cfg_scale=7, **said).body
    assert {name: body[name] for name in said} == said


@pytest.mark.parametrize("params", [{}, {"enable_hr": False}])
def test_nothing_is_added_without_hires_fix(forge, params):
    body = forge.prepare(**params).body
    assert not {"hr_additional_modules", "hr_upscaler", "hr_cfg", "denoising_strength"} & set(body)


def test_nothing_is_added_to_img2img_which_has_no_hires_fix(forge):
    assert "hr_cfg" not in forge.prepare(kind="img2img", enable_hr=True).body


def test_unknown_upscaler_is_an_error_of_class_elsewhere(forge):
    with pytest.raises(BackendError) as caught:
        forge.run(enable_hr=True, hr_upscaler="nope")
    assert caught.value.error_class is ErrorClass.ELSEWHERE
    assert caught.value.code == "upscaler_missing"
