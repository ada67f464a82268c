"""Processing objects, and the "pixels": a digest of all that would change a picture."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from modules import shared


@dataclass
class StableDiffusionProcessing:
    prompt: str = ""
    negative_prompt: str = ""
    styles: list = None
    seed: int = -1
    subseed: int = -1
    subseed_strength: float = 0
    seed_resize_from_h: int = -1
    seed_resize_from_w: int = -1
    sampler_name: str = None
    scheduler: str = None
    batch_size: int = 1
    n_iter: int = 1
    steps: int = 50
    cfg_scale: float = 7.0
    distilled_cfg_scale: float = 3.5
    width: int = 512
    height: int = 512
    restore_faces: bool = None
    tiling: bool = None
    do_not_save_samples: bool = False
    do_not_save_grid: bool = False
    eta: float = None
    denoising_strength: float = None
    override_settings: dict = None
    override_settings_restore_afterwards: bool = True
    refiner_checkpoint: str = None
    refiner_switch_at: float = None
    disable_extra_networks: bool = False
    firstpass_image: Any = None
    comments: dict = None
    is_api: bool = field(default=False, init=False)

    def __post_init__(self):
        self.styles = self.styles or []
        self.comments = {}
        self.override_settings = self.override_settings or {}
        self._scripts = self._script_args = None

    @property
    def scripts(self):
        return self._scripts

    @scripts.setter
    def scripts(self, runner):
        self._scripts = runner
        self._set_up()

    @property
    def script_args(self):
        return self._script_args

    @script_args.setter
    def script_args(self, args):
        self._script_args = args
        self._set_up()

    def _set_up(self):
        if self._scripts and self._script_args:
            self._scripts.setup_scrips(self, is_ui=not self.is_api)


@dataclass
class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
    enable_hr: bool = False
    denoising_strength: float = 0.75
    firstphase_width: int = 0
    firstphase_height: int = 0
    hr_scale: float = 2.0
    hr_upscaler: str = None
    hr_second_pass_steps: int = 0
    hr_resize_x: int = 0
    hr_resize_y: int = 0
    hr_checkpoint_name: str = None
    hr_additional_modules: list = None
    hr_sampler_name: str = None
    hr_scheduler: str = None
    hr_prompt: str = ""
    hr_negative_prompt: str = ""
    hr_cfg: float = 1.0
    hr_distilled_cfg: float = 3.5
    force_task_id: str = None


@dataclass
class StableDiffusionProcessingImg2Img(StableDiffusionProcessing):
    init_images: list = None
    resize_mode: int = 0
    denoising_strength: float = 0.75
    image_cfg_scale: float = None
    mask: Any = None
    mask_blur_x: int = 4
    mask_blur_y: int = 4
    mask_blur: int = None
    mask_round: bool = True
    inpainting_fill: int = 0
    inpaint_full_res: bool = True
    inpaint_full_res_padding: int = 0
    inpainting_mask_invert: int = 0
    initial_noise_multiplier: float = None
    latent_mask: Any = None
    force_task_id: str = None
    image_mask: Any = field(default=None, init=False)

    def __post_init__(self):
        super().__post_init__()
        self.image_mask, self.mask = self.mask, None
        if self.initial_noise_multiplier is None:
            self.initial_noise_multiplier = shared.opts.initial_noise_multiplier
        if self.mask_blur is not None:
            self.mask_blur_x = self.mask_blur_y = self.mask_blur


_ALWAYS = [
    "seed",
    "subseed_strength",
    "seed_resize_from_h",
    "seed_resize_from_w",
    "sampler_name",
    "scheduler",
    "batch_size",
    "n_iter",
    "steps",
    "cfg_scale",
    "distilled_cfg_scale",
    "width",
    "height",
    "refiner_checkpoint",
    "refiner_switch_at",
    "disable_extra_networks",
]
_HIRES = [
    "denoising_strength",
    "hr_scale",
    "hr_upscaler",
    "hr_second_pass_steps",
    "hr_resize_x",
    "hr_resize_y",
    "hr_checkpoint_name",
    "hr_additional_modules",
    "hr_sampler_name",
    "hr_scheduler",
    "hr_cfg",
    "hr_distilled_cfg",
]
_IMG2IMG = [
    "denoising_strength",
    "resize_mode",
    "initial_noise_multiplier",
]
_MASKED = [
    "mask_blur_x",
    "mask_blur_y",
    "mask_round",
    "inpainting_fill",
    "inpaint_full_res",
    "inpaint_full_res_padding",
    "inpainting_mask_invert",
]


def pixels(image, mode="RGB"):
    return hashlib.sha256(repr(image.size).encode() + image.convert(mode).tobytes()).hexdigest()


def create_binary_mask(image):
    if image.mode == "RGBA" and image.getextrema()[-1] != (255, 255):
        return image.getchannel("A").point(lambda value: 255 if value > 128 else 0)
    return image.convert("L")


def process_images(p):
    """Return the digest, and everything that it is of."""
    opts = shared.opts
    overridden = {name: opts.data.get(name) for name in p.override_settings}
    opts.data.update(p.override_settings)
    try:
        effective = _effective(p)
    finally:
        opts.data.update(overridden)
    text = json.dumps(effective, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest(), effective


def _effective(p):
    opts, styles = shared.opts, shared.prompt_styles
    found = {name: _plain(getattr(p, name)) for name in _ALWAYS}
    found["prompt"] = styles.apply_styles_to_prompt(p.prompt, p.styles)
    found["negative"] = styles.apply_negative_styles_to_prompt(p.negative_prompt, p.styles)
    found["checkpoint"] = str(opts.sd_model_checkpoint).partition(" [")[0]
    found["modules"] = [name.rpartition("/")[2] for name in opts.forge_additional_modules or []]
    found["clip skip"] = opts.CLIP_stop_at_last_layers
    found["low bits"] = opts.forge_unet_storage_dtype
    found["faces"] = opts.face_restoration if p.restore_faces is None else p.restore_faces
    found["tiling"] = opts.tiling if p.tiling is None else p.tiling
    if getattr(p, "enable_hr", False):
        found |= {name: _plain(getattr(p, name)) for name in _HIRES}
        found["hr prompt"] = styles.apply_styles_to_prompt(p.hr_prompt or p.prompt, p.styles)
        found["hr negative"] = styles.apply_negative_styles_to_prompt(
            p.hr_negative_prompt or p.negative_prompt, p.styles
        )
    if hasattr(p, "init_images"):
        found |= {name: _plain(getattr(p, name)) for name in _IMG2IMG}
        found["init"] = [pixels(image, "RGBA") for image in p.init_images]
        if p.image_mask is not None:
            found |= {name: _plain(getattr(p, name)) for name in _MASKED}
            found["mask"] = pixels(create_binary_mask(p.image_mask), "L")
    args = list(p.script_args)
    found["scripts"] = {
        script.title(): _plain(script.effect(p, *args[script.args_from : script.args_to]))
        for script in p.scripts.alwayson_scripts
        if not script.setup_for_ui_only
    }
    if args[0]:
        script = p.scripts.selectable_scripts[args[0] - 1]
        found["script"] = [script.title(), _plain(args[script.args_from : script.args_to])]
    return found


def _plain(value):
    """1 and 1.0, true and 1, are one number in a picture."""
    if isinstance(value, (bool, int, float)):
        return float(value)
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return value
