"""Gradio as Forge bends it: hooks of scripts around each component, `_js` for `js`."""

import inspect
from functools import wraps

import gradio as gr
import gradio.component_meta

from modules import scripts


class _Event:
    """An event of a component under Forge's spelling, with the attributes of the real one."""

    def __init__(self, original):
        self.original = original
        self.has_trigger = getattr(original, "has_trigger", None)
        self.event_name = getattr(original, "event_name", None)
        self.callback = getattr(original, "callback", None)
        self._owner = getattr(original, "__self__", None)

    def __call__(self, *args, **kwargs):
        if "_js" in kwargs:
            kwargs["js"] = kwargs.pop("_js")
        return self.original(*args, **kwargs)

    @property
    def __self__(self):
        return self._owner


def _hooked(original):
    def __init__(self, *args, **kwargs):
        runner = scripts.scripts_current
        if runner is not None:
            runner.before_component(self, **kwargs)
        original(self, *args, **kwargs)
        if runner is not None:
            runner.after_component(self, **kwargs)

    return __init__


def _repaired(kind):
    original = kind.__init__
    allowed = inspect.signature(original).parameters

    @wraps(original)
    def __init__(self, *args, **kwargs):
        original(self, *args, **{name: v for name, v in kwargs.items() if name in allowed})
        for event in self.EVENTS:
            setattr(self, str(event), _Event(getattr(self, str(event))))

    kind.__init__ = __init__


def install():
    """Bend it; once, before the page is built."""
    gradio.component_meta.create_or_modify_pyi = lambda *args: None
    gr.components.Component.__init__ = _hooked(gr.components.Component.__init__)
    gr.blocks.BlockContext.__init__ = _hooked(gr.blocks.BlockContext.__init__)
    for name in {*gr.components.__all__, *gr.layouts.__all__}:
        kind = getattr(gr, name, None)
        if getattr(kind, "EVENTS", None):
            _repaired(kind)
