"""What must hold when everything is calm again."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable

from tests.chaos.farm import Farm
from tests.processes.installation import eventually

__all__ = ["everything_ended", "hold"]

FINAL = ("completed", "failed", "cancelled")
# How a job may go from one status to the next (design §5).
NEXT = {
    "": {"pending"},
    "pending": {"processing", "cancelled", "failed"},
    # A job that goes on with its next round is told under the round's attempt.
    "processing": {"processing", "pending", "completed", "failed", "cancelled"},
    "failed": {"pending"},  # retried
    "cancelled": {"pending"},
}
FILES = {"images": "gallery_image", "inputs": "jobs_jobinput"}
SETTLED = 2 * 3600  # the collector leaves alone what is younger than an hour


def everything_ended(farm: Farm, seconds: float) -> None:
    """Wait until no job can change any more, and no server may still be at one."""

    def ended() -> bool:
        return not farm.rows(
            "SELECT 1 FROM jobs_job WHERE status IN ('pending', 'processing')"
            " UNION ALL SELECT 1 FROM jobs_attempt WHERE cleared_at IS NULL LIMIT 1"
        )

    standing = "SELECT status, error_code, count(*) FROM jobs_job GROUP BY 1, 2"
    try:
        eventually(ended, seconds, "every job ended")
    except AssertionError:
        raise AssertionError(f"not ended: {farm.rows(standing)}") from None


def hold(farm: Farm, accepted: Collection[str], cancelled: Iterable[str]) -> None:
    """Fail with what does not hold."""
    _every_accepted_job_is_there(farm, accepted, cancelled)
    _each_completed_job_has_its_pictures_once(farm)
    _attempts_are_closed(farm)
    _no_child_went_before_its_parent(farm)
    _events_tell_the_same(farm)
    _files_and_rows_agree(farm)
    assert farm.rows("PRAGMA integrity_check") == [("ok",)]


def _every_accepted_job_is_there(
    farm: Farm, accepted: Collection[str], cancelled: Iterable[str]
) -> None:
    status = {row[0]: row[1] for row in farm.rows("SELECT id, status FROM jobs_job")}
    ids = {job_id.replace("-", "") for job_id in accepted}
    assert len(ids) == len(list(accepted)), "two orders were answered with the same job"
    assert ids == set(status), "accepted jobs, and rows of jobs"
    assert set(status.values()) <= set(FINAL)
    wrong = {j for j in cancelled if status[j.replace("-", "")] != "cancelled"}
    assert not wrong, f"cancelled, and made all the same: {wrong}"


def _each_completed_job_has_its_pictures_once(farm: Farm) -> None:
    wrong = farm.rows(
        """SELECT j.id, j.status, j.images_wanted, j.images_made, count(i.id),
                  count(DISTINCT i."index"), count(DISTINCT i.attempt)
           FROM jobs_job j LEFT JOIN gallery_image i ON i.job_id = j.id AND NOT i.rejected
           GROUP BY j.id
           HAVING count(i.id) <> count(DISTINCT i."index")
             OR coalesce(max(i."index") + 1, 0) <> count(i.id)
             OR count(i.id) <> CASE j.status
               WHEN 'completed' THEN j.images_wanted ELSE j.images_made END
             OR count(DISTINCT i.attempt) <> (
               SELECT count(*) FROM jobs_attempt a
               WHERE a.job_id = j.id AND a.outcome IN ('completed', 'round'))"""
    )
    assert not wrong, f"not one set of pictures: {wrong}"
    winners = farm.rows(
        """SELECT j.id FROM jobs_job j LEFT JOIN jobs_attempt a
             ON a.job_id = j.id AND a.outcome = 'completed'
           WHERE j.status = 'completed' GROUP BY j.id HAVING count(a.token) <> 1"""
    )
    assert not winners, f"not one attempt that made it: {winners}"


def _attempts_are_closed(farm: Farm) -> None:
    assert not farm.rows("SELECT 1 FROM jobs_attempt WHERE ended_at IS NULL")


def _no_child_went_before_its_parent(farm: Farm) -> None:
    wrong = farm.rows(
        """SELECT c.id, c.status, p.id, p.status, d.on_failure FROM jobs_jobdependency d
           JOIN jobs_job c ON c.id = d.job_id JOIN jobs_job p ON p.id = d.parent_id
           WHERE c.status = 'completed' AND d.on_failure = 'cancel' AND p.status <> 'completed'"""
    )
    assert not wrong, f"made, though what it needs was not: {wrong}"


def _events_tell_the_same(farm: Farm) -> None:
    told: dict[str, list[str]] = defaultdict(list)
    for job_id, kind, payload in farm.rows(
        "SELECT job_id, kind, payload FROM jobs_event WHERE job_id IS NOT NULL ORDER BY id"
    ):
        if kind in ("job.created", "job.status"):
            told[job_id].append(json.loads(payload)["status"])
    for job_id, status in farm.rows("SELECT id, status FROM jobs_job"):
        steps = told[job_id]
        assert steps[-1] == status, f"{job_id} is {status}, but its events tell {steps}"
        for before, after in zip(["", *steps], steps, strict=False):
            assert after in NEXT.get(before, ()), f"{job_id}: {steps}"
    pictures = "SELECT job_id, count(*) FROM {} GROUP BY 1"
    made = dict(farm.rows(pictures.format("gallery_image WHERE NOT rejected")))
    seen = dict(farm.rows(pictures.format("jobs_event WHERE kind = 'image.created'")))
    assert made == seen, "pictures, and the events of their making"


def _files_and_rows_agree(farm: Farm) -> None:
    for folder, table in FILES.items():
        store = farm.inst.data_dir / folder
        missing = [sha for sha in _named(farm, table) if not (store / sha[:2] / sha).is_file()]
        assert not missing, f"rows without their file in {folder}: {missing}"
    if farm.clock is None:
        return
    # Files have the time of the kernel, which no jump concerns.
    farm.clock.jump(SETTLED + abs(farm.clock.seconds))
    farm.inst.manage("shell", "-c", "from mobilesd.housekeeping import run; run()")
    for folder, table in FILES.items():
        files = (farm.inst.data_dir / folder).rglob("*")
        there = {file.name for file in files if file.is_file()}
        left = there - _named(farm, table)
        assert not left, f"files without a row in {folder}: {left}"


def _named(farm: Farm, table: str) -> set[str]:
    return {row[0] for row in farm.rows(f"SELECT sha256 FROM {table}")}
