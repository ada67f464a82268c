"""The back-off between restarts, and when deaths are trouble."""

from mobilesd.supervisor.restarts import Restarts


def deaths(restarts: Restarts, *times: float, lived: float = 0.1) -> list[float]:
    return [restarts.delay(now, lived) for now in times]


def test_waits_longer_after_each_death_up_to_thirty_seconds():
    assert deaths(Restarts(), *range(8)) == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_long_life_is_forgiven():
    restarts = Restarts()
    deaths(restarts, 0, 1, 2)
    assert restarts.delay(100, lived=60) == 1


def test_five_deaths_within_a_minute_are_trouble():
    restarts = Restarts()
    deaths(restarts, 0, 10, 20, 30)
    assert not restarts.too_many
    deaths(restarts, 60)
    assert restarts.too_many


def test_five_deaths_in_more_than_a_minute_are_not():
    restarts = Restarts()
    deaths(restarts, 0, 10, 20, 30, 60.1)
    assert not restarts.too_many
