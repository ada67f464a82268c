"""The queue of the extension sd-webui-agent-scheduler, which nobody maintains any more.

Its table `task`, as recorded: id, type, params (JSON: args, checkpoint, vae, is_ui, is_img2img),
script_params (pickled, then packed), priority (lower first), status, name, api_task_callback.
A pickle runs what its writer wants: `script_params` is never unpickled, and what it would have
told is named with the job.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.exchange.intake import Incoming, other_id
from jobs.importers.arrays import read_picture
from jobs.importers.foreign import columns_of, copied, rows_of
from jobs.infotext import Infotext
from jobs.infotext.params import understand
from jobs.services.orders import Order
from mobilesd.errors import InvalidInput
from mobilesd.http.codec import decode

__all__ = ["STATUSES", "Reading"]

SOURCE = "agent-scheduler"
STATUSES = ("pending", "running", "failed", "interrupted", "done")

# The pickle itself is never even read.
_COLUMNS = ("id", "type", "params", "status", "api_task_callback", "length(script_params)")
_NEEDED = {"id", "type", "params", "status", "priority"}
_HASH = re.compile(r"[0-9a-fA-F]{8,64}")
_PLACE = re.compile(r"(?:[A-Za-z]:)?[\\/](?!9j/)|https?:")
_MAX_ID = 200
# What the extension shows for "whatever is loaded".
_ANY_CHECKPOINT = {"", "system", "runtime checkpoint", "current checkpoint"}
# The page's arguments that mean nothing elsewhere, or are read by name below.
_OF_THE_PAGE = {
    "id_task",
    "request",
    "mode",
    "prompt_styles",
    "override_settings_texts",
    "sampler_index",
    "hr_sampler_index",
    "init_img",
    "sketch",
    "init_img_with_mask",
    "inpaint_color_sketch",
    "inpaint_color_sketch_orig",
    "init_img_inpaint",
    "init_mask_inpaint",
    "mask_alpha",
    "selected_scale_tab",
    "scale_by",
    "seed_enable_extras",
    "img2img_batch_input_dir",
    "img2img_batch_output_dir",
    "img2img_batch_inpaint_mask_dir",
    "img2img_batch_use_png_info",
    "img2img_batch_png_info_props",
    "img2img_batch_png_info_dir",
    "img2img_batch_source_type",
    "img2img_batch_upload",
    "img2img_color",
}
_SAME = re.compile(r"use same .*", re.IGNORECASE)
# In newer versions of the web UI the pickled arguments hold these.
_ALSO_PICKLED = ("steps", "sampler_name", "seed")


class _Unreadable(Exception):
    """A sentence on why a task can't be taken."""


class Reading:
    """One reading of a database; `refused` fills while the jobs are read."""

    def __init__(self, path: Path, statuses: Sequence[str], server: str = "") -> None:
        self._path = path
        self._statuses = set(statuses)
        self._server = server
        self.refused: list[str] = []
        self.other: dict[str, int] = {}  # statuses that were not asked for

    def jobs(self) -> Iterator[Incoming]:
        """Yield the tasks as jobs, in the order in which the extension would run them.

        Raises InvalidInput for a file that is no such database.
        """
        with copied(self._path) as connection:
            there = columns_of(connection, "task")
            if not there >= _NEEDED:
                raise InvalidInput(
                    f"{self._path.name} is no database of the extension: it has no table of tasks.",
                    hint="Name the file task_scheduler.sqlite3 in the extension's folder.",
                )
            bookmarked = "coalesce(bookmarked, 0), " if "bookmarked" in there else ""
            order = f"{bookmarked}priority, rowid"
            for row in rows_of(connection, "task", _COLUMNS, order):
                yield from self._task(row)

    def _task(self, row: Mapping[str, Any]) -> Iterator[Incoming]:
        status = str(row["status"])[:20]
        if status not in self._statuses:
            self.other[status] = self.other.get(status, 0) + 1
            return
        task_id = row["id"]
        if not isinstance(task_id, str) or not 0 < len(task_id) <= _MAX_ID:
            self.refused.append("A task without a usable id can't be taken.")
            return
        where = f"Task {task_id[:40]}"
        try:
            params, unread = _read(row)
        except (_Unreadable, InvalidInput) as error:
            sentence = error.message if isinstance(error, InvalidInput) else str(error)
            self.refused.append(f"{where} can't be taken: {sentence}")
            return
        yield Incoming(
            where=where,
            origin=other_id(SOURCE, task_id),
            order=Order(
                generation_params=params,
                target_server_alias=self._server,
                source_info=SOURCE,
                warnings=tuple(unread),
            ),
        )


def _read(row: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return parameters, and sentences on what could not be read."""
    text = row["params"]
    if not isinstance(text, str):
        raise _Unreadable("its parameters are no text.")
    try:
        stored = decode(text.encode())
    except InvalidInput as problem:
        raise _Unreadable(
            f"its parameters are no JSON that can be read. {problem.message}"
        ) from None
    args = stored.get("args") if isinstance(stored, dict) else None
    if not isinstance(args, dict) or not args:
        raise _Unreadable("its parameters have no arguments.")
    is_img2img = stored.get("is_img2img", row["type"] == "img2img") is True
    unread: list[str] = []
    if row["api_task_callback"]:
        unread.append("Its callback address is not used: make a webhook instead.")
    if stored.get("is_ui", True) is True:
        params = _of_page(args, unread, is_img2img=is_img2img)
        if row["length(script_params)"] or stored.get("script_args"):
            unread.append(_lost(params))
    else:
        params = _of_api(args, unread)
    _take_models(stored, params)
    return params, unread


def _lost(params: Mapping[str, Any]) -> str:
    names = [name for name in _ALSO_PICKLED if name not in params]
    more = f", and maybe {', '.join(names)}" if names else ""
    return (
        "The extension stored the settings of scripts (ControlNet, ADetailer, …"
        f"{more}) in a form that is not safe to read. They are left out: look at the job."
    )


def _of_api(args: Mapping[str, Any], unread: list[str]) -> dict[str, Any]:
    params = {name: value for name, value in args.items() if value is not None}
    if params.get("sampler_name"):
        params.pop("sampler_index", None)  # the API's default, beside the name that was sent
    if params.pop("script_name", None):
        params.pop("script_args", None)
        unread.append(
            "It ran a script whose arguments are not safe to read: the script is left out."
        )
    for name in ("init_images", "mask"):
        _refuse_paths(params.get(name))
    if not params.get("init_images"):
        params.pop("init_images", None)
    return params


def _refuse_paths(value: Any) -> None:
    for one in value if isinstance(value, list) else [value]:
        # Base64 of a JPEG begins with "/9j/" as well, but is longer than any path.
        if isinstance(one, str) and len(one) < 4096 and _PLACE.match(one):
            raise _Unreadable("its picture is a file or an address of the other computer.")


def _of_page(args: Mapping[str, Any], unread: list[str], *, is_img2img: bool) -> dict[str, Any]:
    params = {
        name: value
        for name, value in args.items()
        if value is not None and name not in _OF_THE_PAGE and not _is_same(value)
    }
    if styles := args.get("prompt_styles"):
        params["styles"] = styles
    sampler = args.get("sampler_index")
    if isinstance(sampler, str):
        params.setdefault("sampler_name", sampler)
    elif sampler is not None and "sampler_name" not in params:
        unread.append("Its sampler is stored as a number that only its web UI knows.")
    if args.get("hr_sampler_index"):
        unread.append("Its hires sampler is stored as a number that only its web UI knows.")
    if params.get("inpaint_full_res") in (0, 1):
        params["inpaint_full_res"] = bool(params["inpaint_full_res"])
    if not params.get("enable_hr"):
        # The page sends these always; alone they mean nothing.
        params = {name: value for name, value in params.items() if not name.startswith("hr_")}
        if not is_img2img:
            params.pop("denoising_strength", None)
    if is_img2img:
        params |= _pictures(args)
    params |= _overrides(args.get("override_settings_texts"), unread)
    return params


def _is_same(value: Any) -> bool:
    values = value if isinstance(value, list) and value else [value]
    return all(isinstance(one, str) and _SAME.fullmatch(one) for one in values)


def _pictures(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the picture to start from, and the mask, of one of the page's modes."""
    mode = args.get("mode", 0)
    name = {0: "init_img", 1: "sketch", 2: "init_img_with_mask", 4: "init_img_inpaint"}.get(
        mode if type(mode) is int else -1
    )
    if name is None:
        raise _Unreadable("it is an inpaint sketch or a batch of files, which can't be read.")
    found: dict[str, Any] = {}
    try:
        stored = args.get(name)
        if mode == 2:
            pair = stored if isinstance(stored, Mapping) else {}
            picture = read_picture(pair.get("image"))
            if pair.get("mask") is not None:
                found["mask"] = read_picture(pair["mask"]).mask_with_holes_of(picture)
        else:
            picture = read_picture(stored)
            if mode == 4 and args.get("init_mask_inpaint") is not None:
                found["mask"] = read_picture(args["init_mask_inpaint"]).as_mask()
    except ValueError as error:
        raise _Unreadable(f"its picture {error}.") from None
    found["init_images"] = [picture.without_alpha()]
    scale = args.get("scale_by")
    if args.get("selected_scale_tab") == 1 and isinstance(scale, int | float) and 0 < scale <= 16:
        width, height = (max(64, int(side * scale) // 8 * 8) for side in picture.size)
        found |= {"width": width, "height": height}
    return found


def _overrides(texts: Any, unread: list[str]) -> dict[str, Any]:
    """Read the page's override settings, which are fields of an infotext: "Clip skip: 2"."""
    fields = []
    for text in texts if isinstance(texts, list) else ():
        name, colon, value = str(text).partition(":")
        if colon and name.strip().casefold() != "model hash":  # it holds the checkpoint, see below
            fields.append((name.strip(), value.strip()))
    if not fields:
        return {}
    understood = understand(Infotext(fields=tuple(fields[:50])), {})
    unread += understood.warnings
    return dict(understood.params)


def _take_models(stored: Mapping[str, Any], params: dict[str, Any]) -> None:
    checkpoint, vae = stored.get("checkpoint"), stored.get("vae")
    if isinstance(checkpoint, str) and checkpoint.strip().casefold() not in _ANY_CHECKPOINT:
        named = "model_hash" if _HASH.fullmatch(checkpoint.strip()) else "checkpoint_name"
        overrides = params.get("override_settings")
        if isinstance(overrides, dict):
            params["override_settings"] = {
                name: value for name, value in overrides.items() if name != "sd_model_checkpoint"
            }
        params.setdefault(named, checkpoint.strip())
    if isinstance(vae, str) and vae not in ("", "Automatic", "None"):
        params.setdefault("vae", vae)
