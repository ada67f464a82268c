"""Overrides that are not in Forge's config.json stay set for all later jobs: a whitelist."""

import pytest

from tests.dispatch.forge.helpers import recording


def test_override_that_would_leak_is_left_out_and_the_warning_names_it(forge):
    overrides = recording("options/leak-1-override")["request"]["json"]["override_settings"]
    answer = forge.run(override_settings=overrides)
    assert forge.sent["override_settings"] == {"CLIP_stop_at_last_layers": 2}
    assert forge.sent["override_settings_restore_afterwards"] is True
    assert answer.warnings == [
        "override_settings.eta_noise_seed_delta was left out: it would stay set for later jobs."
    ]
    assert forge.fake.options["eta_noise_seed_delta"] == 0, "nothing stayed set"
    assert forge.fake.options["CLIP_stop_at_last_layers"] == 1


def test_many_overrides_make_one_short_warning(forge):
    warnings = forge.prepare(override_settings={f"no_such_{n}": 1 for n in range(500)}).warnings
    assert len(warnings) == 1
    assert "no_such_0, " in warnings[0]
    assert "490 more were left out" in warnings[0]
    assert len(warnings[0]) < 1000


def test_checkpoint_of_a_job_is_that_of_the_job_not_of_its_overrides(forge):
    overrides = {"sd_model_checkpoint": "ink\\brushwork_v2.safetensors [0123abcdef]"}
    body = forge.prepare("ink/brushwork_v2.safetensors", override_settings=overrides).body
    assert body["override_settings"] == {"sd_model_checkpoint": "ink/brushwork_v2.safetensors"}


def test_checkpoint_named_by_the_overrides_alone_is_that_of_the_job(forge):
    overrides = {"sd_model_checkpoint": "ink\\brushwork_v2.safetensors"}
    request = forge.prepare(override_settings=overrides)
    assert request.checkpoint == "ink/brushwork_v2.safetensors"
    assert request.body["override_settings"] == {"sd_model_checkpoint": request.checkpoint}


def test_checkpoint_is_put_back_after_the_job_whatever_the_job_says(forge):
    forge.run("nightjar_photo", override_settings_restore_afterwards=False)
    assert forge.fake.options["sd_model_checkpoint"] == "meadow_v3.safetensors"


def test_clip_skip_vae_and_text_encoders_become_overrides(forge):
    params = {"clip_skip": 2, "vae": "ae.safetensors", "additional_modules": ["t5.safetensors"]}
    body = forge.prepare(**params).body
    assert body["override_settings"] == {
        "CLIP_stop_at_last_layers": 2,
        "forge_additional_modules": ["ae.safetensors", "t5.safetensors"],
    }
    assert not set(params) & set(body)


def test_no_layer_skipped_is_sent_as_forges_own_page_does(forge):
    for skip in (0, 1):
        assert forge.prepare(clip_skip=skip).body["override_settings"] == {
            "CLIP_stop_at_last_layers": 1
        }


def test_modules_that_the_server_lacks_are_named(forge, drive):
    """Forge leaves them out without a word."""
    lists = forge.dispatcher.inventory()
    assert forge.prepare(vae="ae.safetensors", inventory=lists).warnings == [
        "The server does not have the VAE or text encoder ae.safetensors: it is left out."
    ]
    from dataclasses import replace

    known = replace(lists, modules=("ae.safetensors",))
    for name in ("ae.safetensors", "/models/VAE/ae.safetensors", "C:\\models\\AE.safetensors"):
        assert forge.prepare(vae=name, inventory=known).warnings == []


@pytest.mark.parametrize("vae", ["", "None", "Automatic"])
def test_no_vae_is_no_override(forge, vae):
    request = forge.prepare(vae=vae)
    assert request.body["override_settings"] == {}
    assert request.warnings == []


def test_null_in_an_override_is_no_value(forge):
    overrides = {"CLIP_stop_at_last_layers": None, "forge_additional_modules": None}
    assert forge.prepare(override_settings=overrides).body["override_settings"] == {}
