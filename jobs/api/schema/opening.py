"""What the API's document says of hours: those of the queue, and of a server."""

from mobilesd.schema.shapes import Shape, moment, nullable, text

__all__ = ["OPENING_EXAMPLES", "OPENING_SHOWN", "OPENING_TAKEN"]

OPENING_TAKEN: dict[str, Shape] = {
    "hours": nullable(
        text(
            "When jobs may start: `23:00-07:00` every day, or `Mon-Fri 22:00-06:00, Sat-Sun`."
            " Empty: always.",
            maxLength=200,
        )
    ),
    "time_zone": nullable(
        text(
            "The time zone of the hours, such as `Europe/Berlin`. Empty: this MobileSD's own.",
            maxLength=64,
        )
    ),
    "run_until": nullable(
        text(
            "Nothing starts after it, until somebody resumes: the next `06:30`, or a date and time"
            " of RFC 3339. Empty: no end."
        )
    ),
}
OPENING_SHOWN: dict[str, Shape] = {
    "hours": text("When jobs may start; empty: always."),
    "time_zone": text("The time zone of the hours."),
    "run_until": nullable(moment("Nothing starts after it, until somebody resumes.")),
    "opens_at": nullable(
        moment("When it opens, while it is closed; null: it is open, or waits to be resumed.")
    ),
    "closes_at": nullable(moment("From when on nothing starts; null: no end is set.")),
}
OPENING_EXAMPLES = {
    "at night": {"hours": "23:00-07:00", "time_zone": "Europe/Berlin"},
    "until the morning": {"run_until": "06:30"},
    "always": {"hours": "", "run_until": ""},
}
