"""Names that are known without asking a server: engine fields and schedulers, as plain data."""

__all__ = ["PASSED_THROUGH", "scheduler_label"]

# Fields of the engines' own txt2img and img2img requests that mean nothing to MobileSD. They are
# kept and sent as they came, so nobody needs to be warned of them.
PASSED_THROUGH = frozenset(
    [
        "comments",
        "disable_extra_networks",
        "do_not_save_grid",
        "do_not_save_samples",
        "eta",
        "firstpass_image",
        "firstphase_height",
        "firstphase_width",
        "force_task_id",
        "hr_checkpoint_name",
        "hr_distilled_cfg",
        "hr_negative_prompt",
        "hr_prompt",
        "hr_sampler_name",
        "hr_scheduler",
        "image_cfg_scale",
        "include_init_images",
        "infotext",
        "infotext_fields",  # ours: what an infotext said besides (jobs.infotext)
        "initial_noise_multiplier",
        "inpainting_mask_invert",
        "latent_mask",
        "mask_blur_x",
        "mask_blur_y",
        "mask_round",
        "override_settings_restore_afterwards",
        "s_churn",
        "s_min_uncond",
        "s_noise",
        "s_tmax",
        "s_tmin",
        "save_images",
        "seed_resize_from_h",
        "seed_resize_from_w",
        "send_images",
    ]
)

_SCHEDULERS = (
    "Automatic",
    "Uniform",
    "Karras",
    "Exponential",
    "Polyexponential",
    "SGM Uniform",
    "KL Optimal",
    "Align Your Steps",
    "Simple",
    "Normal",
    "DDIM",
    "Beta",
    "Turbo",
    "Align Your Steps GITS",
    "Align Your Steps 11",
    "Align Your Steps 32",
)


def _folded(name: str) -> str:
    return name.casefold().replace("_", "").replace(" ", "")


_BY_FOLDED = {_folded(label): label for label in _SCHEDULERS}


def scheduler_label(name: str) -> str | None:
    """Return the label of a well-known scheduler named by label or id, or None."""
    return _BY_FOLDED.get(_folded(name))
