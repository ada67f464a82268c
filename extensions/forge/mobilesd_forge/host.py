"""Forge's side of the extension: its settings, its tab, its start.

Files whose name begins with "host" are the only ones that know Forge's modules and Gradio.
`register` is called each time that Forge loads its scripts, which it does again for "Reload UI".
"""

import html
import importlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from modules import script_callbacks, shared

from mobilesd_forge import settings
from mobilesd_forge.host_page import TITLE, jobs_html, script_class
from mobilesd_forge.service import Service

__all__ = ["Script", "register"]

log = logging.getLogger(__name__)

FOLDER = Path(__file__).resolve().parents[1]
DATA = FOLDER / "data"
_SECTION = ("mobilesd", TITLE)

_service: Service | None = None
# Gradio compares paths without following links, so a linked folder has two.
_data_folders = {DATA}


def _read_settings() -> settings.Settings:
    return settings.read(
        lambda name: getattr(shared.opts, name, None), settings.default_url(FOLDER)
    )


def service() -> Service:
    """Return the one service of this process."""
    global _service
    if _service is None:
        _service = Service(DATA, _read_settings)
    return _service


Script = script_class(service)


def register(folder: Path) -> None:
    """Tell Forge what to call: before it shows its settings, its tabs, and when it has started.

    `folder` is the extension's as Forge knows it, links not followed.
    """
    _data_folders.add(folder / "data")
    for name, callback in (
        ("on_ui_settings", _on_ui_settings),
        ("on_ui_tabs", _on_ui_tabs),
        ("on_app_started", _on_app_started),
    ):
        add = getattr(script_callbacks, name, None)
        if add is None:
            log.warning("This Forge has no script_callbacks.%s: MobileSD does without.", name)
        else:
            add(callback)


def _on_ui_settings() -> None:
    known = settings.Settings()
    add = shared.opts.add_option
    add(
        "mobilesd_url",
        _option(
            settings.default_url(FOLDER), "Address of MobileSD, such as http://192.168.1.20:8000"
        ),
    )
    add("mobilesd_key_place", _place("mobilesd-key"))
    add("mobilesd_test_place", _place("mobilesd-test"))
    add(
        "mobilesd_target",
        _option(
            settings.ANY_SERVER,
            "Server that is to make the pictures",
            gr.Dropdown,
            _target_choices,
            refresh=lambda: service().refresh_servers(wait=5),
        ),
    )
    add(
        "mobilesd_priority",
        _option(
            known.priority,
            "Priority, 1 to 10",
            gr.Slider,
            {"minimum": 1, "maximum": 10, "step": 1},
        ),
    )
    add(
        "mobilesd_lane",
        _option(
            known.lane,
            "Interactive jobs go first; background jobs run when nothing else waits",
            gr.Radio,
            {"choices": list(settings.LANES)},
        ),
    )
    if companion := _companion():
        _attempt("show the companion's settings", lambda: companion.add_options(_SECTION))


def _option(default: Any, label: str, component: Any = None, args: Any = None, **more: Any) -> Any:
    return shared.OptionInfo(default, label, component, args, section=_SECTION, **more)


def _target_choices() -> dict[str, Any]:
    chosen = getattr(shared.opts, "mobilesd_target", None)
    names = [settings.ANY_SERVER, *service().server_choices(), chosen]
    # A server that is not listed at the moment stays chosen.
    return {
        "choices": list(dict.fromkeys(filter(None, names))),
        "allow_custom_value": True,
    }


def _place(name: str) -> Any:
    """Return an option that is none: a place for javascript/mobilesd.js.

    Forge fills an option's component with the option's value when the page loads, and lists the
    values elsewhere. So the component that it gets is an empty one, and the place with the
    page's token stands before it.
    """

    def component(value: Any = None, label: Any = None, elem_id: str = "", **_: Any) -> Any:
        gr.HTML(f'<div class="{name}" data-token="{html.escape(service().page_token)}"></div>')
        return gr.Textbox("", label=name, visible=False, elem_id=elem_id)

    option = _option("", name, component)
    option.do_not_save = True
    return option


def _on_ui_tabs() -> list[tuple[Any, str, str]]:
    with gr.Blocks(analytics_enabled=False) as tab:
        gr.HTML(jobs_html(service().page_token, "txt2img"))
        if companion := _companion():
            _attempt("show the companion's token", lambda: companion.token_panel(DATA))
    return [(tab, TITLE, "mobilesd_tab")]


def _on_app_started(demo: Any, app: Any) -> None:
    """Begin to work, now that there is an app; without a page `demo` is None."""
    _attempt("send and follow jobs", service().start)
    if demo is not None:
        _attempt("keep its files from Gradio's own routes", lambda: _block_data(demo))
        _attempt("show jobs", lambda: service().install_routes(app))
    if companion := _companion():
        _attempt("be a companion", lambda: companion.install_companion(app, DATA))


def _block_data(demo: Any) -> None:
    """Let /file= give out nothing of the data folder; Gradio empties this list when it launches."""
    blocked = getattr(demo, "blocked_paths", None)
    if isinstance(blocked, list):
        demo.blocked_paths = [*blocked, *map(str, _data_folders)]


def _companion() -> Any:
    """Return the engine companion's side of Forge; None for an extension without it."""
    try:
        return importlib.import_module("mobilesd_forge.host_companion")
    except ImportError:
        return None


def _attempt(what: str, do: Callable[[], Any]) -> None:
    try:
        do()
    except Exception:
        log.exception("MobileSD can't %s here.", what)
