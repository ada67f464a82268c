"""Generate of txt2img; the processing object can be had without running it."""

import gradio as gr

import modules.scripts
from modules import processing, record
from modules.infotext_utils import create_override_settings_dict


def _create(
    id_task: str,
    request: gr.Request,
    prompt: str,
    negative_prompt: str,
    prompt_styles,
    n_iter: int,
    batch_size: int,
    cfg_scale: float,
    distilled_cfg_scale: float,
    height: int,
    width: int,
    enable_hr: bool,
    denoising_strength: float,
    hr_scale: float,
    hr_upscaler: str,
    hr_additional_modules: list,
    hr_prompt: str,
    hr_cfg: float,
    override_settings_texts,
    *args,
):
    p = processing.StableDiffusionProcessingTxt2Img(
        prompt=prompt,
        negative_prompt=negative_prompt,
        styles=prompt_styles,
        n_iter=n_iter,
        batch_size=batch_size,
        cfg_scale=cfg_scale,
        distilled_cfg_scale=distilled_cfg_scale,
        height=height,
        width=width,
        enable_hr=enable_hr,
        denoising_strength=denoising_strength,
        hr_scale=hr_scale,
        hr_upscaler=hr_upscaler,
        hr_additional_modules=hr_additional_modules,
        hr_prompt=hr_prompt,
        hr_cfg=hr_cfg,
        override_settings=create_override_settings_dict(override_settings_texts),
    )
    p.scripts = modules.scripts.scripts_txt2img
    p.script_args = args
    return p


txt2img_create_processing = _create


def txt2img(id_task: str, request: gr.Request, *args):
    return record.generated("txt2img", _create(id_task, request, *args), args)
