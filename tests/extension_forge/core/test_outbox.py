"""What is written down, what is refused, and what is made of files that are not as they were."""

import errno
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from mobilesd_forge import disk
from mobilesd_forge import outbox as outbox_module
from mobilesd_forge.disk import Busy
from mobilesd_forge.outbox import NotAccepted, Outbox

from tests.extension_forge.core.conftest import order


def bodies(outbox: Outbox) -> list[Any]:
    found = [outbox.read(name) for name in outbox.waiting()]
    return [json.loads(one[1]) for one in found if one is not None]


def prompts(outbox: Outbox) -> list[str]:
    return [body["generation_params"]["positive_prompt"] for body in bodies(outbox)]


def test_an_order_is_on_disk_as_it_was_clicked(outbox: Outbox, folder: Path) -> None:
    params = {"prompt": "bée", "seed": 0, "alwayson_scripts": {"x": {"args": [None, 1.5]}}}
    assert outbox.add(order(target="gpu", priority=2, lane="background", params=params), "click")
    body = bodies(Outbox(folder, "0123456789ab"))[0]
    digest = outbox.digest_of("click")
    assert body.pop("generation_params") == order(params=params).params
    assert body == {
        "idempotency_key": f"forge-extension 0123456789ab {digest}",
        "app_type": "forge",
        "target_server_alias": "gpu",
        "priority": 2,
        "lane": "background",
    }


def test_many_are_one_bulk_order(outbox: Outbox) -> None:
    outbox.add(order(count=3, seed_variation="random"), "click")
    body = bodies(outbox)[0]
    assert (body["bulk_quantity"], body["seed_variation"]) == (3, "random")
    assert outbox.look().waiting[0].bulk


def test_the_same_click_is_one_submission(outbox: Outbox) -> None:
    assert outbox.add(order(), "click")
    assert not outbox.add(order(), "click")
    assert outbox.add(order(), "another")
    assert outbox.count() == 2


def test_a_click_is_known_after_it_was_sent_refused_and_restarted(
    outbox: Outbox, folder: Path
) -> None:
    outbox.add(order(), "sent")
    outbox.delivered(outbox.waiting()[0])
    outbox.add(order(), "refused")
    outbox.refuse(outbox.waiting()[0], "no")
    again = Outbox(folder, "0123456789ab")
    assert not again.add(order(), "sent")
    assert not again.add(order(), "refused")
    assert again.count() == 0


def test_without_a_click_id_each_is_a_submission_of_its_own(outbox: Outbox) -> None:
    assert outbox.add(order(), "")
    assert outbox.add(order(), "")


def test_two_threads_with_one_click_make_one_submission(outbox: Outbox) -> None:
    start = threading.Barrier(8)
    taken: list[bool] = []

    def click() -> None:
        start.wait()
        taken.append(outbox.add(order(), "click"))

    threads = [threading.Thread(target=click) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 7 + [True]
    assert outbox.count() == 1


def test_the_order_of_clicks_is_kept_when_the_clock_goes_back(folder: Path) -> None:
    moments = iter([1000.0] * 2 + [900.0] * 2 + [800.0] * 9)
    outbox = Outbox(folder, "0123456789ab", clock=lambda: next(moments))
    outbox.add(order("first"), "1")
    outbox.add(order("second"), "2")
    outbox.add(order("third"), "3")
    assert prompts(outbox) == ["first", "second", "third"]


def test_what_waits_is_readable_by_its_owner_only(outbox: Outbox, folder: Path) -> None:
    outbox.add(order(), "click")
    assert (folder / "outbox" / outbox.waiting()[0]).stat().st_mode & 0o777 == 0o600


def test_it_is_beyond_a_power_cut_before_the_button_answers(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(handle: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def noted_replace(file: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(file, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    outbox.add(order(), "click")
    assert steps == ["file", "rename", "folder"]


# --- What can't be taken ---------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"x", {1, 2}])
def test_what_is_no_json_is_not_taken(outbox: Outbox, value: Any) -> None:
    with pytest.raises(NotAccepted, match=r"can't be written as JSON.*Nothing was queued"):
        outbox.add(order(params={"steps": value}), "click")
    assert outbox.count() == 0


def test_what_mobilesd_would_not_take_is_said_before(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "MAX_BYTES", 2 * 1_048_576)
    with pytest.raises(NotAccepted, match=r"too large: 3 MB, and MobileSD takes 2 MB"):
        outbox.add(order(params={"init_images": ["x" * 3 * 1_048_576]}), "click")
    assert outbox.count() == 0


@pytest.mark.parametrize("step", ["write", "fsync", "replace", "folder"])
def test_a_full_disk_is_said_and_leaves_nothing(
    outbox: Outbox, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr(disk.tempfile, "mkstemp", full)
        elif step == "fsync":
            patch.setattr(os, "fsync", full)
        elif step == "replace":
            patch.setattr(Path, "replace", full)
        else:
            patch.setattr(disk, "sync_folder", full)
        with pytest.raises(NotAccepted, match=r"disk with Forge's folder is full.*Nothing was"):
            outbox.add(order(), "click")
    assert list((folder / "outbox").iterdir()) == []
    assert outbox.add(order(), "click"), "the click may come again"


def test_a_folder_that_can_not_be_written_is_said(outbox: Outbox, folder: Path) -> None:
    (folder / "outbox").rmdir()
    with pytest.raises(NotAccepted, match=r"can't be written \(No such file"):
        outbox.add(order(), "click")


# --- Files that are not as they were ---------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:40],
        lambda content: content[:-1],
        lambda content: content.replace(b"a boat", b"a goat"),
        lambda content: b"\x00" * len(content),
        lambda content: b'{"v": 2}\n{}',
        lambda content: b'{"v": 1}\n{}',
        lambda content: b"[" * 9999,
    ],
)
def test_a_damaged_file_is_set_aside_and_holds_up_nothing(
    outbox: Outbox, folder: Path, damage: Any
) -> None:
    outbox.add(order(), "1")
    outbox.add(order("next"), "2")
    name = outbox.waiting()[0]
    file = folder / "outbox" / name
    content = damage(file.read_bytes())
    file.write_bytes(content)
    fresh = Outbox(folder, "0123456789ab")
    assert prompts(fresh) == ["next"]
    assert (folder / "damaged" / name).read_bytes() == content, "nothing is thrown away"
    assert fresh.look().damaged == (name,)
    assert fresh.count() == 1


def test_a_damaged_file_is_named_before_it_is_its_turn(outbox: Outbox, folder: Path) -> None:
    outbox.add(order(), "1")
    (folder / "outbox" / outbox.waiting()[0]).write_bytes(b"x")
    assert len(Outbox(folder, "0123456789ab").look().damaged) == 1


def test_foreign_files_are_left_alone(outbox: Outbox, folder: Path) -> None:
    (folder / "outbox" / "notes.txt").write_text("mine")
    outbox.add(order(), "1")
    assert len(outbox.waiting()) == 1
    Outbox(folder, "0123456789ab")
    assert (folder / "outbox" / "notes.txt").exists()


def test_what_a_crash_left_half_written_is_removed(folder: Path, outbox: Outbox) -> None:
    left = folder / "outbox" / f"{disk.TEMPORARY}x"
    left.write_bytes(b"half")
    Outbox(folder, "0123456789ab")
    assert not left.exists()


def test_a_key_that_a_crash_left_half_stored_is_removed_in_time(folder: Path) -> None:
    left = folder / f"{disk.TEMPORARY}x"
    left.write_bytes(b"a key")
    Outbox(folder, "0123456789ab")
    assert left.exists(), "another process may be writing it"
    os.utime(left, (1, 1))
    Outbox(folder, "0123456789ab")
    assert not left.exists()


def test_what_was_sent_is_forgotten_after_a_week(folder: Path) -> None:
    now = 1_000_000_000.0
    outbox = Outbox(folder, "0123456789ab", clock=lambda: now)
    outbox.add(order(), "1")
    outbox.delivered(outbox.waiting()[0])
    sent = next((folder / "sent").iterdir())
    assert sent.read_bytes() == b"{}", "its pictures are MobileSD's now"
    os.utime(sent, (now, now))
    Outbox(folder, "0123456789ab", clock=lambda: now + 6 * 86400)
    assert sent.exists()
    Outbox(folder, "0123456789ab", clock=lambda: now + 8 * 86400)
    assert not sent.exists()


# --- A person's decisions --------------------------------------------------------------------


def test_a_refused_one_is_shown_with_the_reason_and_can_be_sent_again(outbox: Outbox) -> None:
    outbox.add(order("first"), "1")
    outbox.add(order("second"), "2")
    name = outbox.waiting()[0]
    outbox.refuse(name, "The width is wrong.")
    [(entry, why)] = outbox.look().refused
    assert (entry.prompt, why) == ("first", "The width is wrong.")
    assert outbox.again(name)
    assert prompts(outbox) == ["second", "first"]
    assert not outbox.look().refused
    assert not outbox.again(name), "once"


def test_a_reason_that_was_lost_is_said_to_be(outbox: Outbox, folder: Path) -> None:
    outbox.add(order(), "1")
    outbox.refuse(outbox.waiting()[0], "no")
    next((folder / "refused").glob("*.why")).unlink()
    assert outbox.look().refused[0][1] == "MobileSD refused it. Try it again to see why."


def test_one_can_be_dropped_where_it_is(outbox: Outbox, folder: Path) -> None:
    outbox.add(order(), "1")
    outbox.add(order(), "2")
    first, second = outbox.waiting()
    outbox.refuse(first, "no")
    assert outbox.drop(first)
    assert outbox.drop(second)
    assert not outbox.drop(second)
    assert [f.name for f in (folder / "refused").iterdir()] == []
    assert outbox.count() == 0


def test_none_is_dropped_while_it_may_be_on_its_way(outbox: Outbox, folder: Path) -> None:
    outbox.add(order(), "1")
    other = Outbox(folder, "0123456789ab")  # as another process has it
    with other.sending(), pytest.raises(Busy):
        outbox.drop(outbox.waiting()[0])
    assert outbox.count() == 1


@pytest.mark.parametrize("name", ["../installation_id", "x", "", "/etc/passwd", "index.lock"])
def test_names_lead_nowhere_else(outbox: Outbox, folder: Path, name: str) -> None:
    (folder / "installation_id").write_text("{}")
    assert not outbox.drop(name)
    assert not outbox.again(name)
    assert (folder / "installation_id").exists()


def test_only_one_sends(outbox: Outbox, folder: Path) -> None:
    other = Outbox(folder, "0123456789ab")
    with outbox.sending(), pytest.raises(Busy), other.sending():
        pass
    with other.sending():
        pass
