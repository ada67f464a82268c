"""A value that does not parse stops the start with a sentence that names the variable."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from mobilesd import env

NAME = "MOBILESD_TEST"
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def given(monkeypatch):
    def give(value: str | None, name: str = NAME) -> None:
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)

    return give


PARSERS = {
    "boolean": lambda: env.boolean(NAME, True),
    "integer": lambda: env.integer(NAME, 3, 1, 10),
    "number": lambda: env.number(NAME, 0.5, 0, 1),
    "choice": lambda: env.choice(NAME, "a", ["a", "b"]),
    "url": lambda: env.url(NAME, "http://default"),
    "origin": lambda: env.origin(NAME),
    "database_url": lambda: env.database_url(NAME),
    "text": lambda: env.text(NAME, "default"),
    "strings": lambda: env.strings(NAME, ["x"]),
    "networks": lambda: env.networks(NAME),
    "path": lambda: env.path(NAME, Path("/default")),
    "secret": lambda: env.secret(NAME),
}


@pytest.mark.parametrize(
    ("parser", "value"),
    [
        ("boolean", "maybe"),
        ("boolean", "2"),
        ("integer", "many"),
        ("integer", "1.5"),
        ("integer", "0"),
        ("integer", "11"),
        ("number", "half"),
        ("number", "1.1"),
        ("number", "-0.1"),
        ("number", "nan"),
        ("number", "inf"),
        ("choice", "c"),
        ("url", "example.com"),
        ("url", "ftp://example.com"),
        ("url", "http://"),
        ("url", "http://example.com:port"),
        ("url", "http://[::1"),
        ("origin", "example.com"),
        ("origin", "https://example.com/sd"),
        ("origin", "https://example.com/?a=b"),
        ("origin", "https://example.com#a"),
        ("origin", "https://u:secret@example.com"),
        ("database_url", "mysql://u:secret@h/db"),
        ("database_url", "postgresql://u:secret@h"),
        ("database_url", "postgresql://u:secret@h:port/db"),
        ("database_url", "postgresql://u:secret@[::1/db"),
    ],
)
def test_a_bad_value_is_refused_by_the_variables_name(given, parser, value):
    given(value)
    with pytest.raises(ImproperlyConfigured, match=f"^{NAME} ") as refused:
        PARSERS[parser]()
    assert "then start again" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("parser", "value", "expected"),
    [
        ("boolean", "Yes", True),
        ("boolean", "off", False),
        ("integer", " 10 ", 10),
        ("number", "1", 1.0),
        ("choice", "b", "b"),
        ("url", "https://example.com/", "https://example.com"),
        ("origin", "https://example.com:8443/", "https://example.com:8443"),
        ("origin", "https://example.com?", "https://example.com"),
        ("text", "words", "words"),
        ("strings", "a, b,,c ", ["a", "b", "c"]),
        ("path", "/a/../b", Path("/b")),
        ("secret", "shh", "shh"),
    ],
)
def test_a_good_value_is_taken(given, parser, value, expected):
    given(value)
    assert PARSERS[parser]() == expected


@pytest.mark.parametrize("value", [None, "", "   "])
@pytest.mark.parametrize(
    ("parser", "default"),
    [
        ("boolean", True),
        ("integer", 3),
        ("number", 0.5),
        ("choice", "a"),
        ("url", "http://default"),
        ("origin", ""),
        ("database_url", None),
        ("text", "default"),
        ("strings", ["x"]),
        ("path", Path("/default")),
        ("secret", ""),
    ],
)
def test_nothing_and_empty_mean_the_default(given, parser, default, value):
    given(value)
    assert PARSERS[parser]() == default


def test_a_database_url_is_taken_apart(given):
    given("postgresql://ann:p%40ss@db.example:5433/pictures")
    assert env.database_url(NAME) == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "pictures",
        "USER": "ann",
        "PASSWORD": "p@ss",
        "HOST": "db.example",
        "PORT": "5433",
        "CONN_HEALTH_CHECKS": True,
    }


def test_a_secret_may_come_from_a_file(given, tmp_path):
    (tmp_path / "secret").write_text("shh\n")
    given(str(tmp_path / "secret"), f"{NAME}_FILE")
    assert env.secret(NAME) == "shh"


@pytest.mark.parametrize(
    ("direct", "content", "complaint"),
    [
        ("shh", "shh", f"^{NAME} and {NAME}_FILE are both set"),
        (None, None, f"^{NAME}_FILE can't be read"),
        (None, " \n", f"^{NAME}_FILE names an empty file"),
    ],
)
def test_a_secret_that_is_unclear_is_refused(given, tmp_path, direct, content, complaint):
    file = tmp_path / "secret"
    if content is not None:
        file.write_text(content)
    given(direct)
    given(str(file), f"{NAME}_FILE")
    with pytest.raises(ImproperlyConfigured, match=complaint) as refused:
        env.secret(NAME)
    assert "shh" not in str(refused.value)


def test_the_start_stops_with_the_sentence_and_no_trace(tmp_path):
    done = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT,
        env={**os.environ, "MOBILESD_DATA_DIR": str(tmp_path), "MOBILESD_LANES": "many"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "MOBILESD_LANES must be a whole number, not 'many'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_readme_names_every_variable():
    settings = (ROOT / "mobilesd" / "settings.py").read_text(encoding="utf-8")
    names = set(re.findall(r'env\.\w+\(\s*"(MOBILESD_\w+)"', settings)) - {"MOBILESD_BOOT_ID"}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(names) > 10
    assert sorted(name for name in names if f"`{name}`" not in readme) == []


def test_a_data_folder_that_cant_be_used_is_a_sentence_as_well(tmp_path):
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={**os.environ, "MOBILESD_DATA_DIR": str(tmp_path / "file" / "data")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("The data folder ")
    assert "MOBILESD_DATA_DIR" in done.stderr
    assert "Traceback" not in done.stderr


# --- Time zones ---------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Say in which time zone this machine is; nothing by default."""
    monkeypatch.delenv("TZ", raising=False)
    monkeypatch.setattr(env, "LOCALTIME", tmp_path / "localtime")
    monkeypatch.setattr(env, "TIMEZONE", tmp_path / "timezone")
    return tmp_path


@pytest.mark.parametrize("value", ["Europe/Belin", "+01:00", "../etc/passwd", "Europe", "CEST x"])
def test_a_time_zone_that_there_is_none_of_is_refused(given, value):
    given(value)
    with pytest.raises(ImproperlyConfigured, match=f"^{NAME} must be the name of a time zone"):
        env.time_zone(NAME)


def test_a_named_time_zone_comes_before_that_of_the_machine(given, machine):
    (machine / "timezone").write_text("Asia/Tokyo\n")
    assert env.time_zone(NAME) == "Asia/Tokyo"
    given("Europe/Berlin")
    assert env.time_zone(NAME) == "Europe/Berlin"


def test_the_machine_says_it_by_a_link(machine):
    zone = machine / "usr" / "share" / "zoneinfo" / "America" / "New_York"
    zone.parent.mkdir(parents=True)
    zone.touch()
    (machine / "localtime").symlink_to(zone)
    assert env.time_zone(NAME) == "America/New_York"


def test_the_machine_says_it_by_tz(machine, given):
    given(":Europe/Paris", "TZ")
    assert env.time_zone(NAME) == "Europe/Paris"
    given("CET-1CEST", "TZ")
    assert env.time_zone(NAME) == "UTC", "rules without a name, and nothing else says more"


@pytest.mark.parametrize("text", ["", "Etc/UTC", "nonsense", "\udc80"])
def test_a_machine_that_says_nothing_useful_is_in_utc(machine, text):
    (machine / "timezone").write_text(text, encoding="utf-8", errors="surrogateescape")
    assert env.time_zone(NAME) == "UTC"
