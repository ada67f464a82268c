"""extra-single-image: one picture made larger, without a task id and without a model."""

from __future__ import annotations

import time
from typing import Any

from PIL import Image

from dispatch.fakes.forge import pictures
from dispatch.fakes.forge.engine import Engine
from dispatch.fakes.forge.errors import PythonError
from dispatch.fakes.forge.job import encode_json, fault_error
from dispatch.fakes.forge.recorded import recorded
from dispatch.fakes.forge.runlog import Run


def upscale(engine: Engine, request: dict[str, Any], run: Run) -> bytes:
    """Make a picture larger when its turn comes; return the answer's body.

    Takes as long as a first pass. Raise RequestRefused or PythonError, ServerStopped when the
    server is stopped.
    """
    image = pictures.decode(request["image"])
    factor, name = request["upscaling_resize"], request["upscaler_1"]
    size = (max(int(image.width * factor), 1), max(int(image.height * factor), 1))
    with engine.turn():
        run.started_at = time.time()
        ends_at = time.monotonic() + engine.seconds
        engine.state.begin_upscale()
        try:
            if name not in [upscaler["name"] for upscaler in recorded("upscalers")]:
                # Nothing resets the state after an error (progress/single-run, first line).
                raise PythonError("AssertionError", f"could not find upscaler named {name}")
            fault = engine.faults.take(
                {"http_500", "oom", "stall"}, run.path, pixels=(size[0] * size[1], False)
            )
            if fault is not None:
                run.faults.append(fault.kind)
                if fault.kind != "stall":
                    raise fault_error(fault)
                ends_at += fault.seconds
            larger = image.resize(size, Image.Resampling.LANCZOS)
            engine.wait_until(ends_at)
            engine.state.end()
        finally:
            run.interrupted = engine.state.interrupted
            run.ended_at = time.time()
    html = f"<p>Postprocess upscale by: {factor}, Postprocess upscaler: {name}</p>"
    return encode_json({"html_info": html, "image": pictures.encode(larger)})
