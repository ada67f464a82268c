"""A minimal Forge: its modules, its app with routes, its queue lock; pictures are a few numbers."""

import threading
import time
import types

from mobilesd_forge.companion.engine import KINDS


class Refused(Exception):
    """As pydantic's ValidationError."""

    def errors(self):
        return [{"loc": ("steps",), "msg": "Input should be a valid integer", "type": "int_type"}]


class HTTPException(Exception):
    def __init__(self, status_code, detail):
        super().__init__(detail)
        self.status_code = status_code
        self.detail = detail


class Request:
    """A model of a request: all that is given, by name."""

    def __init__(self, **values):
        if not isinstance(values.get("steps", 1), int):
            raise Refused
        self.force_task_id = None
        self.__dict__.update(values)


class Answer:
    def __init__(self, **values):
        self.__dict__.update(values)


class Route:
    def __init__(self, path, endpoint, methods=("POST",)):
        self.path = path
        self.endpoint = endpoint
        self.methods = set(methods)


class State:
    """modules.shared.state."""

    def __init__(self):
        self.interrupted = False
        self.job, self.job_no, self.job_count = "", 0, 0
        self.sampling_step, self.sampling_steps = 0, 0
        self.time_start = None
        self.current_image, self.id_live_preview = None, 0

    def begin(self, job="(unknown)"):
        self.interrupted = False
        self.job, self.job_no, self.job_count = job, 0, -1
        self.sampling_step = 0
        self.time_start = time.time()

    def end(self):
        self.job, self.job_count = "", 0

    def set_current_image(self):
        pass


class ForgeLike:
    """One Forge in this process. `elsewhere`: it samples in another thread than the caller's."""

    def __init__(self, monkeypatch, *, without=(), elsewhere=False):
        self.state = State()
        self.progress = types.SimpleNamespace(current_task=None)
        self.callbacks = []
        self.lock = threading.Lock()
        self.elsewhere = elsewhere
        self.log = []
        self.gate = threading.Event()  # sampling waits for it after its first step
        self.options = types.SimpleNamespace(live_previews_enable=True)
        shared = types.SimpleNamespace(state=self.state, opts=self.options)
        register = types.SimpleNamespace(on_cfg_denoiser=self.callbacks.append)
        modules = {
            "modules": types.ModuleType("modules"),
            "modules.shared": shared,
            "modules.progress": self.progress,
            "modules.script_callbacks": register,
            "modules.launch_utils": types.SimpleNamespace(git_tag=lambda: "f2.0.1"),
        }
        for name, module in modules.items():
            monkeypatch.setitem(
                __import__("sys").modules, name, None if name in without else module
            )
        self.routes = [Route(f"/sdapi/v1/{kind}", getattr(self, _method(kind))) for kind in KINDS]

    def txt2img(self, req: Request):
        return self._generate("scripts_txt2img", req)

    def img2img(self, req: Request):
        if not hasattr(req, "init_images"):
            raise HTTPException(404, "Init image not found")
        return self._generate("scripts_img2img", req)

    def extra_single_image(self, req: Request):
        with self.lock:
            self.log.append(["Upscale", None, 0])
        return Answer(image=b"eA==", html_info="")

    def page_run(self, steps=4):
        """Make a picture as the page does, with an id of its own."""
        request = Request(steps=steps, force_task_id="task(page-1)")
        return self._generate("task(page-1)", request)

    def _generate(self, job, req):
        with self.lock:
            if not self.elsewhere:
                return self._sample(job, req)
            found = []
            thread = threading.Thread(target=lambda: found.append(self._sample(job, req)))
            thread.start()
            thread.join()
            return found[0]

    def _sample(self, job, req):
        steps, entry = getattr(req, "steps", 4), [job, req.force_task_id, 0]
        self.log.append(entry)
        self.state.begin(job=job)
        self.progress.current_task = req.force_task_id
        try:
            if getattr(req, "prompt", "") == "fails":
                raise RuntimeError("nothing left of the GPU")
            self.state.job_count, self.state.sampling_steps = 1, steps
            for step in range(steps):
                if self.state.interrupted:
                    break
                for callback in self.callbacks:
                    callback(object())
                self.state.sampling_step = step + 1
                entry[2] = step + 1
                self.gate.wait(10)
            info = '{"infotexts": ["a"]}'
            self.progress.current_task = None
            number = float("nan") if getattr(req, "prompt", "") == "nan" else 7.0
            return Answer(images=[b"eA=="], parameters={"cfg_scale": number}, info=info)
        finally:
            self.state.end()


def _method(kind):
    return kind.replace("-", "_")
