"""Infotexts and the `info` string of an answer, written and read as Forge does."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

VERSION = "f2.0.1v1.10.1-previous-669-gdfdcbab6"

_SIZE = re.compile(r"(\d+)x(\d+)\Z")
_PAIR = re.compile(r'\s*([\w /-]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
# What /png-info adds for fields that the text lacks (recording txt2img/png-info).
_READ_DEFAULTS: dict[str, Any] = {
    "Clip skip": "1",
    "Hires resize-1": 0,
    "Hires resize-2": 0,
    "Hires sampler": "Use same sampler",
    "Hires schedule type": "Use same scheduler",
    "Hires checkpoint": "Use same checkpoint",
    "Hires prompt": "",
    "Hires negative prompt": "",
    "Mask mode": "Inpaint masked",
    "Masked content": "original",
    "Inpaint area": "Whole picture",
    "Masked area padding": 32,
    "RNG": "GPU",
    "Schedule type": "Automatic",
    "Schedule max sigma": 0,
    "Schedule min sigma": 0,
    "Schedule rho": 0,
    "VAE Encoder": "Full",
    "VAE Decoder": "Full",
    "FP8 weight": "Disable",
    "Refiner switch by sampling steps": False,
    "Hires VAE/TE": ["Use same choices"],
}


@dataclass
class Facts:
    """What one job was really made with; the infotexts and `info` are written from it."""

    prompt: str
    negative: str
    seeds: list[int]
    subseeds: list[int]
    subseed_strength: float
    steps: int
    cfg_scale: float
    width: int
    height: int
    batch_size: int
    sampler: str
    scheduler: str
    model_name: str
    model_hash: str
    clip_skip: int
    denoising_strength: float | None
    restore_faces: bool
    styles: list[str]
    extra: dict[str, Any] = field(default_factory=dict)

    def infotext(self, index: int) -> str:
        """Return the text of picture `index`."""
        parameters: dict[str, Any] = {
            "Steps": self.steps,
            "Sampler": self.sampler,
            "Schedule type": self.scheduler,
            "CFG scale": self.cfg_scale,
            "Seed": self.seeds[index],
            "Face restoration": "CodeFormer" if self.restore_faces else None,
            "Size": f"{self.width}x{self.height}",
            "Model hash": self.model_hash,
            "Model": self.model_name,
            "Variation seed": self.subseeds[index] if self.subseed_strength else None,
            "Variation seed strength": self.subseed_strength or None,
            "Clip skip": self.clip_skip if self.clip_skip > 1 else None,
            **self.extra,
            "Version": VERSION,
        }
        line = ", ".join(
            f"{name}: {_quote(value)}" for name, value in parameters.items() if value is not None
        )
        negative = f"\nNegative prompt: {self.negative}" if self.negative else ""
        return f"{self.prompt}{negative}\n{line}"

    def info(self, infotexts: list[str], index_of_first_image: int, timestamp: str) -> str:
        """Return the answer's `info`: a JSON text, its fields in the recorded order."""
        count = len(self.seeds)
        extra = dict(self.extra)
        if self.scheduler != "Automatic":
            extra["Schedule type"] = self.scheduler
        return json.dumps(
            {
                "prompt": self.prompt,
                "all_prompts": [self.prompt] * count,
                "negative_prompt": self.negative,
                "all_negative_prompts": [self.negative] * count,
                "seed": self.seeds[0],
                "all_seeds": self.seeds,
                "subseed": self.subseeds[0],
                "all_subseeds": self.subseeds,
                "subseed_strength": self.subseed_strength,
                "width": self.width,
                "height": self.height,
                "sampler_name": self.sampler,
                "cfg_scale": self.cfg_scale,
                "steps": self.steps,
                "batch_size": self.batch_size,
                "restore_faces": self.restore_faces,
                "face_restoration_model": "CodeFormer" if self.restore_faces else None,
                "sd_model_name": self.model_name,
                "sd_model_hash": self.model_hash,
                "sd_vae_name": None,
                "sd_vae_hash": None,
                "seed_resize_from_w": -1,
                "seed_resize_from_h": -1,
                "denoising_strength": self.denoising_strength,
                "extra_generation_params": extra,
                "index_of_first_image": index_of_first_image,
                "infotexts": infotexts,
                "styles": self.styles,
                "job_timestamp": timestamp,
                "clip_skip": self.clip_skip,
                "is_using_inpainting_conditioning": False,
                "version": VERSION,
            }
        )


def parse(text: str) -> dict[str, Any]:
    """Return the `parameters` of /png-info. "Model" is not among them on this Forge."""
    *lines, last = text.strip().split("\n")
    if len(_PAIR.findall(last)) < 3:
        lines.append(last)
        last = ""
    prompt: list[str] = []
    negative: list[str] = []
    part = prompt
    for line in lines:
        if line.startswith("Negative prompt:"):
            part = negative
            line = line[len("Negative prompt:") :].strip()
        part.append(line)
    found: dict[str, Any] = {}
    for name, value in _PAIR.findall(last):
        value = _unquote(value)
        size = _SIZE.match(value)
        if size:
            found[f"{name}-1"], found[f"{name}-2"] = size.groups()
        elif name != "Model":
            found[name] = value
    found["Prompt"] = "\n".join(prompt)
    found["Negative prompt"] = "\n".join(negative)
    for name, default in _READ_DEFAULTS.items():
        found.setdefault(name, default)
    return found


def _quote(value: Any) -> str:
    text = str(value)
    if "," not in text and "\n" not in text and ":" not in text:
        return text
    return json.dumps(text, ensure_ascii=False)


def _unquote(text: str) -> str:
    if not (text.startswith('"') and text.endswith('"')):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text
