"""The model files of the fake: on its disk, listed, hashed, loadable."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_MODELS_FOLDER = "/srv/forge/models"
_LORA_TAG = re.compile(r"<lora:([^:>]+)")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file. `name` is its path in the models folder, with forward slashes."""

    name: str
    sha256: str = ""
    broken: bool = False
    hashed: bool = False
    """Forge knows the hash already (it keeps them over restarts); else only after a load."""

    def __post_init__(self) -> None:
        if not self.sha256:
            object.__setattr__(self, "sha256", _digest(f"checkpoint {self.name}"))

    @property
    def stem(self) -> str:
        """File name without folder and extension: what infotexts call the model."""
        return self.name.rsplit("/", 1)[-1].rsplit(".", 1)[0]

    @property
    def model_name(self) -> str:
        return self.name.rsplit(".", 1)[0].replace("/", "_")

    @property
    def short_hash(self) -> str:
        return self.sha256[:10]

    @property
    def old_hash(self) -> str:
        """The 8-digit hash of old versions, known without reading the whole file."""
        return _digest(f"old {self.name}")[:8]


@dataclass(frozen=True)
class Lora:
    """A LoRA file. `path` is relative to the Lora folder."""

    path: str
    digest: str = ""

    def __post_init__(self) -> None:
        if not self.digest:
            object.__setattr__(self, "digest", _digest(f"lora {self.path}")[:12])

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1].rsplit(".", 1)[0]


DEFAULT_CHECKPOINTS = (
    Checkpoint("meadow_v3.safetensors"),
    Checkpoint("lighthouse_xl_1.2.safetensors"),
    Checkpoint("nightjar_photo.safetensors"),
    Checkpoint("ink/brushwork_v2.safetensors"),
)
DEFAULT_LORAS = (Lora("styles/watercolour.safetensors"), Lora("film_grain.safetensors"))


class LoadFailed(Exception):
    """The file is gone or broken; Forge cannot tell what model it is."""


class Inventory:
    """Model files. Readers never block: every change replaces a whole dict."""

    def __init__(
        self,
        checkpoints: Iterable[Checkpoint],
        loras: Iterable[Lora],
        embeddings: Iterable[str] = (),
    ) -> None:
        self._disk = {checkpoint.name: checkpoint for checkpoint in checkpoints}
        self._listed = dict(self._disk)
        self._hashed = frozenset(c.name for c in self._disk.values() if c.hashed)
        self._loras = {lora.name: lora for lora in loras}
        self.embeddings = tuple(embeddings)

    def add(self, checkpoint: Checkpoint) -> None:
        """Put a file on the disk. Forge lists it only after refresh-checkpoints."""
        self._disk = {**self._disk, checkpoint.name: checkpoint}

    def remove(self, name: str) -> None:
        """Delete a file. Forge goes on listing it until refresh-checkpoints."""
        self._disk = {key: value for key, value in self._disk.items() if key != name}

    def refresh(self) -> None:
        self._listed = dict(self._disk)

    def listed(self) -> list[Checkpoint]:
        return list(self._listed.values())

    def find(self, name: object) -> Checkpoint | None:
        """Return the checkpoint that `name` selects, or None (contract: "Names that select it")."""
        for checkpoint in self._listed.values():
            if name in self._aliases(checkpoint):
                return checkpoint
        return None

    def load(self, checkpoint: Checkpoint) -> None:
        """Read the file: its hash is known from now on. Raise LoadFailed."""
        on_disk = self._disk.get(checkpoint.name)
        if on_disk is None or on_disk.broken:
            raise LoadFailed(checkpoint.name)
        self._hashed |= {checkpoint.name}

    def title(self, checkpoint: Checkpoint) -> str:
        if checkpoint.name in self._hashed:
            return f"{checkpoint.name} [{checkpoint.short_hash}]"
        return checkpoint.name

    def checkpoint_items(self) -> list[dict[str, Any]]:
        """Return the body of /sdapi/v1/sd-models (recording discovery/sd-models)."""
        return [
            {
                "title": self.title(checkpoint),
                "model_name": checkpoint.model_name,
                "hash": checkpoint.short_hash if checkpoint.name in self._hashed else None,
                "sha256": checkpoint.sha256 if checkpoint.name in self._hashed else None,
                "filename": f"{_MODELS_FOLDER}/Stable-diffusion/{checkpoint.name}",
                "config": None,
            }
            for checkpoint in self._listed.values()
        ]

    def lora_items(self) -> list[dict[str, Any]]:
        """Return the body of /sdapi/v1/loras (recording discovery/loras)."""
        return [
            {
                "name": lora.name,
                "alias": lora.name,
                "path": f"{_MODELS_FOLDER}/Lora/{lora.path}",
                "metadata": {"ss_network_module": "networks.lora", "ss_output_name": lora.name},
            }
            for lora in self._loras.values()
        ]

    def loras_in(self, prompt: str) -> list[Lora]:
        """Return the LoRAs that a prompt names and that exist; others are silently ignored."""
        names = dict.fromkeys(_LORA_TAG.findall(prompt))
        return [self._loras[name] for name in names if name in self._loras]

    def embeddings_in(self, prompt: str) -> list[str]:
        return [name for name in self.embeddings if name in prompt]

    def _aliases(self, checkpoint: Checkpoint) -> set[str]:
        aliases = {
            checkpoint.name,
            checkpoint.model_name,
            checkpoint.stem,
            checkpoint.old_hash,
            self.title(checkpoint),
        }
        if checkpoint.name in self._hashed:
            aliases |= {checkpoint.short_hash, checkpoint.sha256}
        return aliases
