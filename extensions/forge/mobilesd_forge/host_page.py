"""The buttons beside Generate and the list of jobs below them, on both tabs of Forge.

Nothing here is an input of a script: `ui()` returns nothing, so neither the arguments of other
scripts nor anybody's captured payload know of this extension.
"""

import html
import itertools
import logging
import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gradio as gr
from modules import scripts

from mobilesd_forge import host_reading
from mobilesd_forge.capture import not_applied
from mobilesd_forge.payload import CannotQueue

__all__ = ["TITLE", "Page", "jobs_html", "script_class"]

log = logging.getLogger(__name__)

TITLE = "MobileSD"
MAX_COUNT = 100
_SEEDS = [("seed +1", "incremental"), ("random seed", "random"), ("same seed", "fixed")]
_presses = itertools.count(1)
_ID = re.compile(r"[A-Za-z0-9-]{16,64}")
# The registration on Generate that makes pictures; the others keep states of scripts current.
_OUTPUTS_OF_GENERATE = 4
_KEPT_BY_WRAPPER = ("has_trigger", "event_name", "callback", "__self__")
_BARE = {"container": False, "show_label": False}  # the label is there for screen readers
# No queue: a press must not wait for a running generation.
_QUIET = {"queue": False, "show_progress": "hidden", "api_name": False}


def jobs_html(token: str, tab: str) -> str:
    """Return the place that javascript/mobilesd.js fills with this installation's jobs."""
    return f'<div class="mobilesd-jobs" data-token="{html.escape(token)}" data-tab="{tab}"></div>'


def _status(text: str, *, bad: bool = False) -> str:
    """Return what the page says after a press; never twice the same, or nothing would be seen."""
    kind = "mobilesd-status mobilesd-bad" if bad else "mobilesd-status"
    at = time.strftime("%H:%M:%S")
    return (
        f'<p role="status" class="{kind}" data-press="{next(_presses)}">{html.escape(text)}'
        f' <time class="mobilesd-time">{at}</time></p>'
    )


@dataclass
class _Sync:
    """A state of a script, and how Generate brings it up to date before it runs."""

    fn: Callable[..., Any]
    inputs: list[Any]
    state: Any


@dataclass
class Page:
    """What is on one tab, made while Forge builds it."""

    tab: str
    service: Any
    queue: Any = None
    queue_many: Any = None
    count: Any = None
    seeds: Any = None
    status: Any = None
    has_list: bool = False
    is_wired: bool = False
    syncs: list[_Sync] = field(default_factory=list)

    # --- Layout ------------------------------------------------------------------------------
    def make_buttons(self) -> None:
        """Make the buttons at this place of the page, unless they are there."""
        if self.queue is not None:
            return
        name = f"mobilesd_{self.tab}"
        with gr.Column(elem_id=f"{name}_box", elem_classes=["mobilesd-box"]):
            self.queue = gr.Button("Queue in MobileSD", elem_id=f"{name}_queue")
            with gr.Row(elem_classes=["mobilesd-row"]):
                self.queue_many = gr.Button("Queue ×N", elem_id=f"{name}_queue_many", min_width=40)
                self.count = gr.Number(
                    4,
                    label="How many jobs ×N makes",
                    precision=0,
                    elem_id=f"{name}_count",
                    min_width=40,
                    **_BARE,
                )
                self.seeds = gr.Dropdown(
                    _SEEDS,
                    value="incremental",
                    label="Seeds of the jobs that ×N makes",
                    elem_id=f"{name}_seeds",
                    min_width=40,
                    **_BARE,
                )
            self.status = gr.HTML("", elem_id=f"{name}_status")
        for made in (self.queue, self.queue_many, self.count, self.seeds, self.status):
            made.do_not_save_to_config = True  # or Forge writes it into ui-config.json
        self._keep_choices()

    def make_list(self) -> None:
        """Make the list of jobs and the way back to the page, unless they are there."""
        if self.has_list:
            return
        self.has_list = True
        with gr.Accordion("MobileSD: jobs", open=False, elem_id=f"mobilesd_{self.tab}_jobs"):
            gr.HTML(jobs_html(self.service.page_token, self.tab))
            name = f"mobilesd_paste_{self.tab}"
            # Hidden by style.css: what Gradio hides itself is not in the document.
            with gr.Row(elem_classes=["mobilesd-hidden"]):
                text = gr.Textbox("", label="infotext", elem_id=name)
                button = gr.Button("Send to the page", elem_id=f"{name}_button")
        for made in (text, button):
            made.do_not_save_to_config = True
        _connect_paste(self.tab, text, button)

    def _keep_choices(self) -> None:
        """Keep N and the seeds over reloads of the page, in this browser."""
        both = [self.count, self.seeds]
        for changed in both:
            changed.change(
                fn=None, inputs=both, outputs=None, js=f'(...a) => mobilesdKeep("{self.tab}", a)'
            )
        gr.context.Context.root_block.load(
            fn=None, inputs=both, outputs=both, js=f'(...a) => mobilesdKept("{self.tab}", a)'
        )

    # --- Events ------------------------------------------------------------------------------
    def listen(self, generate: Any) -> None:
        """See what Forge registers on Generate from now on, and leave it as it is."""
        original = generate.click

        def click(*args: Any, **kwargs: Any) -> Any:
            made = original(*args, **kwargs)
            try:
                self._registered(
                    **dict(zip(("fn", "inputs", "outputs"), args, strict=False)), **kwargs
                )
            except Exception:
                log.exception("The buttons of MobileSD in %s can't be connected.", self.tab)
            return made

        for name in _KEPT_BY_WRAPPER:
            if hasattr(original, name):
                setattr(click, name, getattr(original, name))
        generate.click = click

    def _registered(
        self, fn: Any = None, inputs: Any = None, outputs: Any = None, **_: Any
    ) -> None:
        inputs, outputs = _listed(inputs), _listed(outputs)
        if fn is not None and len(outputs) == 1 and isinstance(outputs[0], gr.State):
            self.syncs.append(_Sync(fn, inputs, outputs[0]))
        elif len(outputs) == _OUTPUTS_OF_GENERATE and not self.is_wired:
            self.is_wired = True
            self.make_buttons()  # a page without the places that Forge has
            self.make_list()
            self._wire(inputs)

    def _wire(self, inputs: list[Any]) -> None:
        syncs = [sync for sync in self.syncs if _place(sync.state, inputs) is not None]
        taken = [*inputs, *(value for sync in syncs for value in sync.inputs)]
        for button, chosen in ((self.queue, []), (self.queue_many, [self.count, self.seeds])):
            given = [*taken, *chosen]
            button.click(
                fn=self._handler(inputs, syncs),
                inputs=given,
                outputs=[self.status],
                # Gradio hands over the outputs as well.
                js=f"(...a) => mobilesdQueueInputs({button.elem_id!r}, a.slice(0, {len(given)}))",
                **_QUIET,
            )

    def _handler(self, inputs: list[Any], syncs: list[_Sync]) -> Callable[..., str]:
        def queue(click_id: str, request: gr.Request, *values: Any) -> str:
            own, rest = list(values[: len(inputs) - 1]), list(values[len(inputs) - 1 :])
            for sync in syncs:
                given, rest = rest[: len(sync.inputs)], rest[len(sync.inputs) :]
                _bring_up_to_date(own, _place(sync.state, inputs), sync, given)
            return self._submit(click_id, request, own, *rest)

        return queue

    def _submit(
        self,
        click_id: Any,
        request: Any,
        values: list[Any],
        count: Any = 1,
        seeds: Any = "incremental",
    ) -> str:
        """Queue what the page shows; return what to say of it."""
        try:
            count = _count(count)
            params = host_reading.READERS[self.tab](click_id, request, values, [TITLE])
        except CannotQueue as refusal:
            return _status(str(refusal), bad=True)
        except Exception:
            log.exception("The settings of %s can't be read.", self.tab)
            return _status(
                "This page's settings can't be read. Forge's console says why; Generate still"
                " works.",
                bad=True,
            )
        if not isinstance(click_id, str) or not _ID.fullmatch(click_id):
            click_id = str(uuid.uuid4())
        try:
            submitted = self.service.submit(
                params, click_id=click_id, count=count, seed_variation=seeds
            )
        except Exception:
            log.exception("The job can't be handed over.")
            return _status("The job was not queued. Forge's console says why.", bad=True)
        left_out = _left_out(params) if submitted.accepted else ""
        return _status(submitted.text + left_out, bad=not submitted.accepted)


def _left_out(params: dict[str, Any]) -> str:
    """Return a sentence about what would make another picture than Generate's, or nothing."""
    names = [host_reading.shown_name(option) for option in not_applied(params)]
    return f" Not applied by MobileSD: {', '.join(names)}." if names else ""


def _count(value: Any) -> int:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or value != value or not 1 <= value <= MAX_COUNT:
        raise CannotQueue(f"N must be a whole number from 1 to {MAX_COUNT}.")
    return int(value)


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple, set)) else [value]


def _place(component: Any, inputs: Sequence[Any]) -> int | None:
    return next((n for n, other in enumerate(inputs) if other is component), None)


def _bring_up_to_date(values: list[Any], place: int | None, sync: _Sync, given: list[Any]) -> None:
    """Put the state of this moment in the place of the one that the session remembers."""
    if place is None or place == 0:
        return
    try:
        values[place - 1] = sync.fn(*given)  # the first input is not among the values
    except Exception as error:
        log.warning("A script's state is taken as it was last changed: %s", error)


def _connect_paste(tab: str, text: Any, button: Any) -> None:
    try:
        try:
            from modules import infotext_utils as paste
        except ImportError:
            from modules import generation_parameters_copypaste as paste
        paste.register_paste_params_button(
            paste.ParamBinding(paste_button=button, tabname=tab, source_text_component=text)
        )
    except Exception as error:
        log.warning("MobileSD can't send jobs back to the page of this Forge: %s", error)


def script_class(service: Callable[[], Any]) -> type:
    """Return the class that Forge makes one object of for each tab."""

    class MobileSD(scripts.Script):  # type: ignore[misc]
        """Builds the page of a tab. It has no hooks, so that Generate runs as without it."""

        create_group = False

        def __init__(self) -> None:
            self._page: Page | None = None
            self._is_classic = False

        def title(self) -> str:
            return TITLE

        def show(self, is_img2img: bool) -> Any:
            return scripts.AlwaysVisible

        def ui(self, is_img2img: bool) -> list[Any]:
            """Make nothing: Forge calls this again at its start, for a page nobody sees."""
            return []

        def before_component(self, component: Any, **kwargs: Any) -> None:
            """Put the parts where they belong: Forge is about to make its next one."""
            place = kwargs.get("elem_id")
            if not isinstance(place, str) or self._page is None:
                return
            page = self._page
            make = {
                # Below Generate; with the compact prompt box this row is elsewhere.
                f"{self.tabname}_tools": page.make_buttons if self._is_classic else None,
                # Over the whole width, below prompts and buttons.
                f"{self.tabname}_extra_tabs": page.make_list if self._is_classic else None,
                f"{self.tabname}_results_panel": partial(_both, page),
            }.get(place)
            if make is not None:
                _safely(make, self.tabname)

        def after_component(self, component: Any, **kwargs: Any) -> None:
            """Take hold of Generate when Forge has made it."""
            place = kwargs.get("elem_id") or getattr(component, "elem_id", None)
            if place != f"{self.tabname}_generate" or self._page is not None:
                return
            if missing := host_reading.check(self.tabname):
                log.warning(
                    "MobileSD has no buttons in %s: this Forge lacks %s.", self.tabname, missing
                )
                return
            self._is_classic = not _is_compact(self.tabname)
            self._page = Page(self.tabname, service())
            _safely(partial(self._page.listen, component), self.tabname)

    return MobileSD


def _both(page: Page) -> None:
    page.make_buttons()
    page.make_list()


def _is_compact(tab: str) -> bool:
    """Tell whether Generate is made outside of the column in which it stands normally."""
    block = gr.context.Context.block
    while block is not None:
        if getattr(block, "elem_id", None) == f"{tab}_actions_column":
            return False
        block = getattr(block, "parent", None)
    return True


def _safely(make: Callable[[], Any], tab: str) -> None:
    try:
        make()
    except Exception:
        log.exception("MobileSD's part of %s can't be made.", tab)
