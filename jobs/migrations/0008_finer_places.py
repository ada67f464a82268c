from django.db import migrations

# Microseconds of any year that there is are below, nanoseconds above.
FINER = """
    UPDATE jobs_job SET position = position * 1000
    WHERE position BETWEEN -9000000000000000 AND 9000000000000000
"""
COARSER = "UPDATE jobs_job SET position = position / 1000"


class Migration(migrations.Migration):
    """Places count nanoseconds, so that more fit between two (jobs.services.ranks)."""

    dependencies = [
        ("jobs", "0007_attempt_phases"),
    ]

    operations = [
        migrations.RunSQL(FINER, COARSER),
    ]
