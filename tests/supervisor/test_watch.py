"""When a cluster counts as hung: only if a probe waits, a worker is free, and nothing moves."""

import os
import time

import pytest
from django_q.models import OrmQ, Task

from mobilesd.supervisor import probe
from mobilesd.supervisor.probe import Watch, busy_workers, work_dir

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def times(settings):
    settings.PROBE_SECONDS = 10
    settings.PROBE_WAIT_SECONDS = 30


def watch(**changes) -> Watch:
    given = {
        "cluster": "dispatch",
        "workers": 4,
        "boot_id": "b",
        "leases": lambda: 0,
        "born": 1000.0,
    }
    return Watch(**{**given, **changes})


def mark(pid: int, boot_id: str = "b") -> None:
    folder = work_dir("dispatch", boot_id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / str(pid)).touch()


def answered() -> None:
    """Do what a worker and the monitor do with the waiting probe."""
    row = OrmQ.objects.get()
    task = row.task
    Task.objects.create(
        id=task["id"], name="probe", func=task["func"], started=task["started"],
        stopped=task["started"], success=True,
    )  # fmt: skip
    row.delete()


def test_a_probe_is_sent_to_its_own_cluster_and_one_at_a_time():
    looking = watch()
    looking.tick(1009)
    assert not OrmQ.objects.exists()
    for now in (1010, 1011, 1030):
        assert not looking.tick(now)
    assert [row.key for row in OrmQ.objects.all()] == ["dispatch"]


def test_an_answered_probe_leaves_no_result_and_the_next_one_is_sent_in_time():
    looking = watch()
    looking.tick(1010)
    answered()
    assert not looking.tick(1019)
    assert not Task.objects.exists()
    assert not OrmQ.objects.exists()
    looking.tick(1020)
    assert OrmQ.objects.count() == 1


def test_a_probe_that_waits_too_long_beside_a_free_worker_means_hung():
    looking = watch(leases=lambda: 3)
    looking.tick(1010)
    assert not looking.tick(1040)
    assert looking.tick(1040.1)


def test_a_cluster_whose_workers_all_drive_servers_is_busy():
    looking = watch(leases=lambda: 4)
    looking.tick(1010)
    assert not looking.tick(1100)


def test_a_cluster_whose_workers_all_run_tasks_is_busy():
    mark(os.getpid())
    looking = watch(workers=1)
    looking.tick(1010)
    assert not looking.tick(1100)


def test_a_dead_worker_is_not_busy_and_marks_of_another_start_do_not_count():
    mark(2**22 + 1)
    mark(os.getpid(), boot_id="earlier")
    assert busy_workers("dispatch", "b") == 0
    looking = watch(workers=1)
    looking.tick(1010)
    assert looking.tick(1100)


def test_a_long_queue_in_front_of_the_probe_is_no_hang():
    looking = watch()
    looking.tick(1010)
    for now in range(1011, 1100, 10):
        time.sleep(0.002)
        mark(now)  # a worker begins something
        assert not looking.tick(now)
    assert not looking.tick(1091 + 29)
    assert looking.tick(1091 + 31)


def test_a_worker_marks_its_work_and_unmarks_it(monkeypatch, settings):
    from django_q.signals import post_execute_in_worker, pre_execute

    settings.BOOT_ID = "b"
    probe.mark_work("dispatch")
    try:
        pre_execute.send(sender="django_q", func=None, task={})
        assert busy_workers("dispatch", "b") == 1
        post_execute_in_worker.send(sender="django_q", func=None, task={})
        assert busy_workers("dispatch", "b") == 0
    finally:
        pre_execute.disconnect(dispatch_uid="mobilesd.probe.begin")
        post_execute_in_worker.disconnect(dispatch_uid="mobilesd.probe.end")


def test_a_full_disk_fails_no_task(monkeypatch, settings):
    from django_q.signals import post_execute_in_worker, pre_execute

    settings.RUN_DIR = settings.DATA_DIR / "nowhere"
    settings.DATA_DIR.joinpath("nowhere").touch()  # a file where the folder should be
    probe.mark_work("dispatch")
    try:
        pre_execute.send(sender="django_q", func=None, task={})
        post_execute_in_worker.send(sender="django_q", func=None, task={})
    finally:
        pre_execute.disconnect(dispatch_uid="mobilesd.probe.begin")
        post_execute_in_worker.disconnect(dispatch_uid="mobilesd.probe.end")
