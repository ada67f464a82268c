"""Callbacks of extensions, each by the time at which it is called."""

import traceback

_callbacks = {"app_started": [], "ui_tabs": [], "ui_settings": []}


def on_app_started(callback):
    _callbacks["app_started"].append(callback)


def on_ui_tabs(callback):
    _callbacks["ui_tabs"].append(callback)


def on_ui_settings(callback):
    _callbacks["ui_settings"].append(callback)


def clear_callbacks():
    for callbacks in _callbacks.values():
        callbacks.clear()


def call(name, *args):
    """Call all; what one of them raises is printed and goes no further."""
    found = []
    for callback in _callbacks[name]:
        try:
            found += callback(*args) or []
        except Exception:
            traceback.print_exc()
    return found
