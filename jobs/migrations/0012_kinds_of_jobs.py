import jobs.querysets
from django.db import migrations, models

_CHOOSABLE = models.Q(
    ("deleted_at__isnull", True),
    ("status", "pending"),
    ("blocked", False),
    ("held", False),
    ("put_off_until__isnull", True),
)


class Migration(migrations.Migration):
    dependencies = [("jobs", "0011_what_a_lane_steps_over")]

    operations = [
        migrations.RemoveIndex(model_name="job", name="job_loras"),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                models.F("app_type"),
                models.F("target_server_alias"),
                models.F("lane_class"),
                models.F("priority"),
                models.F("checkpoint"),
                models.F("loras"),
                models.F("avoid_servers"),
                jobs.querysets.ScopeOf(),
                models.F("position"),
                models.F("id"),
                models.F("not_before"),
                models.F("retry_at"),
                models.F("deadline"),
                name="job_kinds",
                condition=_CHOOSABLE,
            ),
        ),
    ]
