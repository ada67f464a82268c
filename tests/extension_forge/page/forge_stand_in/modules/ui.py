"""The page: two tabs, laid out and named as Forge's, with the settings after them."""

import gradio as gr

from modules import infotext_utils, script_callbacks, scripts, shared
from modules.canvas import ForgeCanvas
from modules.img2img import img2img
from modules.txt2img import txt2img


class Toprow:
    """Prompts, Generate and the small tools; with the compact box they stand apart."""

    def __init__(self, tab, compact):
        self.tab, self.compact = tab, compact
        if compact:
            self.box = self._submit_box(render=False)
            return
        with gr.Row(elem_id=f"{tab}_toprow"):
            self._prompts()
            with gr.Column(scale=1, elem_id=f"{tab}_actions_column"):
                self.box = self._submit_box()
                self._tools()

    def _submit_box(self, **options):
        with gr.Row(
            elem_id=f"{self.tab}_generate_box", elem_classes=["generate-box"], **options
        ) as box:
            self.submit = gr.Button(
                "Generate", elem_id=f"{self.tab}_generate", variant="primary", tooltip="a hint"
            )
        return box

    def _prompts(self):
        with gr.Column(elem_id=f"{self.tab}_prompt_container", scale=6):
            self.prompt = gr.Textbox(
                label="Prompt", lines=3, elem_id=f"{self.tab}_prompt", show_label=False
            )
            self.negative = gr.Textbox(
                label="Negative prompt", lines=3, elem_id=f"{self.tab}_neg_prompt", show_label=False
            )

    def _tools(self):
        with gr.Row(elem_id=f"{self.tab}_tools"):
            gr.Button("↙", elem_classes=["tool"], min_width=20)
            gr.Button("✕", elem_classes=["tool"], min_width=20)
        self.styles = gr.Dropdown(
            list(shared.STYLES), multiselect=True, label="Styles", elem_id=f"{self.tab}_styles"
        )

    def inline(self):
        if self.compact:
            self._prompts()
            self._tools()

    def inline_box(self):
        if self.compact:
            self.box.render()


def _common(tab):
    width = gr.Slider(64, 2048, 512, step=8, label="Width", elem_id=f"{tab}_width")
    height = gr.Slider(64, 2048, 512, step=8, label="Height", elem_id=f"{tab}_height")
    count = gr.Slider(1, 100, 1, step=1, label="Batch count", elem_id=f"{tab}_batch_count")
    size = gr.Slider(1, 8, 1, step=1, label="Batch size")
    cfg = gr.Slider(1, 30, 7.0, step=0.5, label="CFG Scale", elem_id=f"{tab}_cfg_scale")
    return width, height, count, size, cfg


def _outputs(tab, toprow):
    with gr.Column(variant="panel", elem_id=f"{tab}_results"):
        toprow.inline_box()
        with gr.Column(variant="panel", elem_id=f"{tab}_results_panel"):
            gallery = gr.Gallery(label="Output", elem_id=f"{tab}_gallery", height=200)
            info = gr.Textbox(visible=False)
            text = gr.HTML(elem_id=f"{tab}_html_info")
            log = gr.HTML()
    return [gallery, info, text, log]


def _connect(tab, fn, inputs, outputs, toprow, sampler, seed):
    submit = "submit" if tab == "txt2img" else "submit_img2img"
    args = {
        "fn": fn,
        "_js": f"(...args) => {submit}(args.slice(0, {len(inputs)}))",
        "inputs": inputs,
        "outputs": outputs,
        "show_progress": "hidden",
    }
    toprow.prompt.submit(**args)
    toprow.submit.click(**args)
    fields = [(toprow.prompt, "Prompt"), (sampler.steps, "Steps"), (seed.seed, "Seed")]
    infotext_utils.add_paste_fields(tab, fields)


def _script(runner, title):
    return next(script for script in runner.scripts if script.title() == title)


def _txt2img(compact):
    runner = scripts.scripts_current = scripts.scripts_txt2img
    runner.initialize_scripts(False)
    with gr.Blocks(analytics_enabled=False) as interface:
        toprow = Toprow("txt2img", compact)
        task = gr.Textbox(visible=False)
        with gr.Tabs(elem_id="txt2img_extra_tabs"), gr.Tab("Generation"), gr.Row():
            with gr.Column(elem_id="txt2img_settings"):
                toprow.inline()
                width, height, count, size, cfg = _common("txt2img")
                distilled = gr.Slider(0, 30, 3.5, label="Distilled CFG Scale")
                with gr.Accordion("Hires. fix", open=False):
                    hires = gr.Checkbox(False, label="Hires. fix", elem_id="txt2img_hr")
                    upscaler = gr.Dropdown(["Latent", "ESRGAN"], value="Latent", label="Upscaler")
                    strength = gr.Slider(0, 1, 0.7, step=0.01, label="Denoising strength")
                    scale = gr.Slider(1, 4, 2.0, step=0.05, label="Upscale by")
                    added = gr.Dropdown(
                        ["Use same choices", "hr.safetensors"],
                        value=["Use same choices"],
                        multiselect=True,
                        label="Hires VAE / Text Encoder",
                    )
                    hr_prompt = gr.Textbox(label="Hires prompt", elem_id="hires_prompt")
                    hr_cfg = gr.Slider(1, 30, 7.0, step=0.5, label="Hires CFG Scale")
                overrides = gr.Dropdown(
                    ["CLIP_stop_at_last_layers: 3", "randn_source: CPU", "s_churn: 1"],
                    multiselect=True,
                    label="Override settings",
                    elem_id="txt2img_override_settings",
                )
                own = runner.setup_ui()
            outputs = _outputs("txt2img", toprow)
        inputs = [task, toprow.prompt, toprow.negative, toprow.styles, count, size, cfg, distilled]
        inputs += [height, width, hires, strength, scale, upscaler, added, hr_prompt, hr_cfg]
        inputs += [overrides, *own]
        sampler, seed = _script(runner, "Sampler"), _script(runner, "Seed")
        _connect("txt2img", txt2img, inputs, outputs, toprow, sampler, seed)
    return interface


def _modes():
    with gr.Tabs(elem_id="mode_img2img"):
        chosen = gr.Number(0, label="Chosen tab", elem_id="img2img_chosen")
        canvases = []
        tabs = []
        for name in ("img2img", "sketch", "inpaint", "inpaint_sketch"):
            with gr.Tab(name, elem_id=f"img2img_{name}_tab") as tab:
                canvases.append(ForgeCanvas(f"img2img_{name}"))
            tabs.append(tab)
        with gr.Tab("upload", elem_id="img2img_upload_tab") as tab:
            base = gr.Image(type="pil", elem_id="img_inpaint_base")
            mask = gr.Image(type="pil", image_mode="RGBA", elem_id="img_inpaint_mask")
        tabs.append(tab)
        with gr.Tab("batch", elem_id="img2img_batch_tab") as tab:
            gr.Textbox(label="Input directory")
        tabs.append(tab)
        for number, tab in enumerate(tabs):
            tab.select(fn=lambda number=number: number, inputs=[], outputs=[chosen])
    pictures = [canvases[0].background]
    for canvas in canvases[1:]:
        pictures += [canvas.background, canvas.foreground]
    return chosen, [*pictures, base, mask]


def _img2img(compact):
    runner = scripts.scripts_current = scripts.scripts_img2img
    runner.initialize_scripts(True)
    with gr.Blocks(analytics_enabled=False) as interface:
        toprow = Toprow("img2img", compact)
        task = gr.Textbox(visible=False)
        with gr.Tabs(elem_id="img2img_extra_tabs"), gr.Tab("Generation"), gr.Row():
            with gr.Column(elem_id="img2img_settings"):
                toprow.inline()
                chosen, pictures = _modes()
                resize = gr.Radio(
                    ["Just resize", "Crop and resize"],
                    type="index",
                    value="Just resize",
                    label="Resize mode",
                )
                scale_tab = gr.Number(0, label="Resize tab", elem_id="img2img_scale_tab")
                scale_by = gr.Slider(
                    0.05, 4, 1.0, step=0.05, label="Scale", elem_id="img2img_scale"
                )
                width, height, count, size, cfg = _common("img2img")
                strength = gr.Slider(0, 1, 0.75, step=0.01, label="Denoising strength")
                blur = gr.Slider(0, 64, 4, step=1, label="Mask blur", elem_id="img2img_mask_blur")
                invert = gr.Radio(
                    ["Inpaint masked", "Inpaint not masked"],
                    value="Inpaint masked",
                    type="index",
                    label="Mask mode",
                )
                fill = gr.Radio(
                    ["fill", "original", "latent noise"],
                    value="original",
                    type="index",
                    label="Masked content",
                )
                area = gr.Radio(
                    ["Whole picture", "Only masked"],
                    value="Whole picture",
                    type="index",
                    label="Inpaint area",
                )
                padding = gr.Slider(0, 256, 32, step=4, label="Only masked padding")
                overrides = gr.Dropdown([], multiselect=True, label="Override settings")
                own = runner.setup_ui()
            outputs = _outputs("img2img", toprow)
        inputs = [
            task,
            chosen,
            toprow.prompt,
            toprow.negative,
            toprow.styles,
            *pictures,
            blur,
            fill,
        ]
        inputs += [count, size, cfg, strength, scale_tab, height, width, scale_by, resize]
        inputs += [area, padding, invert, overrides, *own]
        sampler, seed = _script(runner, "Sampler"), _script(runner, "Seed")
        _connect("img2img", img2img, inputs, outputs, toprow, sampler, seed)
    return interface


def _settings():
    """Show all options; on loading the page each component gets its option's value."""
    opts = shared.opts
    keys, components = list(opts.data_labels), []
    with gr.Blocks(analytics_enabled=False) as interface:
        apply = gr.Button("Apply settings", elem_id="settings_submit", variant="primary")
        result = gr.HTML(elem_id="settings_result")
        for key in keys:
            components.append(_setting(key))

    def value_of(key):
        return gr.update(value=getattr(opts, key), **_args(opts.data_labels[key]))

    def run_settings(*values):
        changed = [key for key, value in zip(keys, values, strict=True) if opts.set(key, value)]
        return f"{len(changed)} settings changed: {', '.join(changed)}."

    def functionality(demo):
        apply.click(fn=run_settings, inputs=components, outputs=[result])
        demo.load(
            fn=lambda: [*[value_of(key) for key in keys], "The settings are shown."],
            outputs=[*components, result],
            queue=False,
        )

    return interface, functionality


def _args(info):
    args = info.component_args() if callable(info.component_args) else info.component_args
    return args or {}


def _setting(key):
    info = shared.opts.data_labels[key]
    kinds = {str: gr.Textbox, int: gr.Number, bool: gr.Checkbox}
    component = info.component or kinds[type(info.default)]
    options = {"label": info.label, "value": getattr(shared.opts, key), "elem_id": f"setting_{key}"}
    if info.refresh is None:
        return component(**options, **_args(info))
    with gr.Row():
        made = component(**options, **_args(info))
        refresh = gr.Button("↻", elem_id=f"refresh_{key}", elem_classes=["tool"], min_width=20)

    def refreshed():
        info.refresh()
        return gr.update(**_args(info))

    refresh.click(fn=refreshed, inputs=[], outputs=[made])
    return made


def create_ui(*, head, css):
    script_callbacks.call("ui_settings")
    compact = shared.opts.compact_prompt_box
    tabs = [(_txt2img(compact), "txt2img", "txt2img"), (_img2img(compact), "img2img", "img2img")]
    scripts.scripts_current = None
    tabs += script_callbacks.call("ui_tabs")
    settings, functionality = _settings()
    tabs.append((settings, "Settings", "settings"))
    with gr.Blocks(title="Stable Diffusion", analytics_enabled=False, head=head, css=css) as demo:
        infotext_utils.connect_paste_params_buttons()
        with gr.Tabs(elem_id="tabs"):
            for interface, label, elem_id in tabs:
                with gr.TabItem(label, id=elem_id, elem_id=f"tab_{elem_id}"):
                    interface.render()
        functionality(demo)
    return demo
