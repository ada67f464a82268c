"""What is due, for statements of plain SQL: a lane's look, and the claim that asks once more.

The tests say the same in other words (`tests.due`) and hold both together.
"""

from jobs.choices import Status

__all__ = ["DUE"]

# Nothing but a free server holds back the job `q`, which is pending, not deleted and not held.
DUE = f"""
    (q.not_before IS NULL OR q.not_before <= %(now)s)
    AND (q.retry_at IS NULL OR q.retry_at <= %(now)s)
    AND (q.deadline IS NULL OR q.deadline > %(now)s OR q.images_made > 0)
    AND NOT EXISTS (SELECT 1 FROM jobs_attempt a WHERE a.job_id = q.id AND a.cleared_at IS NULL)
    AND NOT EXISTS (
        SELECT 1 FROM jobs_jobdependency d JOIN jobs_job p ON p.id = d.parent_id
        WHERE d.job_id = q.id AND p.status <> '{Status.COMPLETED}' AND (
            d.on_failure = 'cancel' OR (
                p.status IN ('{Status.PENDING}', '{Status.PROCESSING}') AND p.deleted_at IS NULL
            )
        )
    )
"""
