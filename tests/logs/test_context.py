"""What a log line is about: bound names, by thread, and the header for other programs."""

import threading

import pytest

from mobilesd.logs import bind, bound, request_headers


def test_names_are_bound_inside_and_nothing_is_left_outside():
    with bind(job="j", attempt=7):
        assert bound() == {"job": "j", "attempt": "7"}
        with bind(job="k"):
            assert bound() == {"job": "k", "attempt": "7"}
        assert bound()["job"] == "j"
    assert bound() == {}


def test_an_empty_value_hides_nothing():
    with bind(request_id="r"), bind(request_id="", server=None):
        assert bound() == {"request_id": "r"}


def test_a_thread_knows_nothing_of_the_one_that_started_it():
    seen = []
    with bind(job="j"):
        thread = threading.Thread(target=lambda: seen.append(dict(bound())))
        thread.start()
        thread.join()
    assert seen == [{}]


def test_an_error_unbinds():
    with pytest.raises(ValueError), bind(job="j"):
        raise ValueError
    assert bound() == {}


@pytest.mark.parametrize("forged", ["a\r\nX-Evil: 1", "a b", "ä", "x" * 65])
def test_what_could_forge_a_header_is_not_sent(forged):
    with bind(request_id=forged):
        assert request_headers() == {}


def test_the_id_of_the_request_is_sent():
    with bind(request_id="ab12.cd"):
        assert request_headers() == {"X-Request-ID": "ab12.cd"}
    assert request_headers() == {}
