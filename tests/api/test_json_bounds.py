"""JSON that is cheap to send and dear to read is refused before, or read in bounded time."""

import json
import time

import pytest

from mobilesd.errors import InvalidInput
from mobilesd.http.codec import MAX_SIGNS, decode


@pytest.mark.parametrize("value", ["[]", "{}", "0", "[0]"])
def test_millions_of_tiny_values_are_refused_unread(value: str) -> None:
    body = f"[{','.join([value] * (MAX_SIGNS + 1))}]".encode()
    began = time.process_time()
    with pytest.raises(InvalidInput, match="commas and brackets"):
        decode(body)
    assert time.process_time() - began < 1


def test_pictures_and_long_prompts_are_read() -> None:
    body = {"picture": "A" * 20_000_000, "prompts": ["a cat, a boat, " * 100] * 1000}
    assert decode(json.dumps(body).encode()) == body


def test_a_name_that_appears_twice_among_many_is_found_soon() -> None:
    names = ",".join(f'"{number}":0' for number in range(100_000))
    began = time.process_time()
    with pytest.raises(InvalidInput, match="'twice' appears twice"):
        decode(f'{{{names},"twice":1,"twice":2}}'.encode())
    assert time.process_time() - began < 2
