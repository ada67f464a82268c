"""Sending parameters to the page, and settings that override options."""

import re

import gradio as gr

paste_fields = {}
_bindings = []


class ParamBinding:
    def __init__(self, paste_button, tabname, source_text_component=None):
        self.paste_button, self.tabname = paste_button, tabname
        self.source_text_component = source_text_component


def register_paste_params_button(binding):
    _bindings.append(binding)


def add_paste_fields(tabname, fields):
    paste_fields[tabname] = fields


def connect_paste_params_buttons():
    for binding in _bindings:
        fields = paste_fields[binding.tabname]
        binding.paste_button.click(
            fn=_parser([name for _, name in fields]),
            _js=f"(...a) => (switch_to_{binding.tabname}(), a.slice(0, 1))",
            inputs=[binding.source_text_component],
            outputs=[component for component, _ in fields],
            show_progress=False,
        )


def create_override_settings_dict(texts):
    """Read "Name: value" texts; here under the options' own names."""
    found = {}
    for text in texts or ():
        name, _, value = text.partition(": ")
        found[name] = int(value) if value.isdigit() else value
    return found


def _parser(names):
    def parse(text):
        *lines, last = text.strip().split("\n")
        found = dict(re.findall(r"([\w ]+): ([^,]+)(?:, |$)", last))
        found["Prompt"] = lines[0] if lines else ""
        values = [found.get(name, gr.update()) for name in names]
        return [int(v) if isinstance(v, str) and v.isdigit() else v for v in values]

    return parse
