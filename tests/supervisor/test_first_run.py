"""The link for the first person: once, for a quarter of an hour, known by nobody else."""

import stat
import time

import pytest

from mobilesd import first_run


def file(settings):
    return settings.RUN_DIR / "first-run.json"


def test_works_once(settings):
    token = first_run.issue()
    assert len(token) >= 43  # 256 bits
    assert first_run.is_valid(token)
    assert first_run.redeem(token)
    assert not first_run.redeem(token)
    assert not first_run.is_valid(token)


def test_only_the_hash_is_kept_and_only_its_owner_can_read_it(settings):
    token = first_run.issue()
    assert token not in file(settings).read_text()
    assert stat.S_IMODE(file(settings).stat().st_mode) == 0o600


@pytest.mark.parametrize("token", ["", "x", "a" * 43, "\ud800", "ключ"])
def test_a_guess_fails_and_uses_nothing_up(token):
    real = first_run.issue()
    assert not first_run.redeem(token)
    assert first_run.redeem(real)


def test_a_new_link_ends_the_one_before():
    old, new = first_run.issue(), first_run.issue()
    assert not first_run.redeem(old)
    assert first_run.redeem(new)


@pytest.mark.parametrize("later", [first_run.LIFETIME_SECONDS + 1, -3600])
def test_too_late_is_too_late_also_with_a_clock_that_jumped(monkeypatch, later):
    token = first_run.issue()
    now = time.time()
    monkeypatch.setattr(first_run.time, "time", lambda: now + later)
    assert not first_run.redeem(token)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"sha256": 1}', "\x00"])
def test_a_broken_file_lets_nobody_in(settings, content):
    file(settings).write_text(content)
    assert not first_run.redeem("x")


def test_two_at_once_have_one_winner(settings, monkeypatch):
    token = first_run.issue()
    really_valid = first_run.is_valid

    def somebody_was_faster(asked: str) -> bool:
        valid = really_valid(asked)
        file(settings).unlink()
        return valid

    monkeypatch.setattr(first_run, "is_valid", somebody_was_faster)
    assert not first_run.redeem(token)


def test_the_end_of_up_ends_the_link(settings):
    token = first_run.issue()
    first_run.revoke()
    assert not first_run.redeem(token)
    assert list(settings.RUN_DIR.iterdir()) == []
