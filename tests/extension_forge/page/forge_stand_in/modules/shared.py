"""Options, styles and command line, as extensions find them."""

import os
from types import SimpleNamespace

STYLES = {"film": ("film grain, {prompt}", "blurry")}


class OptionInfo:
    """One option: its default, and the component that shows it."""

    def __init__(
        self,
        default=None,
        label="",
        component=None,
        component_args=None,
        onchange=None,
        section=None,
        refresh=None,
        infotext=None,
    ):
        self.default, self.label = default, label
        self.component, self.component_args = component, component_args
        self.onchange, self.section, self.refresh = onchange, section, refresh
        self.infotext = infotext
        self.do_not_save = False


class Options:
    """Values by name; an unknown name is an AttributeError, as with Forge's."""

    def __init__(self, **values):
        self.data = values
        self.data_labels = {}

    def __getattr__(self, name):
        if name in self.data:
            return self.data[name]
        if name in self.data_labels:
            return self.data_labels[name].default
        raise AttributeError(name)

    def add_option(self, key, info):
        self.data_labels[key] = info
        if key not in self.data and not info.do_not_save:
            self.data[key] = info.default

    def set(self, key, value):
        if self.data_labels.get(key) and self.data_labels[key].do_not_save:
            return False
        changed = self.data.get(key) != value
        self.data[key] = value
        return changed


class PromptStyles:
    """Writes styles into prompts."""

    def apply_styles_to_prompt(self, prompt, styles):
        return self._apply(prompt, styles, 0)

    def apply_negative_styles_to_prompt(self, prompt, styles):
        return self._apply(prompt, styles, 1)

    @staticmethod
    def _apply(prompt, styles, part):
        for name in styles:
            text = STYLES[name][part] if name in STYLES else ""
            if "{prompt}" in text:
                prompt = text.replace("{prompt}", prompt)
            elif text:
                prompt = f"{prompt}, {text}" if prompt else text
        return prompt


cmd_opts = SimpleNamespace(nowebui=False)
prompt_styles = PromptStyles()
opts = Options(
    sd_model_checkpoint="random_a.safetensors [e1758bd15a]",
    forge_additional_modules=["/srv/forge/models/VAE/soft.safetensors"],
    CLIP_stop_at_last_layers=2,
    forge_unet_storage_dtype="Automatic",
    face_restoration=False,
    tiling=False,
    initial_noise_multiplier=1.0,
    compact_prompt_box=False,
)
opts.add_option("randn_source", OptionInfo("GPU", infotext="RNG"))
if checkpoint := os.environ.get("STAND_IN_CHECKPOINT"):
    opts.data["sd_model_checkpoint"] = checkpoint
if url := os.environ.get("STAND_IN_MOBILESD_URL"):
    opts.data["mobilesd_url"] = url
