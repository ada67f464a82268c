"""What the API's document says of jobs."""

from jobs.api.schema import (
    bulk,
    changes,
    events,
    history,
    job,
    many,
    notifiers,
    params,
    presets,
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
    **presets.COMPONENTS,
    **notifiers.COMPONENTS,
    **webhooks.COMPONENTS,
}
OPERATIONS: Operations = {
    **submitting.OPERATIONS,
    **reading.OPERATIONS,
    **changes.OPERATIONS,
    **many.OPERATIONS,
    **history.OPERATIONS,
    **bulk.OPERATIONS,
    **queue.OPERATIONS,
    **presets.OPERATIONS,
    **events.OPERATIONS,
    **notifiers.OPERATIONS,
    **webhooks.OPERATIONS,
}
