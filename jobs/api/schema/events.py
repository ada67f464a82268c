"""What happens, as it happens."""

from typing import get_args

from jobs.events import DurableKind, LiveKind
from mobilesd.schema.operations import Answer, Operation, Operations, header, query
from mobilesd.schema.shapes import text, uuid, whole, word

__all__ = ["OPERATIONS"]

_STREAM = """\
retry: 2000

event: hello
data: {"epoch":"3d2b…","last_event_id":815,"type":"hello"}

event: job.status
id: 3d2b…:816
data: {"job":"0b7f6d52-0d0e-4f57-9f5e-2a5f6c1f4f10","status":"failed","id":816,"type":"job.status"}

"""

OPERATIONS: Operations = {
    ("GET", "/api/v2/events"): Operation(
        name="events",
        tag="Events",
        summary="Follow what happens, as server-sent events.",
        description=(
            "A stream that does not end. First `hello`, then what was missed after `after` or"
            " `Last-Event-ID`, then events as they happen. After `reset` there is no way to catch"
            " up: read again what you show. Lines that begin with `:` only say that the connection"
            " lives. Durable events have an `id`; progress and previews have none."
        ),
        parameters=(
            query("after", whole("Begin after the event with this id.", 0)),
            query("epoch", text("The `epoch` of the `hello` that this id belongs to.")),
            query("job", uuid("Only events of this job.")),
            query(
                "types",
                word([*get_args(DurableKind), *get_args(LiveKind)], "Only events of these kinds."),
                example=["job.status"],
                repeated=True,
            ),
            header("Last-Event-ID", text("The `id` of the last event that you have.")),
        ),
        answers={
            200: Answer("The stream.", text(), _STREAM, ("text/event-stream",), ("Cache-Control",))
        },
        errors=("job_not_found", "server_busy"),
    ),
}
