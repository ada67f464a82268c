"""What a line says: JSON for programs, text for people, and never what is secret."""

import json
import logging
import logging.config
import time

import pytest

from mobilesd.env import choice
from mobilesd.logs import FORMATS, bind, configuration, setup

log = logging.getLogger("mobilesd.test_format")


@pytest.fixture
def lines(data_dir):
    """Return what was logged so far, as JSON."""
    logging.getLogger().setLevel(logging.INFO)

    def read():
        path = data_dir / "logs" / f"{setup.process_kind()}.log"
        return [json.loads(line) for line in path.read_text().splitlines()]

    return read


def test_a_line_says_when_where_and_about_what(lines):
    with bind(job="j1", request_id="r1"):
        log.info("it %s", "works", extra={"status": "completed", "ms": 3.5})
    [line] = lines()
    assert line["event"] == "it works"
    assert (line["job"], line["request_id"], line["status"], line["ms"]) == (
        "j1",
        "r1",
        "completed",
        3.5,
    )
    assert (line["level"], line["logger"]) == ("info", "mobilesd.test_format")
    assert line["at"].endswith("Z") and line["pid"] > 0 and line["process"]


def test_an_error_brings_where_it_came_from(lines):
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        log.exception("trouble")
    [line] = lines()
    assert "RuntimeError: broken" in line["exception"]


def test_what_libraries_attach_is_left_out(lines):
    log.info("x", extra={"request": object(), "password": "p", "prompt": "a cat"})
    [line] = lines()
    assert not {"request", "password", "prompt"} & set(line)


@pytest.mark.parametrize(
    ("text", "hidden", "left"),
    [
        ("key Abcdefg1." + "s" * 32, "s" * 32, "Abcdefg1"),
        ("at http://anna:geheim@host/x", "geheim", "http://anna:"),
    ],
)
def test_a_secret_in_an_errors_text_is_hidden(lines, text, hidden, left):
    log.warning("%s", text)
    try:
        raise ValueError(text)
    except ValueError:
        log.exception("x")
    for line in lines():
        assert hidden not in json.dumps(line)
    assert left in lines()[0]["event"]


def test_a_broken_line_breaks_nothing(lines, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    log.info("%d", "no number")
    log.info("next")
    assert lines()[-1]["event"] == "next"


def test_a_line_that_is_not_wanted_costs_next_to_nothing():
    logging.getLogger().setLevel(logging.INFO)
    began = time.perf_counter()
    for number in range(2000):
        log.debug("nobody %s", number, extra={"job": "j"})
    assert (time.perf_counter() - began) / 2000 < 50e-6


def handled(log_format: str, level: str):
    made = configuration(log_format=log_format, level=level, file_bytes=1, files_kept=1)
    return made["handlers"]["console"], made["root"]


def test_people_see_warnings_and_programs_see_everything():
    assert handled("console", "INFO")[0]["level"] == "WARNING"
    assert handled("console", "ERROR")[0]["level"] == "ERROR"
    assert handled("json", "INFO")[0] == {
        "class": "logging.StreamHandler",
        "formatter": "json",
        "level": "INFO",
    }
    assert handled("json", "DEBUG")[1]["level"] == "DEBUG"


def test_the_console_writes_text():
    made = configuration(log_format="console", level="INFO", file_bytes=1, files_kept=1)
    spec = dict(made["formatters"]["console"])
    formatter = spec.pop("()")(**spec)
    record = logging.LogRecord("x.y", logging.WARNING, "f", 1, "it %s", ("rains",), None)
    record.job = "j1"
    text = formatter.format(record)
    assert "[warning] it rains [x.y] job=j1" in text


def test_an_unknown_format_stops_the_start(monkeypatch):
    monkeypatch.setenv("MOBILESD_LOG_FORMAT", "xml")
    with pytest.raises(Exception, match="MOBILESD_LOG_FORMAT must be one of console, json"):
        choice("MOBILESD_LOG_FORMAT", "console", FORMATS)


@pytest.mark.parametrize(
    ("argv", "kind"),
    [
        (["manage.py", "up"], "supervisor"),
        (["manage.py", "run_web", "--port", "1"], "web"),
        (["/x/daphne/__main__.py", "mobilesd.asgi:application"], "web"),
        (["manage.py", "qcluster", "--name", "dispatch"], "dispatch"),
        (["manage.py", "migrate"], "command"),
        (["manage.py"], "command"),
    ],
)
def test_each_kind_of_process_has_a_file(monkeypatch, argv, kind):
    monkeypatch.setattr("sys.argv", argv)
    monkeypatch.setenv("Q_CLUSTER_NAME", "dispatch")
    assert setup.process_kind.__wrapped__() == kind
