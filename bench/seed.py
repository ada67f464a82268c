"""Fill a database with finished and waiting jobs: `python -m bench.seed COUNT`."""

import os
import sys
from datetime import timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mobilesd.settings")
django.setup()

from django.utils import timezone  # noqa: E402

from jobs.choices import Status  # noqa: E402
from jobs.models import Job  # noqa: E402

BATCH = 2000
# Of twenty jobs, as a queue looks after some weeks.
STATES = [Status.COMPLETED] * 16 + [Status.FAILED, Status.CANCELLED] + [Status.PENDING] * 2


def main(count: int) -> None:
    now = timezone.now()
    for first in range(0, count, BATCH):
        Job.objects.bulk_create(
            Job(
                status=STATES[number % len(STATES)],
                app_type="none",
                generation_params={
                    "positive_prompt": f"picture {number} of a lighthouse",
                    "width": 512,
                    "height": 512,
                    "steps": 20,
                    "seed": number,
                },
                created_at=now - timedelta(seconds=count - number),
                updated_at=now,
            )
            for number in range(first, min(first + BATCH, count))
        )


if __name__ == "__main__":
    main(int(sys.argv[1]))
