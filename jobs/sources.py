"""What `source_info` says of who sent a job: `name/version`, and what else the sender adds.

The words are the sender's own. Only the version is told apart, so that what one installation of
a program sent is found after its update as well.
"""

import re
from dataclasses import dataclass

__all__ = ["Source", "of_program"]

_VERSION = re.compile(r"/[^ ]*")
_EXTENSION = "forge-extension"


def of_program(source_info: str) -> str:
    """Return a source without its version: from the first slash up to the next space.

    `jobs.querysets.SourceOf` is the same in SQL.
    """
    return _VERSION.sub("", source_info, count=1)


@dataclass(frozen=True)
class Source:
    """A source in words, and what finds others of the same program."""

    words: str
    program: str

    @classmethod
    def of(cls, source_info: str, key_name: str = "") -> "Source":
        """Read a job's source; our own extension is called by the name of its key."""
        program = of_program(source_info)
        if source_info.partition("/")[0] != _EXTENSION:
            return cls(source_info, program)
        version = source_info.partition("/")[2].partition(" ")[0]
        words = f"Forge extension {version}".strip()
        return cls(f"{words}, {key_name}" if key_name else words, program)
