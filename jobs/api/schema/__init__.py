"""What the API's document says of jobs."""

from jobs.api.schema import (
    bulk,
    changes,
    events,
    history,
    job,
    params,
    queue,
    reading,
    submitting,
    webhooks,
)
from mobilesd.schema.operations import Operations
from mobilesd.schema.shapes import Shape

__all__ = ["COMPONENTS", "OPERATIONS"]

COMPONENTS: dict[str, Shape] = {
    **job.COMPONENTS,
    **params.COMPONENTS,
    **webhooks.COMPONENTS,
}
OPERATIONS: Operations = {
    **submitting.OPERATIONS,
    **reading.OPERATIONS,
    **changes.OPERATIONS,
    **history.OPERATIONS,
    **bulk.OPERATIONS,
    **queue.OPERATIONS,
    **events.OPERATIONS,
    **webhooks.OPERATIONS,
}
