"""Which of two versions is older."""

import pytest
from mobilesd_forge.version import older, source_info


@pytest.mark.parametrize(
    ("version", "minimum", "is_older"),
    [
        ("0.9.9", "1.0.0", True),
        ("1.9", "1.10", True),
        ("1.0", "1.0.0", False),
        ("1.0.0", "1.0", False),
        ("1.0.1", "1.0", False),
        ("", "1.0", False),
        ("1.0-beta", "2.0", False),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, minimum: str, is_older: bool) -> None:
    assert older(version, minimum) is is_older


def test_the_source_of_a_job_names_program_version_and_installation() -> None:
    assert source_info("0123456789ab") == "forge-extension/1.0.0 0123456789ab"
