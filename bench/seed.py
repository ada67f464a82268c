"""Fill a database with jobs as they are after some months: `python -m bench.seed COUNT`.

In SQL, because a million jobs through the ORM take a quarter of an hour. SQLite only. Every share
below is of all jobs: `many` has 50 %, `some` 9 %, `few` 20 jobs; the rest belongs to a key of the
installation, whose token is printed.
"""

import os
import re
import sys
from datetime import timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mobilesd.settings")
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from apikeys.models import ApiKey  # noqa: E402
from jobs.models import Batch, Job  # noqa: E402
from mobilesd.search import RANKS_PER_MOMENT, facet, first_rank  # noqa: E402

BATCH_ID = "0b5c1a52-6d5e-4f0e-9a55-3a9d53a1f00d"

# One job a second; n counts from 0. Of twenty, as a queue looks after some weeks.
_JOBS = """
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < %(count)s)
INSERT INTO jobs_job (
    id, status, app_type, kind, generation_params, warnings, target_server_alias, server_alias,
    avoid_servers, priority, position, lane_class, owner_id, api_key_id, batch_id, source_info,
    checkpoint, images_wanted, attempts_made, max_attempts, error_code, error_message, error_hint,
    created_at, updated_at, started_at, finished_at{other_columns}
)
SELECT
    lower(hex(randomblob(16))),
    CASE WHEN n %% 20 < 16 THEN 'completed' WHEN n %% 20 = 16 THEN 'failed'
         WHEN n %% 20 = 17 THEN 'cancelled' ELSE 'pending' END,
    CASE WHEN n %% 5000 = 7 THEN 'rare' WHEN n %% 10 = 3 THEN 'other' ELSE 'none' END,
    'txt2img',
    json_object(
        'positive_prompt', 'picture ' || n || ' of a ' ||
            CASE WHEN n %% 10 = 1 THEN 'harbour' ELSE 'lighthouse' END ||
            ' at dawn, oil on canvas, highly detailed, dramatic light, by the sea, gulls' ||
            CASE WHEN n %% 1000 = 11 THEN ', storm' ELSE '' END ||
            CASE WHEN n = 4711 %% %(count)s THEN ', zanzibar' ELSE '' END,
        'negative_prompt', 'blurry, low quality, watermark, text',
        'width', 512, 'height', 512, 'steps', 20, 'cfg_scale', 7,
        'sampler_name', 'Euler a', 'seed', n
    ),
    '[]', '',
    CASE WHEN n %% 20 >= 18 THEN '' WHEN n %% 5000 = 12 THEN 'attic'
         WHEN n %% 3 = 0 THEN 'second' ELSE 'first' END,
    '[]', 5, %(position)s + n * 1000000, 'interactive',
    CASE WHEN n %% 100 < 50 THEN %(many)s WHEN n %% 100 < 59 THEN %(some)s
         WHEN n %% (%(count)s / 20) = 60 THEN %(few)s END,
    CASE WHEN n %% 100 >= 60 AND n %% (%(count)s / 20) <> 60 THEN %(key)s END,
    CASE WHEN n < 500 THEN %(batch)s END,
    CASE WHEN n %% 5000 = 21 THEN 'a phone' WHEN n %% 2 = 0 THEN 'an extension' ELSE '' END,
    '', 1, 0, 3, '', '', '',
    strftime('%%Y-%%m-%%d %%H:%%M:%%S', %(start)s + n, 'unixepoch'),
    strftime('%%Y-%%m-%%d %%H:%%M:%%S', %(start)s + n, 'unixepoch'),
    CASE WHEN n %% 20 < 18 THEN strftime('%%Y-%%m-%%d %%H:%%M:%%S', %(start)s + n, 'unixepoch') END,
    CASE WHEN n %% 20 < 18 THEN strftime('%%Y-%%m-%%d %%H:%%M:%%S', %(start)s + n, 'unixepoch') END
    {other_values}
FROM numbers
"""

_TEXTS = """
INSERT INTO jobs_jobtext (id, job_id, words)
SELECT
    (CAST(strftime('%%s', created_at) AS INTEGER) - %(start)s) * %(step)s + %(rank)s,
    id,
    lower(replace(generation_params ->> 'positive_prompt', ',', '')) ||
        ' blurry low quality watermark text ' || source_info ||
        CASE owner_id WHEN %(many)s THEN ' ' || %(facet_many)s WHEN %(some)s
            THEN ' ' || %(facet_some)s WHEN %(few)s THEN ' ' || %(facet_few)s ELSE '' END ||
        CASE WHEN api_key_id IS NULL THEN '' ELSE ' ' || %(facet_key)s END ||
        ' ' || CASE app_type WHEN 'rare' THEN %(facet_rare)s WHEN 'other' THEN %(facet_other)s
            ELSE %(facet_none)s END || ' ' || %(every)s
FROM jobs_job ORDER BY rowid
"""


def _with_defaults(insert: str) -> str:
    """Give the columns that the statement does not name what a new job has in them."""
    rest = [
        field
        for field in Job._meta.concrete_fields
        if not field.null and not re.search(rf"\b{field.column}\b", insert)
    ]
    values = [field.get_db_prep_save(field.get_default(), connection) for field in rest]
    return insert.replace(
        "{other_columns}", "".join(f", {field.column}" for field in rest)
    ).replace("{other_values}", "".join(f", {_literal(value)}" for value in values))


def _literal(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else str(int(value or 0))


def main(count: int) -> None:
    start = (timezone.now() - timedelta(seconds=count)).replace(microsecond=0)
    users = {
        name: get_user_model().objects.create_user(name).pk for name in ("many", "some", "few")
    }
    key, token = ApiKey.objects.create_key(name="seeded", scopes=["jobs:read"])
    Batch.objects.create(id=BATCH_ID, total=500, created_at=start)
    values = {
        **users,
        **{f"facet_{name}": facet("owner", pk) for name, pk in users.items()},
        **{f"facet_{name}": facet("app_type", name) for name in ("rare", "other", "none")},
        "facet_key": facet("api_key", key.prefix),
        "every": "ƿ",
        "count": count,
        "key": key.prefix,
        "batch": BATCH_ID.replace("-", ""),
        "start": int(start.timestamp()),
        "position": int(start.timestamp()) * 1_000_000_000,
        "rank": first_rank(start),
        "step": RANKS_PER_MOMENT * 1_000_000,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_with_defaults(_JOBS), values)
        cursor.execute(_TEXTS, values)
    print(token)


if __name__ == "__main__":
    main(int(sys.argv[1]))
