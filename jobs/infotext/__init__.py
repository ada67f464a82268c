"""The text that the web UIs write into a picture's `parameters`: read, written, understood."""

from jobs.infotext.parse import MAX_BYTES, parse
from jobs.infotext.structure import ControlNetUnit, Infotext, Lora
from jobs.infotext.write import write

__all__ = ["MAX_BYTES", "ControlNetUnit", "Infotext", "Lora", "parse", "write"]
