"""Finding the lines of a job among those of all processes."""

import json

from mobilesd.logs import Follower, lines_about


def line(at: int, text: str = "x", **about: str) -> str:
    return json.dumps({"event": text, "at": f"2026-01-01T00:00:{at:02}.000000Z", **about}) + "\n"


def texts(found):
    return [one.text for one in found]


def test_lines_of_all_files_come_in_the_order_of_time(tmp_path):
    (tmp_path / "web.log").write_text(line(1, "one", job="j") + line(5, "five", job="j"))
    (tmp_path / "dispatch.log.1").write_text(line(2, "two", job="j") + line(3, "no", job="k"))
    (tmp_path / "dispatch.log").write_text(line(4, "four", job="j"))
    found = lines_about(tmp_path, ["j"], job="j")
    assert texts(found.lines) == ["one", "two", "four", "five"]
    assert found.complete


def test_a_request_has_lines_of_the_jobs_it_made_but_a_job_only_its_own(tmp_path):
    (tmp_path / "a.log").write_text(
        line(1, "asked", request_id="req1")
        + line(2, "mine", request_id="req1", job="job1")
        + line(3, "its brother's", request_id="req1", job="job2")
    )
    assert len(lines_about(tmp_path, ["req1"]).lines) == 3
    assert texts(lines_about(tmp_path, ["job1", "req1"], job="job1").lines) == ["asked", "mine"]


def test_only_the_newest_are_given_and_that_is_said(tmp_path):
    (tmp_path / "a.log").write_text("".join(line(n, str(n), job="j") for n in range(10)))
    found = lines_about(tmp_path, ["j"], most=3)
    assert texts(found.lines) == ["7", "8", "9"]
    assert not found.complete
    assert lines_about(tmp_path, ["j"], most=10).complete


def test_half_lines_and_strange_ones_are_passed_over(tmp_path):
    (tmp_path / "a.log").write_bytes(
        b'{"event": "torn", "job": "jj\n[1, "jj"]\nplain jj\n\xff\xfe jj\n'
        + line(1, "whole", job="jj").encode()
        + b'{"event": "jj'
    )
    assert texts(lines_about(tmp_path, ["jj"]).lines) == ["whole"]


def test_no_folder_and_empty_files_are_no_trouble(tmp_path):
    assert lines_about(tmp_path / "none", ["j"]).lines == []
    (tmp_path / "a.log").write_text("")
    assert lines_about(tmp_path, ["j"]).lines == []
    assert lines_about(tmp_path, [""]).lines == []


def test_a_follower_gives_each_new_line_once_also_over_a_rotation(tmp_path):
    path = tmp_path / "a.log"
    path.write_text(line(1, "old", job="j"))
    follower = Follower(tmp_path, ["j"], job="j")
    assert follower.new_lines() == []
    with path.open("a") as stream:
        stream.write(line(2, "two", job="j") + line(3, "other", job="jk") + '{"event": "hal')
    assert texts(follower.new_lines()) == ["two"]
    with path.open("a") as stream:
        stream.write('f", "job": "j"}\n')
    path.rename(tmp_path / "a.log.1")
    path.write_text(line(4, "four", job="j"))
    (tmp_path / "b.log").write_text(line(5, "five", job="j"))
    assert texts(follower.new_lines()) == ["half", "four", "five"]
    assert follower.new_lines() == []
