"""From what Generate would run to MobileSD's generation_params.

The job must make the same pixels on any server as Generate would have made here, at the moment
of the click. So what Forge takes from its own options and files at the run is written into the
job: checkpoint, VAE and text encoders, clip skip, the texts of styles.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from mobilesd_forge import controlnet, images
from mobilesd_forge.payload import CannotQueue, check_size, jsonable

__all__ = [
    "BATCH",
    "Surroundings",
    "generation_params",
    "img2img_pictures",
    "img2img_size",
    "not_applied",
]

BATCH = 5
_MODES_WITH_MASK = (2, 3, 4)

# Not sent: set by whoever runs the job, made below, or of no effect in the API.
_LEFT_OUT = {
    "alwayson_scripts",
    "comments",
    "do_not_save_grid",
    "do_not_save_samples",
    "firstpass_image",
    "force_task_id",
    "include_init_images",
    "infotext",
    "init_images",
    "latent_mask",
    "mask",
    "override_settings",
    "override_settings_restore_afterwards",
    "prompt",
    "sampler_index",
    "save_images",
    "script_args",
    "script_name",
    "send_images",
}
# Their values stand in fields of the request, which win over the scripts' arguments.
_IN_FIELDS = {"sampler", "seed"}
# Fields that stay empty on the page, and the option that Forge takes for them.
_FROM_OPTIONS = {"restore_faces": "face_restoration", "tiling": "tiling"}
_CHECKPOINT, _MODULES = "sd_model_checkpoint", "forge_additional_modules"
_CLIP_SKIP = "CLIP_stop_at_last_layers"
# What MobileSD changes on a server for a job: the options that every Forge restores after it.
_APPLIED = {_CHECKPOINT, _MODULES, _CLIP_SKIP}
_LOW_BITS = "forge_unet_storage_dtype"
_LOW_BITS_DEFAULT = "Automatic"


@dataclass(frozen=True)
class Surroundings:
    """What a job depends on beside its own fields.

    `option` returns one of Forge's options by name, None for one that this Forge lacks. The two
    functions write styles into a prompt; without them, styles are sent by name.
    """

    option: Callable[[str], Any]
    with_styles: Callable[[str, Sequence[str]], str] | None = None
    with_negative_styles: Callable[[str, Sequence[str]], str] | None = None


def generation_params(
    p: Any,
    runner: Any,
    fields: Iterable[str],
    around: Surroundings,
    *,
    init_image: Image.Image | None = None,
    mask: Image.Image | None = None,
    skip: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the parameters of a job.

    `p` is Forge's processing object, not yet run; `runner` has the scripts of the tab; `fields`
    are the names that Forge's API takes; `skip` are titles of scripts to leave out. Raises
    CannotQueue.
    """
    params = _named(p, fields)
    _take_prompts(params, p, around)
    _take_options(params, p, around)
    _take_scripts(params, p, runner, {title.lower() for title in skip} | _IN_FIELDS)
    if init_image is not None:
        params["init_images"] = [images.png(init_image)]
        params["mask"] = None if mask is None else images.png(mask)
    params = {name: value for name, value in params.items() if value is not None}
    check_size(params)
    return params


def not_applied(params: Mapping[str, Any]) -> list[str]:
    """Return the options that a job names and MobileSD leaves as the server has them."""
    return sorted(set(params.get("override_settings") or ()) - _APPLIED)


def img2img_pictures(mode: int, named: Mapping[str, Any]) -> tuple[Image.Image, Image.Image | None]:
    """Return the picture and the mask of the tab that is open in img2img.

    `named` are the inputs of Forge's img2img function by name. Raises CannotQueue.
    """
    if mode == BATCH:
        raise CannotQueue(
            "Batch can't be queued: it reads folders of this machine. Queue the pictures one by"
            " one from the tab img2img."
        )
    if mode not in range(BATCH):
        raise CannotQueue(
            f"This tab of img2img (number {mode}) is not known: update the extension."
        )
    image, mask = images.init_and_mask(mode, named)
    if image is None:
        raise CannotQueue("There is no picture in this tab of img2img. Add one, then queue it.")
    if mode in _MODES_WITH_MASK and mask is None:
        raise CannotQueue("There is no mask. Paint over what is to change, then queue it.")
    return image, mask


def img2img_size(named: Mapping[str, Any], image: Image.Image) -> tuple[int, int]:
    """Return width and height: as set, or by the factor of the tab "Resize by"."""
    if int(named.get("selected_scale_tab") or 0) != 1:
        return int(named["width"]), int(named["height"])
    factor = float(named["scale_by"])
    return int(image.width * factor) // 8 * 8, int(image.height * factor) // 8 * 8


def _named(p: Any, fields: Iterable[str]) -> dict[str, Any]:
    found = {
        name: jsonable(getattr(p, name), name)
        for name in fields
        if name not in _LEFT_OUT and hasattr(p, name)
    }
    if found.get("inpaint_full_res") is not None:
        found["inpaint_full_res"] = bool(found["inpaint_full_res"])
    if isinstance(modules := found.get("hr_additional_modules"), list):
        found["hr_additional_modules"] = [_file_name(name) for name in modules]
    return found


def _take_prompts(params: dict[str, Any], p: Any, around: Surroundings) -> None:
    """Write the styles into the prompts: another server may have none of that name."""
    params["positive_prompt"] = jsonable(p.prompt, "prompt")
    styles = params.get("styles") or []
    if around.with_styles is None or around.with_negative_styles is None:
        return
    # An empty hires prompt means the first one, styles included.
    for name, write in (
        ("positive_prompt", around.with_styles),
        ("negative_prompt", around.with_negative_styles),
        ("hr_prompt", around.with_styles),
        ("hr_negative_prompt", around.with_negative_styles),
    ):
        if styles and (params.get(name) or not name.startswith("hr_")):
            params[name] = write(params.get(name) or "", styles)
    params["styles"] = []


def _take_options(params: dict[str, Any], p: Any, around: Surroundings) -> None:
    overrides = jsonable(dict(p.override_settings or {}), "override_settings")

    def chosen(name: str) -> Any:
        value = overrides.pop(name, None)
        return around.option(name) if value is None else value

    params["checkpoint_name"] = chosen(_CHECKPOINT) or None
    params["clip_skip"] = chosen(_CLIP_SKIP)
    modules = chosen(_MODULES)
    if modules:
        params["additional_modules"] = [_file_name(name) for name in modules]
    elif modules is not None:
        # Said in so many words, or the server would use those that are chosen on its own page.
        overrides[_MODULES] = []
    low_bits = around.option(_LOW_BITS)
    if low_bits not in (None, _LOW_BITS_DEFAULT):
        overrides.setdefault(_LOW_BITS, low_bits)
    params["override_settings"] = overrides or None
    for field, option in _FROM_OPTIONS.items():
        if params.get(field, False) is None:
            params[field] = around.option(option)


def _file_name(path: Any) -> Any:
    """Return the name of a file without its folder, which differs from server to server."""
    return path.replace("\\", "/").rpartition("/")[2] if isinstance(path, str) else path


def _take_scripts(params: dict[str, Any], p: Any, runner: Any, skip: set[str]) -> None:
    args = list(p.script_args or ())
    always = {}
    for script in runner.alwayson_scripts:
        title = str(script.title())
        given = _arguments(script, args)
        if given and title.lower() not in skip and given != _defaults(script):
            always[title] = {"args": given}
    if always:
        params["alwayson_scripts"] = always
    number = int(args[0] or 0) if args else 0
    if number:
        script = runner.selectable_scripts[number - 1]
        params["script_name"] = str(script.title())
        params["script_args"] = _arguments(script, args)


def _arguments(script: Any, args: Sequence[Any]) -> list[Any]:
    if script.args_from is None or script.args_to is None:
        return []  # a script without inputs
    title = script.title()
    given = args[script.args_from : script.args_to]
    return [_argument(value, f"{title}, setting {n}") for n, value in enumerate(given, 1)]


def _argument(value: Any, where: str) -> Any:
    return (
        controlnet.unit_params(value, where)
        if controlnet.is_unit(value)
        else jsonable(value, where)
    )


def _defaults(script: Any) -> list[Any] | None:
    """Return what Forge's API takes when a request does not name the script; None if unknown.

    These are the values that the script's ui() wrote into its inputs; those that stand on the
    page at its start can be others, from ui-config.json.
    """
    known = getattr(getattr(script, "api_info", None), "args", None)
    if known is None:
        return None
    try:
        return [_argument(argument.value, "a default") for argument in known]
    except CannotQueue:
        return None
