"""Scripts: their base classes, and the runner of each tab."""

import inspect
import traceback

import gradio as gr

AlwaysVisible = object()
scripts_current = None
loaded = []  # classes, in the order of their loading


class Script:
    filename = name = section = None
    args_from = args_to = None
    alwayson = is_txt2img = is_img2img = False
    tabname = group = api_info = controls = None
    create_group = True
    setup_for_ui_only = False

    def title(self):
        raise NotImplementedError

    def ui(self, is_img2img):
        return None

    def show(self, is_img2img):
        return True

    def setup(self, p, *args):
        pass

    def process(self, p, *args):
        pass

    def run(self, p, *args):
        pass

    def before_component(self, component, **kwargs):
        pass

    def after_component(self, component, **kwargs):
        pass

    def effect(self, p, *args):
        """What the arguments change in the picture; only here, for the stand-in's pixels."""
        return list(args)


class ScriptBuiltinUI(Script):
    setup_for_ui_only = True


class ScriptRunner:
    def __init__(self):
        self.scripts, self.alwayson_scripts, self.selectable_scripts = [], [], []
        self.inputs = [None]

    def initialize_scripts(self, is_img2img):
        for kind in loaded:
            script = kind()
            script.filename = inspect.getfile(kind)
            script.is_img2img, script.is_txt2img = is_img2img, not is_img2img
            script.tabname = "img2img" if is_img2img else "txt2img"
            shown = script.show(is_img2img)
            script.alwayson = shown is AlwaysVisible
            if shown:
                self.scripts.append(script)
                (self.alwayson_scripts if script.alwayson else self.selectable_scripts).append(
                    script
                )

    def setup_ui(self):
        self.inputs = [None]
        for script in self.alwayson_scripts:
            self._create(script)
        titles = [script.title() for script in self.selectable_scripts]
        self.inputs[0] = gr.Dropdown(["None", *titles], value="None", type="index", label="Script")
        for script in self.selectable_scripts:
            self._create(script)
        return self.inputs

    def _create(self, script):
        from modules.api import models

        script.args_from = script.args_to = len(self.inputs)
        try:
            if script.create_group:
                with gr.Group(visible=script.alwayson):
                    controls = script.ui(script.is_img2img)
            else:
                controls = script.ui(script.is_img2img)
        except Exception:
            traceback.print_exc()
            return
        script.controls = controls
        if controls is None:
            return
        script.name = script.title().lower()
        script.api_info = models.ScriptInfo(
            name=script.name,
            args=[models.ScriptArg(value=getattr(c, "value", None)) for c in controls],
        )
        self.inputs += controls
        script.args_to = len(self.inputs)

    def setup_scrips(self, p, *, is_ui):
        for script in self.alwayson_scripts:
            if is_ui or not script.setup_for_ui_only:
                script.setup(p, *p.script_args[script.args_from : script.args_to])

    def before_component(self, component, **kwargs):
        for script in self.scripts:
            script.before_component(component, **kwargs)

    def after_component(self, component, **kwargs):
        for script in self.scripts:
            script.after_component(component, **kwargs)


scripts_txt2img = ScriptRunner()
scripts_img2img = ScriptRunner()
