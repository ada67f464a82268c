"""How much work a job is: what the backend really computes, not what the numbers suggest."""

import pytest

from dispatch.work_units import work_units

SIZE = {"width": 1000, "height": 1000, "steps": 20}
CONTROL = {"alwayson_scripts": {"ControlNet": {"args": [{}, {"enabled": False}, {"model": "x"}]}}}


@pytest.mark.parametrize(
    ("params", "kind", "units"),
    [
        (SIZE, "txt2img", 20),
        ({}, "txt2img", 20 * 512 * 512 / 1e6),
        ({**SIZE, "batch_size": 2, "n_iter": 3}, "txt2img", 120),
        ({**SIZE, "denoising_strength": 0.3}, "img2img", 7),
        ({**SIZE, "denoising_strength": 1}, "img2img", 20),
        ({**SIZE, "denoising_strength": 0}, "img2img", 1),
        (SIZE, "img2img", 16),
        ({**SIZE, "denoising_strength": 0.3}, "txt2img", 20),
        ({**SIZE, "enable_hr": True}, "txt2img", 20 + 20 * 4),
        (
            {**SIZE, "enable_hr": True, "hr_scale": 1.5, "hr_second_pass_steps": 10},
            "txt2img",
            20 + 10 * 2.25,
        ),
        ({**SIZE, "enable_hr": True, "denoising_strength": 0.3}, "txt2img", 20 + 20 * 4),
        (
            {**SIZE, "enable_hr": True, "hr_resize_x": 1500, "hr_resize_y": 2000},
            "txt2img",
            20 + 20 * 3,
        ),
        ({**SIZE, "enable_hr": True, "hr_resize_x": 3000, "hr_resize_y": 0}, "txt2img", 20 * 10),
        ({**SIZE, **CONTROL}, "txt2img", 20 * 1.8),
        ({**SIZE, "alwayson_scripts": {"Other": {"args": [{}]}}}, "txt2img", 20),
        ({**SIZE, "alwayson_scripts": "broken", "steps": "many"}, "txt2img", 20),
    ],
)
def test_the_units_of_a_job(params, kind, units):
    assert work_units(params, kind) == pytest.approx(units)
