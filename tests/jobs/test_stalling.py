"""How long a run has shown no sign of progress, in words."""

import pytest

from jobs.stalling import text_of_run


@pytest.mark.parametrize(
    ("text", "quiet", "shown"),
    [
        ("Step 3 of 20", 0, "Step 3 of 20"),
        ("Step 3 of 20", 119, "Step 3 of 20"),
        ("Step 3 of 20", 121, "Step 3 of 20, no sign of progress for 2 min"),
        ("", 361, "no sign of progress for 6 min"),
        ("Step 3, no sign of progress for 5 min", 600, "Step 3, no sign of progress for 10 min"),
        ("no sign of progress for 5 min", 3 * 3600, "no sign of progress for 3 h"),
    ],
)
def test_a_run_without_a_sign_says_for_how_long(text, quiet, shown):
    assert text_of_run(text, quiet) == shown


def test_a_long_text_leaves_room_for_it():
    assert len(text_of_run("x" * 500, 999)) <= 200
