"""Look for orders of faults that break the lane protocol: `python -m bench.protocol_soak [N]`.

Runs N (default 200) random examples of tests/dispatch/lane_machine.py, a few seconds each.
Exits with pytest's code; a failure prints the steps, the rows and what the backend saw.
"""

import os
import sys

import pytest

__all__ = ["main"]


def main() -> int:
    """Run the soak; return pytest's exit code."""
    os.environ["PROTOCOL_SOAK_EXAMPLES"] = sys.argv[1] if len(sys.argv) > 1 else "200"
    return int(pytest.main(["-q", "--timeout=0", "tests/dispatch/test_lane_protocol.py"]))


if __name__ == "__main__":
    sys.exit(main())
