"""Time windows, against a clock that is looked at minute by minute."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.hours import Hours, Opening, parse
from mobilesd.errors import InvalidInput

checked = settings(deadline=None, max_examples=40, database=None)

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# A day around each of the changes, in UTC.
CHANGES = {
    "Europe/Berlin": [(2026, 3, 29), (2026, 10, 25)],
    "America/New_York": [(2026, 3, 8), (2026, 11, 1)],
    "Australia/Lord_Howe": [(2026, 4, 4), (2026, 10, 3)],  # half an hour
}
AROUND = [(name, day) for name, days in CHANGES.items() for day in days]


def times():
    return st.builds(
        "{:02}:{:02}".format, st.integers(0, 23), st.sampled_from([0, 1, 15, 29, 30, 31, 59])
    )


def windows():
    """Return a strategy for the texts of windows, most of them near the night's changes."""
    night = st.builds(
        "{:02}:{:02}".format, st.integers(0, 4), st.sampled_from([0, 1, 15, 29, 30, 31, 59])
    )
    span = (
        st.tuples(times() | night, times() | night)
        .filter(lambda pair: pair[0] != pair[1])
        .map("-".join)
    )
    days = st.sampled_from(["", *DAYS, "Mon-Fri", "Sat-Sun", "Fri-Mon", "Sun-Sat"])
    part = st.tuples(days, span).map(lambda p: " ".join(p).strip()) | days.filter(bool)
    return st.lists(part, min_size=1, max_size=3).map(", ".join)


def shown(text, at, zone):
    """Tell whether the clock on the wall is in one of the windows; written down plainly."""
    local = at.astimezone(zone)
    clock, day = f"{local:%H:%M}", local.weekday()
    for part in text.split(", "):
        *names, last = part.split(" ")
        span = last if ":" in last else ""
        name = (names[0] if names else "") if span else last
        if name:
            first, _, end = name.partition("-")
            count = (DAYS.index(end or first) - DAYS.index(first)) % 7
            days = {(DAYS.index(first) + n) % 7 for n in range(count + 1)}
        else:
            days = set(range(7))
        start, _, stop = (span or "00:00-24:00").partition("-")
        stop = "24:00" if stop == "00:00" else stop
        if start < stop:
            if day in days and start <= clock < stop:
                return True
        elif (day in days and clock >= start) or ((day - 1) % 7 in days and clock < stop):
            return True
    return False


@checked
@given(text=windows(), where=st.sampled_from(AROUND))
def test_it_is_open_when_the_clock_on_the_wall_is_in_a_window(text, where):
    name, day = where
    zone, hours = ZoneInfo(name), parse(text)
    begin = datetime(*day, tzinfo=UTC) - timedelta(hours=12)
    for minute in range(48 * 60):
        at = begin + timedelta(minutes=minute)
        assert hours.is_open(at, zone) == shown(text, at, zone), at


@checked
@given(text=windows(), where=st.sampled_from(AROUND), offset=st.integers(0, 47 * 60))
def test_the_next_change_is_the_first_minute_that_differs(text, where, offset):
    name, day = where
    zone, hours = ZoneInfo(name), parse(text)
    at = datetime(*day, tzinfo=UTC) - timedelta(hours=12) + timedelta(minutes=offset)
    change, now = hours.next_change(at, zone), shown(text, at, zone)
    minute = at
    for _ in range(8 * 24 * 60):
        minute += timedelta(minutes=1)
        if shown(text, minute, zone) != now:
            assert change == minute
            return
    assert change is None or change > minute


def berlin(*when):
    return datetime(*when, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("text", "at", "is_open"),
    [
        ("", berlin(2026, 1, 1, 12), True),
        ("23:00-07:00", berlin(2026, 1, 1, 6, 59), True),
        ("23:00-07:00", berlin(2026, 1, 1, 7), False),
        ("mon-fri 22:00-06:00, sat-sun", berlin(2026, 1, 3, 12), True),  # a Saturday
        ("Mon 22:00-06:00", berlin(2026, 1, 6, 5), True),  # of the Monday before
        ("Mon 22:00-06:00", berlin(2026, 1, 5, 5), False),
        ("Fri-Mon", berlin(2026, 1, 4, 12), True),
        ("20:00-00:00", berlin(2026, 1, 4, 23, 59), True),
    ],
)
def test_windows_mean_what_people_mean(text, at, is_open):
    assert parse(text).is_open(at, ZoneInfo("Europe/Berlin")) == is_open


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("at night", "at night"),
        ("25:00-07:00", "25:00"),
        ("22:60-07:00", "22:60"),
        ("Moon 22:00-06:00", "moon"),
        ("22:00-22:00", "22:00-22:00"),
        ("24:00-06:00", "24:00"),
        ("22:00-06:00,", "''"),
        ("22:00", "22:00"),
    ],
)
def test_what_is_wrong_is_named(text, named):
    with pytest.raises(InvalidInput) as caught:
        parse(text)
    assert named in str(caught.value.fields["hours"])


def test_until_a_moment_nothing_starts_after_it():
    until = berlin(2026, 1, 2, 6, 30)
    opening = Opening(parse("23:00-07:00"), ZoneInfo("Europe/Berlin"), until)
    evening = berlin(2026, 1, 1, 23, 30)
    assert opening.is_open(evening)
    assert opening.closes(evening) == until
    assert not opening.is_open(until)
    assert opening.opens(berlin(2026, 1, 2, 12)) is None, "somebody has to resume it"
    assert "06:30" in opening.why_closed(until)


def test_it_says_when_it_opens():
    opening = Opening(parse("23:00-07:00"), ZoneInfo("Europe/Berlin"))
    noon = berlin(2026, 1, 1, 12)
    assert opening.opens(noon) == berlin(2026, 1, 1, 23)
    assert "23:00 (Europe/Berlin)" in opening.why_closed(noon)
    assert Opening(Hours()).closes(noon) is None


def test_what_the_clock_shows_twice_is_open_twice():
    hours, zone = parse("02:15-02:45"), ZoneInfo("Europe/Berlin")
    at = datetime(2026, 10, 25, 0, 50, tzinfo=UTC)  # 02:50 for the first time
    assert not hours.is_open(at, zone)
    assert hours.next_change(at, zone) == datetime(2026, 10, 25, 1, 15, tzinfo=UTC)
