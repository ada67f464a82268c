"""Generate of img2img: one function, from its inputs to its pictures."""

import gradio as gr
from PIL import Image, ImageFilter

import modules.scripts
from modules import processing, record
from modules.infotext_utils import create_override_settings_dict


def img2img_function(
    id_task: str,
    request: gr.Request,
    mode: int,
    prompt: str,
    negative_prompt: str,
    prompt_styles,
    init_img,
    sketch,
    sketch_fg,
    init_img_with_mask,
    init_img_with_mask_fg,
    inpaint_color_sketch,
    inpaint_color_sketch_fg,
    init_img_inpaint,
    init_mask_inpaint,
    mask_blur: int,
    inpainting_fill: int,
    n_iter: int,
    batch_size: int,
    cfg_scale: float,
    denoising_strength: float,
    selected_scale_tab: int,
    height: int,
    width: int,
    scale_by: float,
    resize_mode: int,
    inpaint_full_res: int,
    inpaint_full_res_padding: int,
    inpainting_mask_invert: int,
    override_settings_texts,
    *args,
):
    image = mask = None
    if mode == 0:
        image = init_img
    elif mode == 1:
        image = Image.alpha_composite(sketch, sketch_fg)
    elif mode == 2:
        image, mask = init_img_with_mask, _opaque(init_img_with_mask_fg.getchannel("A"))
    elif mode == 3:
        image = Image.alpha_composite(inpaint_color_sketch, inpaint_color_sketch_fg)
        alpha = inpaint_color_sketch_fg.getchannel("A")
        mask = _opaque(alpha.filter(ImageFilter.MaxFilter(int(0.015 * min(alpha.size)) * 2 + 1)))
    elif mode == 4:
        image, mask = init_img_inpaint, init_mask_inpaint
    if mask is not None:
        mask = mask.point(lambda value: 255 if value > 128 else 0)
    if selected_scale_tab == 1:
        width = int(image.width * scale_by)
        height = int(image.height * scale_by)
        width, height = width - width % 8, height - height % 8
    p = processing.StableDiffusionProcessingImg2Img(
        prompt=prompt,
        negative_prompt=negative_prompt,
        styles=prompt_styles,
        batch_size=batch_size,
        n_iter=n_iter,
        cfg_scale=cfg_scale,
        width=width,
        height=height,
        init_images=[image],
        mask=mask,
        mask_blur=mask_blur,
        inpainting_fill=inpainting_fill,
        resize_mode=resize_mode,
        denoising_strength=denoising_strength,
        inpaint_full_res=inpaint_full_res,
        inpaint_full_res_padding=inpaint_full_res_padding,
        inpainting_mask_invert=inpainting_mask_invert,
        override_settings=create_override_settings_dict(override_settings_texts),
    )
    p.scripts = modules.scripts.scripts_img2img
    p.script_args = args
    return record.generated("img2img", p, args)


def img2img(id_task: str, request: gr.Request, *args):
    return img2img_function(id_task, request, *args)


def _opaque(alpha):
    return Image.merge("RGBA", (alpha, alpha, alpha, Image.new("L", alpha.size, 255)))
