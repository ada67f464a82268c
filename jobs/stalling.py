"""A run that shows no sign of progress, in words: for pages, events and notices."""

__all__ = ["QUIET_SECONDS", "quiet_words", "text_of_run"]

# A slow step or a model from a slow disk takes as long; nobody need be told of it before.
QUIET_SECONDS = 120.0
_QUIET = "no sign of progress for"
_TEXT = 150


def quiet_words(seconds: float) -> str:
    """Return how long nothing has moved, as people say it."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{int(seconds)} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


def text_of_run(text: str, quiet_seconds: float) -> str:
    """Return what a run is doing, and how long it has shown no sign, if that is long.

    `text` may say so already, of a shorter time.
    """
    if quiet_seconds < QUIET_SECONDS:
        return text
    text = text.partition(_QUIET)[0].removesuffix(", ")[:_TEXT]
    words = f"{_QUIET} {quiet_words(quiet_seconds)}"
    return f"{text}, {words}" if text else words
