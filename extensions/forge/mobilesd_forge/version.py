"""Which extension this is, and how it says so."""

__all__ = ["MINIMUM_SERVER_VERSION", "SOURCE_INFO", "USER_AGENT", "VERSION", "older", "source_info"]

VERSION = "1.0.0"
USER_AGENT = f"mobilesd-forge-extension/{VERSION}"
SOURCE_INFO = f"forge-extension/{VERSION}"
MINIMUM_SERVER_VERSION = "0.1.0"


def source_info(installation_id: str) -> str:
    """Return what a job's `source_info` says of who sent it.

    MobileSD takes the version out of it when it looks for the jobs of one installation.
    """
    return f"{SOURCE_INFO} {installation_id}"


def older(version: str, minimum: str) -> bool:
    """Tell whether a version is older than another; one that can't be read is not."""
    try:
        return _numbers(version) < _numbers(minimum)
    except ValueError:
        return False


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in version.split(".")]
    while numbers and not numbers[-1]:  # 1.0 and 1.0.0 are the same
        numbers.pop()
    return tuple(numbers)
