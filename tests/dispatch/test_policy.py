"""What follows from each class of error, and how long things are waited for."""

import pytest

from dispatch.dispatchers.base import ErrorClass
from dispatch.lanes.policy import RULES, Then, backoff_seconds, stall_seconds


def test_each_class_has_a_rule() -> None:
    assert set(RULES) == set(ErrorClass)


def test_only_what_may_pass_is_tried_again_later() -> None:
    later = {each for each, rule in RULES.items() if rule.then is Then.BACK_OFF}
    assert later == {ErrorClass.TRANSIENT, ErrorClass.STALLED, ErrorClass.OURS}
    assert all(RULES[each].counts for each in later), "else a job goes round for ever"


def test_a_server_is_blamed_for_what_it_did_and_not_for_our_disk_or_a_large_job() -> None:
    blamed = {each for each, rule in RULES.items() if rule.blames_server}
    assert blamed == {ErrorClass.TRANSIENT, ErrorClass.STALLED}


@pytest.mark.parametrize(
    ("made", "middle"), [(0, 5), (1, 5), (2, 20), (3, 80), (5, 600), (99, 600)]
)
def test_the_wait_grows_to_ten_minutes_and_is_spread(made: int, middle: float) -> None:
    assert backoff_seconds(made, lambda low, high: 1.0) == middle
    assert backoff_seconds(made, lambda low, high: low) == pytest.approx(0.8 * middle)
    assert backoff_seconds(made, lambda low, high: high) == pytest.approx(1.2 * middle)
    assert len({backoff_seconds(made) for _ in range(20)}) > 1


@pytest.mark.parametrize(("expected", "patience"), [(None, 900), (2, 300), (100, 500), (1000, 900)])
def test_a_stall_is_measured_by_what_was_learned(expected: float | None, patience: float) -> None:
    assert stall_seconds(expected, longest=900, floor=300) == patience
