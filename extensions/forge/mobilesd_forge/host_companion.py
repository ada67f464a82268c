"""The companion in Forge: its start, its options, and the place where its token is shown."""

import importlib
import logging
from pathlib import Path
from typing import Any

from mobilesd_forge.companion import Companion, install
from mobilesd_forge.companion.jobs import Limits
from mobilesd_forge.companion.token import CompanionToken
from mobilesd_forge.host_engine import ForgeEngine

__all__ = ["add_options", "install_companion", "token_panel"]

log = logging.getLogger(__name__)

_HOURS, _GIGABYTES = "mobilesd_companion_keep_hours", "mobilesd_companion_keep_gb"
_ABOUT = (
    "With this token MobileSD hands its jobs to this Forge through the extension: a cancel stops"
    " exactly its own picture, and finished pictures survive a restart. Copy it into the form of"
    " this server in MobileSD. Who has it can make pictures here."
)


def install_companion(app: Any, data_folder: Path) -> Companion | None:
    """Start the companion on this app; after "Reload UI" go on with the one that works."""
    return install(app, ForgeEngine(), data_folder, _limits())


def add_options(section: tuple[str, str]) -> None:
    """Add the companion's options to a section of Forge's settings; call it in on_ui_settings."""
    shared, gradio = importlib.import_module("modules.shared"), importlib.import_module("gradio")
    usual = Limits()
    for name, default, most, label in (
        (_HOURS, usual.keep_seconds / 3600, 24 * 14, "Companion: keep unfetched pictures (hours)"),
        (_GIGABYTES, usual.keep_bytes / 1024**3, 100, "Companion: keep at most (GB)"),
    ):
        bounds = {"minimum": 1, "maximum": most, "step": 1}
        option = shared.OptionInfo(int(default), label, gradio.Slider, bounds, section=section)
        shared.opts.add_option(name, option)


def token_panel(data_folder: Path) -> None:
    """Add the panel with the token to the page that is being built; it is empty until asked.

    No option holds the token: Forge prints all options at /internal/sysinfo.
    """
    gradio = importlib.import_module("gradio")
    token = CompanionToken(data_folder)
    with gradio.Accordion("Engine companion", open=False, elem_id="mobilesd_companion"):
        gradio.Markdown(_ABOUT)
        shown = gradio.Textbox(
            label="Companion token",
            interactive=False,
            show_copy_button=True,
            elem_id="mobilesd_companion_token",
        )
        with gradio.Row():
            show = gradio.Button("Show the token", elem_id="mobilesd_companion_show")
            renew = gradio.Button("Make a new token", elem_id="mobilesd_companion_renew")
        show.click(token.value, outputs=[shown], api_name=False, queue=False)
        renew.click(token.renew, outputs=[shown], api_name=False, queue=False)


def _limits() -> Limits:
    """Return what the options say; the usual where they are not there or no numbers."""
    usual = Limits()
    try:
        options = importlib.import_module("modules.shared").opts
        hours, size = getattr(options, _HOURS), getattr(options, _GIGABYTES)
        return Limits(keep_seconds=float(hours) * 3600, keep_bytes=int(float(size) * 1024**3))
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        log.info("the companion's usual limits: %s", error)
        return usual
