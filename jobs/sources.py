"""What `source_info` says of who sent a job: `name/version`, and what else the sender adds.

The words are the sender's own. Only the version is told apart, so that what one installation of
a program sent is found after its update as well.
"""

import re

from django.conf import settings

__all__ = ["in_words", "of_program"]

_VERSION = re.compile(r"/[^ ]*")
_EXTENSION = re.compile(r"([a-z0-9]{1,32})-extension/([^ ]{1,40})")


def of_program(source_info: str) -> str:
    """Return a source without its version: from the first slash up to the next space.

    `jobs.querysets.SourceOf` is the same in SQL.
    """
    return _VERSION.sub("", source_info, count=1)


def in_words(source_info: str, key_name: str = "") -> str:
    """Return a job's source for people; extensions of ours have a name, and that of their key."""
    found = _EXTENSION.match(source_info)
    if found is None or found[1] not in settings.DISPATCHERS:
        return source_info
    words = f"{found[1].capitalize()} extension {found[2]}"
    # A key is often called after the extension: that need not be said twice.
    return words if words.startswith(key_name) else f"{words}, {key_name}"
