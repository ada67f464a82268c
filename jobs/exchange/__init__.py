"""Waiting jobs as a file: written here, taken in elsewhere (docs/importing.md)."""

from jobs.exchange.export import Exported, Exporter, exported
from jobs.exchange.intake import Incoming, Intake, Past, Taken, other_id
from jobs.exchange.reading import read_document, read_lines

__all__ = [
    "Exported",
    "Exporter",
    "Incoming",
    "Intake",
    "Past",
    "Taken",
    "exported",
    "other_id",
    "read_document",
    "read_lines",
]
