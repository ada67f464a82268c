"""Start the stand-in: load scripts as Forge does, build the page, then add the routes.

    python forge_stand_in --port 7861 --extension FOLDER [--service FILE] [--nowebui] [--compact]

Prints "ready" when the routes of the API and of extensions are there.
"""

import argparse
import contextlib
import importlib.util
import json
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SPENT = {}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--extension", type=Path, action="append", default=[])
    parser.add_argument("--service", type=Path, help="a file to use in place of service.py")
    parser.add_argument("--without", action="append", default=[], help="module:name to take away")
    parser.add_argument("--nowebui", action="store_true")
    parser.add_argument("--compact", action="store_true")
    args = parser.parse_args()

    from modules import gradio_extensions, scripts, shared

    gradio_extensions.install()
    from modules import builtin  # its components are bent as well

    shared.cmd_opts.nowebui = args.nowebui
    shared.opts.data["compact_prompt_box"] = args.compact
    take_away(args.without)
    scripts.loaded.extend(builtin.SCRIPTS)
    with spent("load"):
        for extension in args.extension:
            load_extension(extension, args.service)
    (serve_api if args.nowebui else serve_page)(args)
    sys.stdout.write(f"ready {json.dumps(SPENT)}\n")
    sys.stdout.flush()
    threading.Event().wait()


@contextlib.contextmanager
def spent(part):
    """Add up what a part of the start costs this thread."""
    begin = time.thread_time()
    yield
    SPENT[part] = SPENT.get(part, 0) + time.thread_time() - begin


def take_away(names):
    """Make this Forge one that lacks something, as forks do."""
    for name in names:
        module, _, attribute = name.partition(":")
        delattr(importlib.import_module(module), attribute)


def load_extension(folder, service):
    """Load scripts/*.py with the extension's folder on the path only meanwhile."""
    from modules import scripts

    before = list(sys.path)
    sys.path.insert(0, str(folder))
    try:
        if service:
            load(service, "mobilesd_forge.service")
        for path in sorted((folder / "scripts").glob("*.py")):
            names = vars(load(path, path.stem)).values()
            scripts.loaded[:0] = [
                kind
                for kind in names
                if isinstance(kind, type) and issubclass(kind, scripts.Script)
            ]
    finally:
        sys.path[:] = before


def load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def serve_page(args):
    import gradio.networking
    from modules import script_callbacks, ui
    from modules.api.api import Api

    head, css = page_files(args.extension)
    with spent("page"):
        demo = ui.create_ui(head=head, css=css)
    gradio.networking.url_ok = lambda url: True  # it waits 3 s only, whatever else runs here
    app, _, _ = demo.launch(
        server_name="127.0.0.1",
        server_port=args.port,
        prevent_thread_lock=True,
        quiet=True,
        # As Forge allows all below its own folder.
        allowed_paths=[str(extension.parent) for extension in args.extension],
    )
    with spent("start"):
        Api(app)
        script_callbacks.call("app_started", demo, app)


def serve_api(args):
    import uvicorn
    from fastapi import FastAPI
    from modules import script_callbacks, ui
    from modules.api.api import Api

    ui.create_ui(head="", css="")  # the API needs the scripts' inputs; nobody sees them
    app = FastAPI()
    Api(app)
    script_callbacks.call("app_started", None, app)
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=args.port, log_level="warning")
    )
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        threading.Event().wait(0.05)


def page_files(extensions):
    scripts = [HERE / "page.js"]
    styles = [HERE / "page.css"]
    for extension in extensions:
        scripts += sorted((extension / "javascript").glob("*.js"))
        styles += [path for path in [extension / "style.css"] if path.is_file()]
    head = "".join(f"<script>{path.read_text(encoding='utf-8')}</script>" for path in scripts)
    return head, "\n".join(path.read_text(encoding="utf-8") for path in styles)


main()
