"""txt2img and img2img: one at a time, step by step, with Forge's ways of going wrong."""

from __future__ import annotations

import json
import math
import random
import string
import time
from collections.abc import Iterable
from typing import Any

from PIL import Image

from dispatch.fakes.forge import pictures
from dispatch.fakes.forge.engine import Engine, no_model
from dispatch.fakes.forge.errors import PythonError, RequestRefused
from dispatch.fakes.forge.faults import Fault
from dispatch.fakes.forge.infotext import Facts
from dispatch.fakes.forge.inventory import Checkpoint
from dispatch.fakes.forge.parameters import (
    OUT_OF_MEMORY,
    check_values,
    facts_of,
    final_size,
    floored,
    sampled_steps,
)
from dispatch.fakes.forge.pictures import Sketch
from dispatch.fakes.forge.runlog import Run
from dispatch.fakes.forge.scripts import check_scripts, detected_maps, less_memory

# Shorter steps than this are done several at a time, so that a million of them cost nothing.
_SHORTEST_STEP = 0.001


def generate(engine: Engine, kind: str, request: dict[str, Any], run: Run) -> bytes:
    """Run one job ("txt2img" or "img2img") when its turn comes; return the answer's body.

    Raise RequestRefused or PythonError, ServerStopped when the server is stopped.
    """
    if kind == "img2img" and request["init_images"] is None:
        raise RequestRefused(404, "Init image not found")
    if request["infotext"]:
        message = "isinstance() argument 2 cannot be a parameterized generic"
        raise PythonError("TypeError", message)
    check_scripts(kind, request, engine.extra_scripts)
    task = request["force_task_id"] or _new_task_id(kind)
    engine.tasks.add(task)
    with engine.turn():
        # A bad init image fails here, before the start: the task stays queued for ever.
        job = Job(engine, kind, request, run)
        run.started_at = time.time()
        engine.state.begin(f"scripts_{kind}")
        try:
            engine.tasks.start(task)
            body = job.process()
            # Not reached after an error: a failed task stays active until the next begins.
            engine.tasks.finish(task)
        finally:
            engine.state.end()
            run.interrupted = engine.state.interrupted
            run.ended_at = time.time()
    return body


class Job:
    """One generation from its turn to its answer. Made while the queue is held."""

    def __init__(self, engine: Engine, kind: str, request: dict[str, Any], run: Run) -> None:
        self.engine = engine
        self.state = engine.state
        self.kind = kind
        self.request = request
        self.run = run
        self.init_images: list[Image.Image] = []
        self.mask: Image.Image | None = None
        if kind == "img2img":
            self.init_images = [
                pictures.decode(image).convert("RGB") for image in request["init_images"]
            ]
            if request["mask"]:
                self.mask = pictures.decode(request["mask"]).convert("L")
        self.drawn: list[Image.Image] = []
        self.images: list[str] = []
        self.infotexts: list[str] = []
        self.doomed: Fault | None = None
        self.trouble: Fault | None = None

    def process(self) -> bytes:
        """Apply overrides, load the model, sample; return the answer's body."""
        options = self.engine.options
        overrides = self._overrides()
        before = options.restorable(overrides)
        try:
            options.update(overrides)
            return self._process()
        finally:
            if self.request["override_settings_restore_afterwards"]:
                options.update(before)

    def _overrides(self) -> dict[str, Any]:
        overrides: dict[str, Any] = self.request["override_settings"] or {}
        name = overrides.get("sd_model_checkpoint")
        if name is not None and self.engine.inventory.find(name) is None:
            # Dropped from the request itself: the echo in `parameters` lacks it too.
            del overrides["sd_model_checkpoint"]
        return overrides

    def _process(self) -> bytes:
        engine, request, state = self.engine, self.request, self.state
        forced = self._wrong_checkpoint()
        if self._fault("poison"):
            engine.poison()
        checkpoint = forced or engine.selected()
        if checkpoint is None:
            raise no_model()
        engine.load(checkpoint, self.run)
        self.run.checkpoint = checkpoint.name
        check_values(request, engine.inventory)
        if self.kind == "img2img" and not self.init_images:
            message = "Dimension out of range (expected to be in range of [-1, 0], but got 1)"
            raise PythonError("IndexError", message)
        facts = facts_of(self.kind, request, checkpoint, engine.inventory, engine.options)
        count: int = request["n_iter"]
        state.job_count = count * (2 if request.get("enable_hr") else 1)
        self.doomed = self._fault("oom", "http_500")
        self.trouble = self._fault("stall", "foreign_interrupt")
        black = self._fault("black_image") is not None or math.isnan(facts.cfg_scale)
        body = None
        for iteration in range(count):
            state.skipped = False
            if state.interrupted and iteration:
                break
            # POST /options in the middle of a run changes the model of its other pictures,
            # and their infotexts still name the first one (queue/switch-mid-run).
            current = forced or engine.selected() or checkpoint
            if current != checkpoint or iteration:
                engine.load(current, self.run)
            if count > 1:
                state.job = f"Batch {iteration + 1} out of {count}"
            sketches = self._sketches(facts, iteration, current, black)
            done, deadline, size = self._sample(sketches[0])
            self._draw(facts, iteration, sketches, done, size)
            # Everything is made before the last step is over, so that the next job starts
            # the moment this one ends.
            if iteration + 1 == count:
                body = self._answer(facts)
            engine.wait_until(deadline)
            state.next_job()
        return body or self._answer(facts)

    def _wrong_checkpoint(self) -> Checkpoint | None:
        """Return another checkpoint than the one asked for, if a fault wants that."""
        if self._fault("wrong_checkpoint") is None:
            return None
        asked = self.engine.selected()
        others = (item for item in self.engine.inventory.listed() if item != asked)
        return next(others, None)

    def _sketches(
        self, facts: Facts, iteration: int, checkpoint: Checkpoint, black: bool
    ) -> list[Sketch]:
        size = facts.batch_size
        settings = repr(
            (
                facts.negative,
                facts.sampler,
                facts.scheduler,
                facts.cfg_scale,
                facts.steps,
                facts.clip_skip,
                facts.extra,
            )
        )
        return [
            Sketch(
                seed=facts.seeds[index],
                prompt=facts.prompt,
                checkpoint=checkpoint.stem,
                settings=settings,
                width=floored(facts.width),
                height=floored(facts.height),
                init=self.init_images[index % len(self.init_images)] if self.init_images else None,
                mask=self.mask,
                denoising=facts.denoising_strength or 0.0,
                black=black,
            )
            for index in range(iteration * size, (iteration + 1) * size)
        ]

    def _sample(self, sketch: Sketch) -> tuple[float, float, tuple[int, int]]:
        """Do all steps but the wait of the last one, in which the picture is drawn.

        Return (part done, time at which the picture is due, its size).
        """
        request = self.request
        steps = sampled_steps(self.kind, request)
        each = self.engine.seconds_a_step(steps)
        done, deadline = self._pass(sketch, steps, each)
        if not request.get("enable_hr"):
            return done, deadline, (sketch.width, sketch.height)
        self.engine.wait_until(deadline)
        if request["hr_additional_modules"] is None:
            raise PythonError("TypeError", "argument of type 'NoneType' is not iterable")
        if self.state.interrupted or self.state.skipped:
            return done, deadline, (sketch.width, sketch.height)
        self.state.next_job()
        done, deadline = self._pass(sketch, request["hr_second_pass_steps"] or steps, each)
        return done, deadline, final_size(request)

    def _pass(self, sketch: Sketch, steps: int, each: float) -> tuple[float, float]:
        """Walk `steps` steps of `each` seconds; stop early at an interrupt or a skip."""
        state = self.state
        state.start_sampling(sketch, steps)
        if steps < 1:
            return 1.0, time.monotonic()
        stride = max(1, math.ceil(_SHORTEST_STEP / each)) if each > 0 else steps
        start = time.monotonic()
        step = 0
        while True:
            start += self._strike(step, steps)
            for hook in self.engine.step_hooks:
                hook()
            if state.interrupted or state.skipped:
                return step / steps, time.monotonic()
            following = min([step + stride, *self._strikes_after(step, steps)])
            if following >= steps:
                return 1.0, start + steps * each
            self.engine.wait_until(start + following * each)
            step = state.sampling_step = following

    def _strikes_after(self, step: int, steps: int) -> Iterable[int]:
        for fault in (self.doomed, self.trouble):
            if fault and fault.strikes_at(steps) > step:
                yield fault.strikes_at(steps)

    def _strike(self, step: int, steps: int) -> float:
        """Do what faults want done before this step; return the seconds lost."""
        trouble = self.trouble
        lost = 0.0
        if trouble and trouble.strikes_at(steps) <= step:
            self.trouble = None
            if trouble.kind == "stall":
                self.engine.wait_until(time.monotonic() + trouble.seconds)
                lost = trouble.seconds
            else:
                self.state.interrupted = True
        if self.doomed and self.doomed.strikes_at(steps) <= step:
            raise fault_error(self.doomed)
        return lost

    def _draw(
        self,
        facts: Facts,
        iteration: int,
        sketches: list[Sketch],
        done: float,
        size: tuple[int, int],
    ) -> None:
        for offset, sketch in enumerate(sketches):
            image = pictures.draw(sketch, size, done)
            infotext = facts.infotext(iteration * len(sketches) + offset)
            self.infotexts.append(infotext)
            self.drawn.append(image)
            self.images.append(pictures.encode(image, infotext))

    def _answer(self, facts: Facts) -> bytes:
        """Put the answer together: the grid first, detected maps last."""
        request = self.request
        images, infotexts, first = self.images, self.infotexts, 0
        if request["save_images"] and len(images) > 1 and self.engine.options["return_grid"]:
            first = 1
            sheet = pictures.grid(self.drawn)
            images = [pictures.encode(sheet, infotexts[0]), *images]
            infotexts = [infotexts[0], *infotexts]
        images = images + detected_maps(request["alwayson_scripts"])
        if self._fault("no_images") or not request["send_images"]:
            images = []
        info = facts.info(infotexts, first, self.state.job_timestamp)
        return encode_json({"images": images, "parameters": self._echo(), "info": info})

    def _echo(self) -> dict[str, Any]:
        """Return the request as the answer repeats it: its pictures taken out."""
        echo = dict(self.request)
        if self.kind == "img2img" and not echo["include_init_images"]:
            echo |= {"init_images": None, "mask": None}
        return echo

    def _fault(self, *kinds: str) -> Fault | None:
        width, height = final_size(self.request)
        pixels = width * height * self.request["batch_size"], less_memory(self.request)
        fault = self.engine.faults.take(kinds, self.run.path, pixels=pixels)
        if fault:
            self.run.faults.append(fault.kind)
        return fault


def fault_error(fault: Fault) -> PythonError:
    """Return the 500 that `oom` and `http_500` stand for."""
    if fault.kind == "oom":
        return PythonError("OutOfMemoryError", fault.message or OUT_OF_MEMORY)
    return PythonError("RuntimeError", fault.message or "a fault that was asked for")


def encode_json(value: Any) -> bytes:
    """Write JSON as Starlette does; NaN, which it cannot send, becomes null."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_without_nan(value), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _new_task_id(kind: str) -> str:
    letters = "".join(random.choices(string.ascii_uppercase + string.digits, k=7))
    return f"task({kind}-{letters})"
